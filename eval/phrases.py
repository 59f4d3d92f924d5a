"""Do a word's pixels lie where the word is? Ground-truth sentences, and the boxes or masks of their phrases.

Every sentence is teacher-forced. A phrase that has a box is asked by its last in-vocabulary word, and every
method answers with one map per phrase; all phrases of a sentence are one question. Measured on each map and
the union of the phrase's boxes (or masks): pointing (no tolerance), energy inside (the attention correctness
of Liu et al., AAAI 2017: the sum inside of the map that sums to one), and the swap test: the phrase's own map
minus, on the same boxes, the map of another phrase of the same sentence (the mean over all others). A map
that does not depend on the word scores 0 in the swap test, whatever it points at.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from gazeback.eval.captioner_task import Scale
from gazeback.eval.metrics import Mean, energy_inside, pointing
from gazeback.eval.phrases_data import Phrase, PhraseImage, Sentence, Words, phrase_mask
from gazeback.eval.word_maps import Method, Question
from gazeback.models.captioner import Captioner

METRICS = ("pointing", "energy", "swap_pointing", "swap_energy")
SIZES = ((0.02, "under 2 %"), (0.1, "2 to 10 %"), (0.3, "10 to 30 %"))
LARGEST = "30 % and more"


@dataclass(frozen=True)
class PhraseScore:
    """One phrase's scores: `scores[method][metric]`; no swap where the sentence has no other phrase."""

    sentence: int
    phrase: str
    word: str
    types: tuple[str, ...]
    area: float
    scores: dict[str, dict[str, float]]

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "types": list(self.types)}


@dataclass(frozen=True)
class _Asked:
    phrase: Phrase
    position: int
    mask: np.ndarray


def measured(
    captioner: Captioner, methods: Mapping[str, Method], image: PhraseImage, pixels: np.ndarray, scale: Scale,
    skipped: Counter[str],
) -> list[PhraseScore]:  # fmt: skip
    """The scores of an image's phrases; `skipped` counts what cannot be used.

    `pixels` float32 [size, size, 3] is the photo as the captioner reads it.
    """
    features = np.asarray(captioner.features(pixels[None]))[0]
    scores: list[PhraseScore] = []
    for index, sentence in enumerate(image.sentences):
        words = Words.of(sentence, captioner.vocabulary)
        asked = _questions(sentence, words, captioner, scale, skipped)
        if asked:
            question = Question(pixels, features, list(words.ids), [a.position for a in asked])
            maps = {name: method(question) for name, method in methods.items()}
            scores += _scored(index, words, asked, maps)
    return scores


def summarise(scores_of_images: Mapping[str, Iterable[PhraseScore]]) -> dict[str, Any]:
    """Per method, each metric over all phrases, by type and by size; photos are the groups of the errors.

    A phrase of two types counts in both. Its size is the share of the photo that its boxes cover.
    """
    means: dict[tuple[str, str, str, str], Mean] = {}
    for image, scores in scores_of_images.items():
        for score in scores:
            kinds = [
                ("all", ""),
                ("by_size", size_of(score.area)),
                *(("by_type", kind) for kind in score.types),
            ]
            for method, values in score.scores.items():
                for (metric, value), (group, kind) in product(values.items(), kinds):
                    means.setdefault((method, group, kind, metric), Mean()).update(value, group=image)
    table: dict[str, Any] = {}
    for (method, group, kind, metric), mean in means.items():
        row = table.setdefault(method, {"all": {}, "by_type": {}, "by_size": {}})
        cell = row["all"] if group == "all" else row[group].setdefault(kind, {})
        cell[metric] = mean.summary().as_json()
    return table


def size_of(area: float) -> str:
    """The name of the size class of boxes that cover this share of the photo."""
    return next((name for limit, name in SIZES if area < limit), LARGEST)


def differences(scores_of_images: Mapping[str, Iterable[PhraseScore]], method: str) -> dict[str, Any]:
    """One method minus each of the others, phrase by phrase: the error is that of the difference."""
    means: dict[str, dict[str, Mean]] = {}
    for image, scores in scores_of_images.items():
        for score in scores:
            for other, values in score.scores.items():
                for metric in values if other != method else ():
                    mean = means.setdefault(other, {}).setdefault(metric, Mean())
                    mean.update(score.scores[method][metric] - values[metric], group=image)
    return {
        other: {metric: mean.summary().as_json() for metric, mean in row.items()}
        for other, row in means.items()
    }


def swap_scores(own_and_others: np.ndarray) -> np.ndarray:
    """From scores [n, n], map i on the boxes of phrase j: own map minus mean of the others', float [n]."""
    n = len(own_and_others)
    own = np.diagonal(own_and_others)
    return own - (own_and_others.sum(axis=0) - own) / (n - 1)


def _questions(
    sentence: Sentence, words: Words, captioner: Captioner, scale: Scale, skipped: Counter[str]
) -> list[_Asked]:
    asked: list[_Asked] = []
    for phrase in sentence.phrases:
        mask = phrase_mask(phrase, scale, captioner.image_size, skipped)
        if mask is None:
            continue
        position = words.last_known(phrase, captioner.vocabulary.unknown)
        if position is None:
            skipped["phrase without a known word"] += 1
        else:
            asked.append(_Asked(phrase, position, mask))
    return asked


def _scored(
    sentence: int, words: Words, asked: Sequence[_Asked], maps: Mapping[str, np.ndarray]
) -> list[PhraseScore]:
    masks = np.stack([a.mask for a in asked])
    scores: list[dict[str, dict[str, float]]] = [{} for _ in asked]
    for method, answer in maps.items():
        values = _metrics(answer, masks)
        for i, of_phrase in enumerate(scores):
            of_phrase[method] = {metric: float(column[i]) for metric, column in values.items()}
    return [
        PhraseScore(sentence, a.phrase.text, words.words[a.position], a.phrase.types, float(a.mask.mean()), s)
        for a, s in zip(asked, scores, strict=True)
    ]


def _metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric as float [n], from maps and masks [n, H, W] in the same order."""
    points, energies = pointing(maps, masks), energy_inside(maps, masks)
    values = {"pointing": np.diagonal(points), "energy": np.diagonal(energies)}
    if len(maps) > 1:
        values |= {"swap_pointing": swap_scores(points), "swap_energy": swap_scores(energies)}
    return values
