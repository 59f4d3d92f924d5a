"""`gazeback evaluate preceding`: which measure says best how much an earlier word matters to a word?

The reference is `removal`: the number of nats by which a word's log-probability drops when an earlier word is
left out of the caption (`gazeback.grounding.preceding`). Four measures are compared with it, by rank
correlation:

- contribution: the earlier word's exact signed contribution to the word's logit, with frozen gates;
- gradient: the gradient of the word's logit with respect to the earlier word's embedding, times the
  embedding;
- distance: nearer words matter more;
- constant: all words matter equally, which ranks nothing.

The sentences are ground truth, teacher-forced. Unknown words, and words with fewer than three words before
them, are left out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import keras
import numpy as np

from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query
from gazeback.eval.data.image import PhraseImage, Words
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records, skipped_line
from gazeback.eval.metrics.statistics import Mean, Summary, grouped_mean, jackknife, spearman
from gazeback.eval.subjects.captioner import (
    CaptionerSubject,
    PhraseTask,
    first_of,
    left_out,
    model_input,
)
from gazeback.grounding.captions import preceding_contributions
from gazeback.grounding.preceding import removal
from gazeback.grounding.traced_words import columns_read
from gazeback.models.caption_generator import NO_WORD, CaptionGenerator, Reading
from gazeback.models.errors import UserError

MEASURES = ("contribution", "gradient", "distance", "constant")

REMOVAL = "removal"

LEAST = 3  # the smallest number of earlier words whose ranks are informative


def gradient_embedding(captioner: CaptionGenerator, image: np.ndarray, word_ids: Sequence[int]) -> np.ndarray:
    """Compute gradient times embedding: how much each word's logit depends on the words before it, to first
    order.

    Source: Denil, Demiraj, de Freitas, *Extraction of Salient Sentences from Labelled Documents*, arXiv
    1412.6815.

    Args:
        captioner: the caption generator; its words go through an `Embedding` layer.
        image: the photo, float32 [size, size, 3], RGB, 0 to 255.
        word_ids: the caption without start and end.

    Returns:
        float64 [n, n]: row j, column k < j is the dot product of the embedding of word k and the gradient of
        word j's logit with respect to it; 0 elsewhere.

    Raises:
        UserError: the captioner has no `Embedding` layer.
    """
    total = np.zeros((len(word_ids), len(word_ids)))
    pixels = captioner.model_input(np.asarray(image, np.float32)[None])
    for reading in captioner.readings(word_ids):
        outputs = np.broadcast_to(reading.outputs, len(reading.positions))
        for output in dict.fromkeys(outputs.tolist()):
            positions = [p for p, o in zip(reading.positions, outputs, strict=True) if o == output]
            _add_gradients(total, reading.about(positions), pixels, output)
    return np.tril(total, -1)


def _add_gradients(total: np.ndarray, asked: Reading, pixels: np.ndarray, output: int) -> None:
    """Add what each word that the model read is to each word that a reading scores at one output."""
    n = len(asked.positions)
    words, columns = (np.broadcast_to(x, (n, x.shape[1])) for x in (asked.words, asked.columns))
    query = Query.of(asked.model, [np.repeat(pixels, n, axis=0), words], asked.neurons, output=output)
    embedded = _embeddings(query)
    answer = ask(query, embedded)
    for tensor, value, gradient in zip(embedded, answer.values, answer.gradients, strict=True):
        read = columns_read(tracer_of(asked.model), tensor, asked)
        if read is None or not len(read):
            continue
        products = (value.astype(np.float64) * gradient).reshape(len(value), len(read), -1).sum(axis=-1)
        word = np.where(read >= 0, columns[:, read], NO_WORD)
        for row, place in zip(*np.nonzero(word >= 0), strict=True):
            total[asked.positions[row], word[row, place]] += products[row if len(products) > 1 else 0, place]


def _embeddings(query: Query) -> list[Tensor]:
    found = [
        call.outputs[0] for call in query.graph.calls if isinstance(call.operation, keras.layers.Embedding)
    ]
    if not found:
        raise UserError(
            f"gradient times embedding needs words that go through an Embedding layer; {query.graph.name!r} "
            "has none"
        )
    return found


@dataclass(frozen=True)
class EarlierWords:
    """How much each earlier word matters to a word: float [words before], by each of `MEASURES` and by
    removal."""

    sentence: int
    position: int
    word: str
    removal: np.ndarray
    measures: dict[str, np.ndarray]

    @cached_property
    def correlations(self) -> dict[str, float]:
        return {name: spearman(values, self.removal) for name, values in self.measures.items()}

    @classmethod
    def of(cls, record: Record) -> "EarlierWords":
        """Read what `record` returned."""
        drops = np.array(record["removal"])
        found = [np.array(record[name]) for name in MEASURES[:2]]
        measures = _by_measure(*found)
        return cls(record["sentence"], record["position"], record["word"], drops, measures)

    def record(self) -> Record:
        """The values as JSON, without those that follow from the positions of the words."""
        values = {name: self.measures[name].tolist() for name in MEASURES[:2]}
        place = {"sentence": self.sentence, "position": self.position, "word": self.word}
        return {**place, "removal": self.removal.tolist(), **values}

    def as_json(self) -> dict[str, Any]:
        rounded = {name: round(value, 4) for name, value in self.correlations.items()}
        return {"sentence": self.sentence, "position": self.position, "word": self.word, **rounded}


@dataclass(frozen=True)
class PrecedingTask(PhraseTask):
    """Compares measures on every pair of words; together they are one "method"."""

    name: ClassVar[str] = "preceding"
    methods = (REMOVAL,)

    def score(self, record: Record) -> float | None:
        """The mean correlation of the exact contributions."""
        values = [EarlierWords.of(word).correlations[MEASURES[0]] for word in record["words"]]
        return float(np.mean(values)) if values else None

    def tables(self, records: Records) -> list[Table]:
        """Rank correlations with removal by measure, and the measures against each other."""
        found = _found(records)
        summary = summarise(found)
        per_word, pooled = summary[MEASURES[0]]["per_word"], summary[MEASURES[0]]["pooled"]
        n, pairs, photos = per_word["n"], pooled["n"], per_word["groups"]
        notes = [f"{n} words, {pairs} pairs of words, {photos} photos; ± standard error over photos"]
        notes += skipped_line(left_out(first_of(records).values()))
        rows = [
            (name, [Summary(**row["per_word"]), Summary(**row["pooled"])]) for name, row in summary.items()
        ]
        compared = [(name, [Summary(**row)]) for name, row in differences(found).items()]
        title = "Leaving out a word before: rank correlations"
        return [
            Table(title, ("word by word", "all pairs"), rows, notes),
            Table("Word by word", ("difference",), compared),
        ]

    def details(self, records: Records) -> dict[str, Any]:
        found = _found(records)
        return {
            "measures": summarise(found),
            "differences": differences(found),
            "left out": dict(left_out(first_of(records).values())),
            "images": [
                {"file_name": name, "words": [word.as_json() for word in words]}
                for name, words in found.items()
            ],
        }

    def measure(
        self, subject: CaptionerSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        return {name: dict.fromkeys(methods, self._record(subject, name)) for name in names}

    def _record(self, subject: CaptionerSubject, name: str) -> Record:
        skipped: Counter[str] = Counter()
        image = self.images[name]
        pixels, _ = model_input(image.path, subject.captioner.side)
        found = measured_words(subject.captioner, image, pixels, skipped)
        return {"words": [word.record() for word in found], "left out": dict(skipped)}


def _found(records: Records) -> dict[str, list[EarlierWords]]:
    return {name: [EarlierWords.of(word) for word in of["words"]] for name, of in first_of(records).items()}


def measured_words(
    captioner: CaptionGenerator, image: PhraseImage, pixels: np.ndarray, skipped: Counter[str]
) -> list[EarlierWords]:
    """Measure the words of an image's sentences; `skipped` counts unknown words.

    `pixels` float32 [size, size, 3] is the photo as the captioner reads it.
    """
    sentences = [Words.of(sentence, captioner.vocabulary, captioner.limit) for sentence in image.sentences]
    chosen = [(index, words) for index, words in enumerate(sentences) if len(words.ids) > LEAST]
    features = captioner.features(pixels[None])
    exact = preceding_contributions(captioner, pixels, [words.ids for _, words in chosen])
    found: list[EarlierWords] = []
    for (index, words), contribution in zip(chosen, exact, strict=True):
        drops = removal(captioner, features, words.ids)
        slope = gradient_embedding(captioner, pixels, words.ids)
        unknown = captioner.vocabulary.unknown
        found += _words(index, words, unknown, drops, contribution, slope, skipped)
    return found


def _words(
    sentence: int, words: Words, unknown: int, drops: np.ndarray, contribution: np.ndarray,
    gradient: np.ndarray, skipped: Counter[str],
) -> Iterator[EarlierWords]:  # fmt: skip
    for j in range(LEAST, len(words.ids)):
        if words.ids[j] == unknown:
            skipped["unknown word"] += 1
            continue
        measures = _by_measure(contribution[j, :j], gradient[j, :j])
        yield EarlierWords(sentence, j, words.words[j], drops[j, :j], measures)


def _by_measure(contribution: np.ndarray, gradient: np.ndarray) -> dict[str, np.ndarray]:
    """All measures, including distance and constant: float [words before] each."""
    n = len(contribution)
    values = (contribution, gradient, np.arange(n) - float(n), np.zeros(n))
    return dict(zip(MEASURES, values, strict=True))


def summarise(words_of_images: Mapping[str, Sequence[EarlierWords]]) -> dict[str, Any]:
    """Compute each measure's rank correlation with removal: the mean over words, and over all pairs of words.

    The photos are the groups of the standard errors. The error of the pooled correlation is found by leaving
    out one photo at a time (jackknife). If no word could be measured, n is 0.
    """
    found = {image: [word.correlations for word in words] for image, words in words_of_images.items()}
    return {
        name: {
            "per_word": grouped_mean(
                {image: [of_word[name] for of_word in of] for image, of in found.items()}
            ).as_json(),
            "pooled": _pooled(name, words_of_images.values()).as_json(),
        }
        for name in MEASURES
    }


def differences(words_of_images: Mapping[str, Iterable[EarlierWords]]) -> dict[str, Any]:
    """Compute the differences of the measures' correlations, word by word; keys are "one - other"."""
    means = {f"{one} - {other}": Mean() for one, other in combinations(MEASURES[:3], 2)}
    for image, words in words_of_images.items():
        for word in words:
            found = word.correlations
            for one, other in combinations(MEASURES[:3], 2):
                means[f"{one} - {other}"].update(found[one] - found[other], group=image)
    return {name: mean.summary().as_json() for name, mean in means.items()}


def _pooled(measure: str, words_of_images: Iterable[Sequence[EarlierWords]]) -> Summary:
    """Compute the correlation over all pairs; `n` counts pairs."""
    pairs = [
        np.concatenate([np.stack([word.measures[measure], word.removal]) for word in words], axis=1)
        for words in words_of_images
        if words
    ]
    if not pairs:
        return Summary(0, 0, None, None)
    together = np.concatenate(pairs, axis=1)
    ends = np.cumsum([pair.shape[1] for pair in pairs])
    without_each = [
        spearman(*np.delete(together, np.s_[end - pair.shape[1] : end], axis=1))
        for pair, end in zip(pairs, ends, strict=True)
    ]
    return jackknife(spearman(*together), without_each, together.shape[1])
