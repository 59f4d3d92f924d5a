"""`gazeback evaluate captions`: how good are the captions?

They are scored against people's captions. The captioner is compared with four others: its own caption of the
mean picture; one person's caption for all photos, the most typical one of the tune part (`typical_caption`);
a person's caption of another photo; and a person's caption of the photo, which is scored against the other
references.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array

from gazeback.eval.data.captions import CaptionData
from gazeback.eval.data.image import Caption
from gazeback.eval.data.selection import part_of
from gazeback.eval.harness.table import Cell, Table, as_json
from gazeback.eval.harness.task import Example, Record, Records
from gazeback.eval.metrics.calibration import calibration_error, reliability_bins
from gazeback.eval.metrics.captions import BLEU, CIDER, METEOR, ROUGE, corpus_scores
from gazeback.eval.metrics.statistics import Summary, jackknife
from gazeback.eval.subjects.captioner import CaptionerSubject, CaptionerTask, model_input, teacher_forced
from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.photos import load_photo
from gazeback.models.training.scores import check_scorers

ORDERS = 4


def typical_caption(photos: Sequence[Sequence[Caption]]) -> Caption:
    """Find the caption with the highest mean CIDEr as the caption of every other photo; if several are equal,
    the first.

    CIDEr is that of Vedantam et al. 2015, equations 1 to 3. Without the changes of CIDEr-D it is a mean of
    cosines, so one product of matrices is enough.
    """
    captions = [caption for of_photo in photos for caption in of_photo]
    owner = np.repeat(np.arange(len(photos)), [len(of_photo) for of_photo in photos])
    # a photo's score is the mean over its captions
    weights = 1 / np.bincount(owner, minlength=len(photos))[owner]
    total = np.zeros(len(captions))
    for n in range(1, ORDERS + 1):
        vectors = _vectors([_ngrams(caption, n) for caption in captions], owner, len(photos))
        if vectors.shape[1] == 0:
            continue
        everywhere = np.asarray(vectors.T @ weights)
        of_owner = (
            csr_array((weights, (owner, np.arange(len(captions)))), (len(photos), len(captions))) @ vectors
        )
        itself = np.asarray(of_owner[owner].multiply(vectors).sum(axis=1)).ravel()
        total += vectors @ everywhere - itself
    return captions[int(np.argmax(total))]


def _ngrams(caption: Caption, n: int) -> Counter[Caption]:
    return Counter(tuple(caption[i : i + n]) for i in range(len(caption) - n + 1))


def _vectors(counts: Sequence[Counter[Caption]], owner: np.ndarray, photos: int) -> csr_array:
    """Compute unit vectors [captions, n-grams] of term frequency times inverse document frequency; a document
    is a photo."""
    number = {ngram: i for i, ngram in enumerate(dict.fromkeys(ngram for count in counts for ngram in count))}
    rows = np.repeat(np.arange(len(counts)), [len(count) for count in counts])
    columns = np.array([number[ngram] for count in counts for ngram in count], int)
    values = np.array([k for count in counts for k in count.values()], float)
    there = np.unique(np.stack([owner[rows], columns]), axis=1)[1]
    rarity = np.log(photos / np.maximum(np.bincount(there, minlength=len(number)), 1))
    found = csr_array((values * rarity[columns], (rows, columns)), (len(counts), len(number)))
    length = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    inverse = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    return csr_array(found.multiply(inverse[:, None]))


CAPTIONER, MEAN, TYPICAL, ANOTHER, PERSON = (
    "captioner", "mean picture", "one caption for all", "of another photo", "a person",
)  # fmt: skip

ROWS = (CAPTIONER, MEAN, TYPICAL, ANOTHER, PERSON)

NAMES = {
    **{name: f"BLEU-{n}" for n, name in enumerate(BLEU, 1)},
    METEOR: "METEOR",
    ROUGE: "ROUGE-L",
    CIDER: "CIDEr-D",
}


@dataclass(frozen=True)
class ScoredCaption:
    """A caption of a photo, its references, and, for a captioner, the log-probability of all references.

    `nats` is the sum over all words of the references and their end tokens, of which there are `tokens`. A
    word that is not in the vocabulary counts as the unknown word, of which there are `unknown`. `bins` sort
    the predictions of these tokens by the probability of the most probable word (see `reliability_bins`).
    """

    caption: Caption
    references: tuple[Caption, ...]
    nats: float | None = None
    tokens: int = 0
    unknown: int = 0
    bins: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class CaptionsTask(CaptionerTask):
    """Scores captions; every source of captions is a "method"."""

    name: ClassVar[str] = "captions"
    needs_mean: ClassVar[bool] = True
    batch: ClassVar[int] = 16
    methods = ROWS

    @cached_property
    def read(self) -> CaptionData:
        check_scorers()
        return CaptionData(self.data, self.split, self.part, self.limit)

    @cached_property
    def references(self) -> dict[str, tuple[Caption, ...]]:
        """People's captions by file name."""
        return {image.file_name: image.captions for image in self.read.images}

    def score(self, record: Record) -> float | None:
        """The mean log-probability of a word of the references, in nats."""
        return record["nats"] / record["tokens"] if record["nats"] is not None else None

    def tables(self, records: Records) -> list[Table]:
        """Scores of every source of captions, then perplexity and variety."""
        by_row = self._captions_by_row(records)
        scores: dict[str, dict[str, Cell]] = {
            row: summarise(list(photos.values())) for row, photos in by_row.items()
        }
        photos = len(by_row[CAPTIONER])
        without = {METEOR} if all(score[METEOR] is None for score in scores.values()) else set()
        names = {key: name for key, name in NAMES.items() if key not in without}
        notes = [
            f"{photos} photos; ± standard error over photos; the typical caption is chosen on the tune part",
            f"{PERSON}: the first caption against the photo's others, so against fewer references",
        ]
        return [
            Table(f"Captions of {photos} photos", list(names.values()), _rows(scores, names), notes),
            Table("Perplexity and variety", list(VARIETY.values()), _rows(scores, VARIETY), VARIETY_NOTES),
        ]

    def details(self, records: Records) -> dict[str, Any]:
        by_row = self._captions_by_row(records)
        rows = {row: as_json(summarise(list(photos.values()))) for row, photos in by_row.items()}
        images = [
            {
                "file_name": name,
                "part": part_of(name),
                "captions": {row: " ".join(of[name].caption) for row, of in by_row.items() if name in of},
                "nats": by_row[CAPTIONER][name].nats,
                "tokens": by_row[CAPTIONER][name].tokens,
            }
            for name in by_row[CAPTIONER]
        ]  # fmt: skip
        return {"scores": rows, "images": images}

    def _captions_by_row(self, records: Records) -> dict[str, dict[str, ScoredCaption]]:
        """By row and file name; a person's caption only if there is another reference."""
        return {
            row: {
                name: ScoredCaption(
                    tuple(record["caption"].split()),
                    self.references[name][1:] if row == PERSON else self.references[name],
                    record["nats"], record["tokens"], record["unknown"], record["bins"],
                )
                for name, record in photos.items()
                if row != PERSON or len(self.references[name]) > 1
            }
            for row, photos in records.items()
        }  # fmt: skip

    @cached_property
    def _typical(self) -> Caption:
        tuned = [image for image in self.read.everything if part_of(image.file_name) == "tune"]
        return typical_caption([image.captions for image in tuned or self.read.everything])

    def measure(
        self, subject: CaptionerSubject, names: Sequence[str], methods: Sequence[str]
    ) -> dict[str, dict[str, Record]]:
        captioner = subject.captioner
        assert captioner.mean_features is not None
        pixels = [model_input(self.images[name].path, captioner.side)[0] for name in names]
        features = np.asarray(captioner.features(np.stack(pixels)))
        found = captioner.search(features) if CAPTIONER in methods else []
        of_mean = captioner.search(captioner.mean_features[None])[0][0].words if MEAN in methods else ()
        answer: dict[str, dict[str, Record]] = {name: {} for name in names}
        for i, name in enumerate(names):
            for method in methods:
                asked = {CAPTIONER: features[i], MEAN: captioner.mean_features}.get(method)
                known = {CAPTIONER: found[i][0].words if found else (), MEAN: of_mean}
                caption = known[method] if method in known else self._caption(name, method)
                scored = self._scored(subject, name, asked)
                answer[name][method] = {"caption": " ".join(caption), **scored}
        return answer

    def _caption(self, name: str, method: str) -> Caption:
        """A caption that does not come from the captioner."""
        if method == TYPICAL:
            return self._typical
        return self.images[name].captions[0] if method == PERSON else another(self.read, name)

    def _scored(self, subject: CaptionerSubject, name: str, picture: np.ndarray | None) -> dict[str, Any]:
        if picture is None:
            return {"nats": None, "tokens": 0, "unknown": 0, "bins": ()}
        return read_references(subject.captioner, picture, self.images[name].captions)

    def example(self, subject: CaptionerSubject, name: str, methods: Sequence[str]) -> Example | None:
        """The photo with its captions."""
        captions = self.measure(subject, [name], methods)[name]
        image = self.images[name]
        people = " / ".join(" ".join(caption) for caption in image.captions)
        values = {method: record["caption"] for method, record in captions.items()}
        return Example(load_photo(image.path).pixels, {}, title=f"people: {people}", values=values)


