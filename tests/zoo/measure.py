"""Where the maps of colour and shape words have their maximum: on the word's own thing, or on another."""

from collections.abc import Mapping, Sequence

import numpy as np
from zoo.scenes import Scene

from gazeback.eval.baselines.short_routes import Question
from gazeback.eval.subjects.captioner import CaptionerSubject
from gazeback.models.caption_generator import CaptionGenerator


def shares(
    captioner: CaptionGenerator, measured: Sequence[Scene], methods: Sequence[str]
) -> Mapping[str, dict[str, float]]:
    """By method: the fraction of words whose map is largest on their ``own`` thing, and on an ``other``."""
    subject = CaptionerSubject(captioner)
    found: dict[str, list[tuple[bool, bool]]] = {method: [] for method in methods}
    for scene in measured:
        question = _question(captioner, scene)
        for method in methods:
            maps = subject.maps(method, question)
            for heat, (_, thing) in zip(maps, scene.named, strict=True):
                found[method].append(_lies(heat, scene.masks, thing))
    return {
        method: dict(zip(("own", "other"), np.mean(lies, axis=0).tolist(), strict=True))
        for method, lies in found.items()
    }


def _question(captioner: CaptionGenerator, scene: Scene) -> Question:
    """The scene's colour and shape words, in its own caption."""
    pixels = scene.pixels.astype(np.float32)
    ids = captioner.vocabulary.encode(scene.caption.split())
    (features,) = captioner.features(pixels[None])
    return Question(pixels, features, list(ids), [place for place, _ in scene.named])


def _lies(heat: np.ndarray, masks: np.ndarray, thing: int) -> tuple[bool, bool]:
    """Whether the maximum of a map ``[64, 64]`` lies on the thing, and on another."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    on = masks[:, row, column]
    return bool(on[thing]), bool(np.delete(on, thing).any())
