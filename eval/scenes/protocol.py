"""Measure whether a word's pixels lie on the thing that it names: captions of scenes, teacher-forced, exact
masks.

Four figures are measured on each method's map of a word that names something: pointing (no tolerance), energy
inside, IoU of the map above a threshold, and the swap test. The swap test is the score of the word's map
minus, on the same mask, the score of the map of the word of its kind that names the other thing of the
caption. The threshold, a fraction of the map's maximum, is chosen for each method on the tune part of the
scenes. Everything else is reported on the other scenes. For every word, it is also measured how visual it is
(as in `gazeback.eval.tasks.words`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gazeback.eval.harness.tuning import best, split
from gazeback.eval.metrics.maps import energy_inside, ious, pointing
from gazeback.eval.metrics.statistics import Mean, Summary
from gazeback.eval.scenes.captions import KINDS, VISUAL_KINDS, Caption, Word, fixed
from gazeback.eval.scenes.scenes import Scene
from gazeback.eval.subjects.captioner import Method, Question
from gazeback.eval.tasks.words import visual_nats, visual_share
from gazeback.models.captioner import Captioner

HELD_OUT_SEED = 5
"""The seed of the scenes that are measured; no captioner was trained on them."""

THRESHOLDS = (0.005, 0.01, 0.02, 0.03, *(round(0.05 * step, 2) for step in range(1, 20)))
METRICS = ("pointing", "energy", "iou", "swap_pointing", "swap_energy")
NAMED = ("colour", "shape")
"""The kinds that identify a thing: targets are set for them, and they choose the threshold."""

Record = Mapping[str, Any]


def measure(captioner: Captioner, methods: Mapping[str, Method], scene: Scene) -> dict[str, dict[str, Any]]:
    """Measure one record for each method: JSON, `{"words": [...], "visual": [...]}`.

    `words` has the scores of each word that names something, with the IoU at each of `THRESHOLDS`. `visual`
    has for every word its kind and the nats that the picture contributed.
    """
    image = scene.pixels.astype(np.float32)
    features = captioner.features(image[None])
    captions = fixed(scene)
    ids = [captioner.vocabulary.encode(word.text for word in caption) for caption in captions]
    nats = visual_nats(captioner, features, ids)
    visual = [
        [word.kind, float(value)]
        for caption, values in zip(captions, nats, strict=True)
        for word, value in zip(caption, values, strict=True)
    ]
    records: dict[str, dict[str, Any]] = {name: {"words": [], "visual": visual} for name in methods}
    for caption, of_caption in zip(captions, ids, strict=True):
        positions = [position for position, word in enumerate(caption) if word.things]
        question = Question(image, features[0], of_caption, positions)
        for name, method in methods.items():
            records[name]["words"] += scored(scene, caption, positions, method(question))
    return records


def scored(scene: Scene, caption: Caption, positions: Sequence[int], maps: np.ndarray) -> list[Record]:
    """Score the words at some positions by their maps float [n, side, side]."""
    words = [caption[position] for position in positions]
    masks = np.stack([_mask(word, scene) for word in words])
    points, energies = pointing(maps, masks), energy_inside(maps, masks)
    overlaps = ious(maps, masks, THRESHOLDS)
    return [
        {
            "text": word.text,
            "kind": word.kind,
            "pointing": float(points[i, i]),
            "energy": float(energies[i, i]),
            "ious": [round(float(iou), 6) for iou in overlaps[i]],
            **{
                f"swap_{name}": float(values[i, i] - values[other, i])
                for other in _others(words, i)
                for name, values in (("pointing", points), ("energy", energies))
            },
        }
        for i, word in enumerate(words)
    ]


def summarise(records: Mapping[str, Mapping[str, Record]]) -> dict[str, Any]:
    """Compute the figures of the report part, by method and kind of word, from records
    `[method][scene's name]`.

    `[method] = {"threshold": t, "all": {metric: Summary}, "named": ..., kind: ...}`: "named" is colours and
    shapes together. The scenes are the groups of the standard errors.
    """
    table: dict[str, Any] = {}
    for method, of_scenes in records.items():
        tune, reported = split(of_scenes)
        chosen = best_threshold(tune)
        means: dict[str, dict[str, Mean]] = {}
        for name, word in _words(reported):
            values = {**word, "iou": word["ious"][chosen]}
            groups = ["all", word["kind"], *(["named"] if word["kind"] in NAMED else [])]
            for group in groups:
                for metric in METRICS:
                    if metric in values:
                        means.setdefault(group, {}).setdefault(metric, Mean()).update(values[metric], name)
        table[method] = {"threshold": THRESHOLDS[chosen]} | {
            group: {metric: mean.summary() for metric, mean in means[group].items()}
            for group in ("named", *VISUAL_KINDS, "all")
            if group in means
        }
    return table


def best_threshold(of_scenes: Mapping[str, Record]) -> int:
    """Find the index of the threshold with the largest mean IoU of colours and shapes, or the middle one."""
    found = [word["ious"] for _, word in _words(of_scenes) if word["kind"] in NAMED]
    return best(np.mean(found, axis=0)) if found else len(THRESHOLDS) // 2


def visual_by_kind(of_scenes: Mapping[str, Record]) -> dict[str, dict[str, Summary]]:
    """Compute, by kind of word, the visual share, the nats that the picture contributed, and the share of
    language, from the records of one method.
    """
    table = {}
    for kind in KINDS:
        means = {"visual_share": Mean(), "language_share": Mean(), "visual": Mean()}
        for name, record in split(of_scenes)[1].items():
            nats = np.array([value for of_kind, value in record["visual"] if of_kind == kind])
            share = visual_share(nats)
            values = {"visual_share": share, "language_share": 1 - share, "visual": nats}
            for metric, mean in means.items():
                mean.update(values[metric], name)
        table[kind] = {metric: mean.summary() for metric, mean in means.items()}
    return table


def _mask(word: Word, scene: Scene) -> np.ndarray:
    mask = word.mask(scene)
    assert mask is not None
    return mask


def _others(words: Sequence[Word], asked: int) -> list[int]:
    """The other words of the same kind that name other things: none or one."""
    return [
        number
        for number, word in enumerate(words)
        if word.kind == words[asked].kind and not set(word.things) & set(words[asked].things)
    ]


def _words(of_scenes: Mapping[str, Record]) -> Iterator[tuple[str, Record]]:
    for name, record in of_scenes.items():
        for word in record["words"]:
            yield name, word
