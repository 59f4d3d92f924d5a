"""Where the maps of colour and shape words have their maximum: on the word's own thing, or on another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from zoo.scenes import SIDE, Scene

from gazeback.grounding import ground


def shares(
    captioner: Any, measured: Sequence[Scene], methods: Sequence[str]
) -> Mapping[str, dict[str, float]]:
    """By method: the fraction of words whose map is largest on their ``own`` thing, and on an ``other``."""
    found: dict[str, list[tuple[bool, bool]]] = {method: [] for method in methods}
    for scene in measured:
        grounding = ground(captioner, scene.pixels, caption=scene.caption, methods=methods)
        for place, thing in scene.named:
            for explanation in grounding.words[place].explanations(methods):
                found[explanation.method].append(_lies(explanation.heat(SIDE), scene.masks, thing))
    return {
        method: dict(zip(("own", "other"), np.mean(lies, axis=0).tolist(), strict=True))
        for method, lies in found.items()
    }


def _lies(heat: np.ndarray, masks: np.ndarray, thing: int) -> tuple[bool, bool]:
    """Whether the maximum of a map ``[64, 64]`` lies on the thing, and on another."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    on = masks[:, row, column]
    return bool(on[thing]), bool(np.delete(on, thing).any())