def another(data: CaptionData, name: str) -> Caption:
    """The first caption of another photo of the split, which is always the same one."""
    images = data.everything
    here = next(i for i, image in enumerate(images) if image.file_name == name)
    step = int.from_bytes(hashlib.sha256(name.encode()).digest()[9:13], "big") % max(len(images) - 1, 1)
    return images[(here + 1 + step) % len(images)].captions[0]


def read_references(
    captioner: CaptionGenerator, picture: np.ndarray, references: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Let a captioner read captions with their end tokens: the fields of `ScoredCaption` but the caption and
    its references.

    `picture` float32 [h, w, C] is the photo's last map, or [C] the pooled one.
    """
    vocabulary = captioner.vocabulary
    targets = [[*vocabulary.encode(words), vocabulary.end] for words in references]
    inputs = teacher_forced(vocabulary, targets)
    pictures = np.repeat(picture[None], len(targets), axis=0)
    logs = np.asarray(captioner.log_probabilities(pictures, inputs))
    read = np.concatenate([row[: len(ids)] for row, ids in zip(logs, targets, strict=True)])
    ids = np.concatenate(targets)
    return {
        "nats": float(read[np.arange(len(ids)), ids].sum()),
        "tokens": len(ids),
        "unknown": int((ids == vocabulary.unknown).sum()),
        "bins": reliability_bins(np.exp(read.max(axis=1)), read.argmax(axis=1) == ids).tolist(),
    }


VARIETY = {
    "perplexity": "perplexity",
    "calibration_error": "calibration error",
    "words_per_caption": "words per caption",
    "distinct_captions": "distinct captions",
    "distinct_words": "distinct words",
    "coverage": "coverage, words",
    "token_coverage": "coverage, tokens",
    "known": "known",
}

VARIETY_NOTES = (
    "calibration error: the mean distance between the probability of the most probable next word and how "
    "often it comes next, in ten bins of probability, reading the references",
    "coverage: the fraction of the different words of the references, and of all their tokens, that occur "
    "in any of the captions; known: the fraction of the references' tokens that are in the captioner's "
    "vocabulary",
)


def summarise(photos: Sequence[ScoredCaption]) -> dict[str, Cell]:
    """Compute corpus scores with the names of `corpus_scores`, perplexity per token, and the variety of the
    captions."""
    if not photos:
        return dict.fromkeys((*NAMES, *VARIETY))
    words = {word for photo in photos for word in photo.caption}
    tokens = Counter(word for photo in photos for words in photo.references for word in words)
    lengths = np.array([len(photo.caption) for photo in photos], float)
    return {
        **corpus_scores([photo.caption for photo in photos], [photo.references for photo in photos]),
        "perplexity": perplexity(photos),
        "calibration_error": calibration_error([row for photo in photos for row in photo.bins]),
        "words_per_caption": float(lengths.mean()),
        "distinct_captions": len({photo.caption for photo in photos}),
        "distinct_words": len(words),
        "coverage": len(words & set(tokens)) / len(tokens),
        "token_coverage": sum(tokens[word] for word in words) / tokens.total(),
        "known": _known(photos),
    }


def perplexity(photos: Sequence[ScoredCaption]) -> Summary | None:
    """The perplexity per word of the references, including their end tokens; None without a captioner."""
    asked = [(photo.nats, photo.tokens) for photo in photos if photo.nats is not None]
    if not asked:
        return None
    nats, tokens = np.array(asked, float).T
    whole = float(np.exp(-nats.sum() / tokens.sum()))
    if len(asked) == 1:
        return Summary(1, 1, whole, None)
    return jackknife(whole, np.exp(-(nats.sum() - nats) / (tokens.sum() - tokens)))


def _known(photos: Sequence[ScoredCaption]) -> float | None:
    """The fraction of the references' tokens, without end tokens, that are in the vocabulary."""
    asked = [photo for photo in photos if photo.nats is not None]
    tokens = sum(photo.tokens - len(photo.references) for photo in asked)
    return 1 - sum(photo.unknown for photo in asked) / tokens if tokens else None


def _rows(scores: Mapping[str, Mapping[str, Cell]], names: Mapping[str, str]) -> list[tuple[str, list[Cell]]]:
    return [(row, [of_row[name] for name in names]) for row, of_row in scores.items()]
