"""What the tasks that ask a captioner have in common: the data and which of it, and the captioner."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.captioner import GradCam
from gazeback.eval.baselines.enlarging import enlarged
from gazeback.eval.baselines.occlusion import SIZE, STRIDE, occluded, spread, windows
from gazeback.eval.baselines.projections import guided, projected
from gazeback.eval.baselines.query import Query
from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.data.selection import Part
from gazeback.eval.harness.task import Record
from gazeback.grounding.captions import word_evidence
from gazeback.grounding.coco.run import fingerprint
from gazeback.grounding.methods import explained_words, is_traced, known_methods
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.errors import UserError
from gazeback.models.photos import load_photo, squeeze
from gazeback.models.vocabulary import Vocabulary


def teacher_forced(vocabulary: Vocabulary, captions: Sequence[Sequence[int]]) -> np.ndarray:
    """The inputs int32 [n, T] whose step t predicts word t of each caption, given as ids without start.

    T is the longest caption. Shorter rows are filled with end tokens: what follows a word cannot change it.
    """
    inputs = np.full((len(captions), max(map(len, captions))), vocabulary.end, np.int32)
    for row, ids in zip(inputs, captions, strict=True):
        row[: len(ids)] = [vocabulary.start, *ids[:-1]]
    return inputs


@dataclass(frozen=True)
class Question:
    """Which pixels did the words at `positions` come from?

    `image` float32 [size, size, 3] in 0..255; `features` float32 [h, w, C], its last map; `word_ids` the
    whole caption without start and end; `positions` count its words from 0.
    """

    image: np.ndarray
    features: np.ndarray
    word_ids: list[int]
    positions: list[int]


Method = Callable[[Question], np.ndarray]
"""Answers float [n, size, size], nowhere negative, one map per position."""


def check_methods(names: str) -> list[str]:
    """The names of methods between commas, each once; raises UserError for an unknown one."""
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    registered = [name for name in known_methods() if not is_traced(name) and name not in METHODS]
    unknown = [name for name in chosen if name not in METHODS and name not in registered]
    if unknown or not chosen:
        problem = f"unknown method {unknown[0]!r}" if unknown else "no method named"
        raise UserError(f"{problem}; there are {', '.join([*METHODS, *registered])}")
    return chosen


def chosen_methods(names: str) -> tuple[str, ...]:
    """The names of methods between commas, each once, and the baselines behind them. Raises UserError."""
    return tuple(dict.fromkeys([*check_methods(names), *BASELINES]))


def check_traced(name: str) -> None:
    """Raises UserError unless the tracer has a method of that name."""
    if name not in TRACED:
        raise UserError(f"unknown method {name!r}; the tracer has {', '.join(TRACED)}")


def build_method(name: str, captioner: Captioner) -> Method:
    """The method of that name, ready for questions to this captioner."""
    return METHODS[name](captioner) if name in METHODS else _registered(name, captioner)


def _registered(name: str, captioner: Captioner) -> Method:
    """A method that another package brings: it explains all words of a caption."""

    def answer(question: Question) -> np.ndarray:
        maps = explained_words(name, captioner, question.image, question.word_ids)
        return np.stack([maps[position] for position in question.positions])

    return answer


def _traced(name: str) -> Callable[[Captioner], Method]:
    """Our own tracer: the heat map of the points of a word."""

    def build(captioner: Captioner) -> Method:
        def answer(question: Question) -> np.ndarray:
            fixations = word_evidence(
                captioner, question.image, question.word_ids, positions=question.positions, method=name
            )
            return np.stack([fixation.heatmap() for fixation in fixations])

        return answer

    return build


def _center(captioner: Captioner) -> Method:
    """Points at the centre and knows nothing more: the map is even, so its energy in a box is the share of
    area."""

    def answer(question: Question) -> np.ndarray:
        height, width = question.image.shape[:2]
        even = np.ones((height, width), np.float32)
        even[height // 2, width // 2] += 1e-3  # the maximum, and too little to matter for the energy
        return np.repeat(even[None], len(question.positions), axis=0)

    return answer


def _activation(captioner: Captioner) -> Method:
    """The channel sum of the encoder's last map: what is conspicuous, whatever the word."""

    def answer(question: Question) -> np.ndarray:
        total = np.maximum(question.features.sum(axis=-1), 0)
        return np.repeat(enlarged(total[None], *question.image.shape[:2]), len(question.positions), axis=0)

    return answer


def _grad_cam(captioner: Captioner) -> Method:
    grad_cam = GradCam(captioner)

    def answer(question: Question) -> np.ndarray:
        maps = grad_cam(question.features, question.word_ids, question.positions)
        return enlarged(maps, *question.image.shape[:2])

    return answer


def _saliency(captioner: Captioner) -> Method:
    """The largest magnitude among the colours of the gradient of a word's logit (Simonyan et al. 2014)."""

    def answer(question: Question) -> np.ndarray:
        query = _asked(captioner, question)
        return np.abs(ask(query, [query.image]).gradients[0]).max(axis=-1)

    return answer


def _guided_grad_cam(captioner: Captioner) -> Method:
    """Guided backpropagation from a word's logit, times its Grad-CAM (Selvaraju et al. 2017)."""
    coarse = _grad_cam(captioner)

    def answer(question: Question) -> np.ndarray:
        fine = projected(_asked(captioner, question), guided)
        return np.abs(fine * coarse(question)[..., None]).max(axis=-1)

    return answer


