"""Measure how well a captioner describes scenes that it was not trained on."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gazeback.eval.metrics.statistics import Summary, grouped_mean
from gazeback.eval.scenes.captions import fixed, right
from gazeback.eval.scenes.drawing import SHAPES
from gazeback.eval.scenes.scenes import COLOURS, Scene
from gazeback.eval.subjects.captioner import teacher_forced
from gazeback.models.captioner import Captioner


def evaluate(captioner: Captioner, scenes: Iterable[Scene], beam: int = 3) -> Iterator[dict[str, Any]]:
    """Yield one record per scene: the generated caption, and the captioner's scores of the scene's own
    captions.

    `right`: whether the whole generated caption is true. `things`: for each thing that it names, whether a
    thing of this colour and shape exists. `nats`: of each word of the scene's captions, including the end.
    `words`: for each word, whether the most probable word continues a true caption.
    """
    for scene in scenes:
        features = captioner.features(scene.pixels[None])
        caption = captioner.search(features, beam)[0][0].words
        truths = right(scene)
        yield {
            "name": scene.name,
            "caption": " ".join(caption),
            "right": float(caption in truths),
            "things": _named(scene, caption),
            **_own_captions(captioner, features, scene, truths),
        }


def summarise(records: Iterable[dict[str, Any]]) -> dict[str, Summary | float]:
    """Compute means over the scenes, and the perplexity per word."""
    by_name = {record["name"]: record for record in records}
    summary = {
        figure: grouped_mean({name: record[figure] for name, record in by_name.items()})
        for figure in ("right", "things", "words", "nats")
    }
    return {**summary, "perplexity": float(np.exp(summary["nats"].mean or 0.0))}


def _named(scene: Scene, caption: Sequence[str]) -> list[float]:
    known = {(thing.colour, thing.shape) for thing in scene.things}
    named = [pair for pair in pairwise(caption) if pair[0] in COLOURS and pair[1] in SHAPES]
    return [float(pair in known) for pair in named]


def _own_captions(
    captioner: Captioner, features: np.ndarray, scene: Scene, truths: set[tuple[str, ...]]
) -> dict[str, list[float]]:
    nats, words = [], []
    vocabulary = captioner.vocabulary
    for caption in fixed(scene):
        texts = tuple(word.text for word in caption)
        ids = [*vocabulary.encode(texts), vocabulary.end]
        scores = captioner.log_probabilities(features, teacher_forced(vocabulary, [ids]))[0]
        nats += (-scores[np.arange(len(ids)), ids]).tolist()
        best = vocabulary.decode(scores.argmax(axis=1).tolist())
        prefixes = {truth[: length + 1] for truth in truths for length in range(len(truth))}
        words += [float((*texts[:i], best[i]) in prefixes) for i in range(len(texts))]
    return {"nats": nats, "words": words}