def _asked(captioner: Captioner, question: Question) -> Query:
    """The words' logits, each on its own copy of the photo."""
    positions = np.array(question.positions)
    words = teacher_forced(captioner.vocabulary, [question.word_ids])
    inputs = [np.repeat(array, len(positions), axis=0) for array in (question.image[None], words)]
    # step 0 is the photo's and step 1 the start token's, which predicts the word at position 0
    neurons = np.column_stack([positions + 1, np.array(question.word_ids)[positions]])
    return Query.of(captioner.model, inputs, neurons)


class _Occlusion:
    """How much less probable a word is, the words before it fixed, with a window covered (Zeiler and Fergus
    2014): the drop of its log probability, where it drops.

    The encoder sees each covered photo once, for all words of all captions that are asked one after another.
    """

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner
        size = captioner.image_size
        self._side, step = (max(1, round(pixels * size / 224)) for pixels in (SIZE, STRIDE))
        self._corners = windows((size, size), self._side, step)
        self._image: np.ndarray | None = None

    def __call__(self, question: Question) -> np.ndarray:
        if self._image is not question.image:
            covered = occluded(question.image, self._corners, self._side, "mean")
            self._maps = np.concatenate([self._captioner.features(batch) for _, batch in covered])
            self._image = question.image
        before = self._scores(question.features[None], question)
        drops = before - self._scores(self._maps, question)
        return np.maximum(spread(drops.T, self._corners, self._side, question.image.shape[:2]), 0)

    def _scores(self, maps: np.ndarray, question: Question) -> np.ndarray:
        """Log probabilities float32 [m, n] of the words asked about, for maps [m, h, w, C]."""
        words = teacher_forced(self._captioner.vocabulary, [question.word_ids])
        scores = self._captioner.log_probabilities(maps, np.repeat(words, len(maps), axis=0))
        return scores[:, question.positions, [question.word_ids[p] for p in question.positions]]


TRACED = ("evidence", "fixations")

BASELINES = ("center", "activation")
"""What is measured always: a point in the middle, and the channel sum of the last map, which asks no word."""

METHODS: dict[str, Callable[[Captioner], Method]] = {
    **{name: _traced(name) for name in TRACED},
    "center": _center,
    "activation": _activation,
    "grad-cam": _grad_cam,
    "guided-grad-cam": _guided_grad_cam,
    "saliency": _saliency,
    "occlusion": _Occlusion,
}

Scale = tuple[float, float]
"""Input pixels per photo pixel, (x, y)."""


class Read(Protocol):
    """Annotations of photos."""

    digest: str
    """sha256 of the annotations."""
    skipped: Counter[str]


@dataclass(frozen=True)
class CaptionerTask(ABC):
    """The folder and which photos of it, and the captioner: None is the bundled one."""

    data: Path
    split: str = "dev"
    part: Part = "all"
    limit: int | None = None
    model: str | None = None

    @property
    @abstractmethod
    def read(self) -> Read:
        """The annotations, read once."""

    def about(self) -> dict[str, Any]:
        """The annotations and the captioner, files by their contents."""
        return {"data": self.read.digest, "split": self.split, "model": self._model()}

    def _model(self) -> str:
        if self.model is None:
            return "bundled"
        path = Path(self.model)
        return fingerprint(path) or self.model if path.is_file() else self.model

    def load(self) -> Captioner:
        """Raises ModelError."""
        return load_captioner(self.model)


@dataclass(frozen=True)
class PhraseDataTask(CaptionerTask):
    """The photos one at a time, with their annotations read once."""

    batch: ClassVar[int] = 1
    tunes: ClassVar[bool] = False
    """Whether settings are chosen on the tune part: it is measured even if only the other is reported."""

    @cached_property
    def read(self) -> PhraseData:
        part: Part = "all" if self.tunes and self.part != "tune" else self.part
        return PhraseData(self.data, self.split, part, self.limit)

    @property
    def skipped(self) -> Counter[str]:
        return self.read.skipped

    def names(self) -> Sequence[str]:
        return self.read.names()


class OneAnswerMeasurer(ABC):
    """The captioner, and the photos; whatever the method, there is one record of a photo."""

    def __init__(self, captioner: Captioner, data: PhraseData) -> None:
        self.captioner = captioner
        self._images = {image.file_name: image for image in data}

    def measure(self, names: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, Record]]:
        return {name: dict.fromkeys(methods, self._record(name)) for name in names}

    @abstractmethod
    def _record(self, name: str) -> Record:
        """Raises PhotoError."""


def model_input(path: Path, size: int) -> tuple[np.ndarray, Scale]:
    """A photo as float32 [size, size, 3], and its scale. Raises PhotoError."""
    photo = load_photo(path)
    return squeeze(photo, size).pixels, (size / photo.width, size / photo.height)


def left_out(records: Iterable[Record]) -> Counter[str]:
    """What the records say they could not use, added up."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.get("left out", {}))
    return total


def first_of(records: Mapping[str, Mapping[str, Record]]) -> Mapping[str, Record]:
    """The records of the first method, by image."""
    return next(iter(records.values()))
