"""Groundings and traced photos made by hand; a classifier whose answers are obvious."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from twins import tiny_captioner

from gazeback.cnn_trace.fixations import Fixations
from gazeback.grounding import methods
from gazeback.grounding.captions import GroundedWord
from gazeback.grounding.classes import Prediction, Target, TracedPhoto
from gazeback.grounding.explanation import Explanation
from gazeback.models.captioner import Captioner
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.photos import Photo


def make_fixations(shape: tuple[int, int], centre: tuple[float, float] | None, count: int = 60) -> Fixations:
    """Points scattered round ``centre`` (shares of height and width), heavier towards it; None: no points."""
    if centre is None:
        return Fixations(np.zeros((0, 2), np.int64), np.zeros(0), shape)
    generator = np.random.default_rng(7)
    offsets = generator.normal(0, 0.06, (count, 2))
    points = np.rint((offsets + centre) * shape).astype(np.int64)
    points, kept = np.unique(np.clip(points, 0, np.subtract(shape, 1)), axis=0, return_index=True)
    weights = np.exp(-(offsets[kept] ** 2).sum(axis=1) / 0.01)
    return Fixations(points, weights / weights.sum(), shape)


def make_word(
    text: str,
    fixations: Fixations,
    index: int,
    visual: float = 1.2,
    language: float = -2.5,
    known: bool = True,
) -> SimpleNamespace:
    """Relevances of the words before alternate in sign and grow with the position."""
    word = SimpleNamespace(
        text=text,
        known=known,
        logprob=visual + language,
        visual=visual,
        language=language,
        visual_share=max(0.0, 1 - math.exp(-visual)),
        preceding=tuple((-1) ** step * 0.2 * (step + 1) for step in range(index)),
        runners_up=(("cat", 0.12), ("horse", 0.05)),
        fixations=fixations,
        maps={},
        preceding_by={},
        support=None,
    )
    word.explanations = partial(GroundedWord.explanations, word)
    return word


def peaked(centre: tuple[float, float], shape: tuple[int, int] = (30, 45)) -> np.ndarray:
    """A heat map with one peak, at shares of height and width."""
    peak = np.floor(np.multiply(centre, shape))
    distance = np.linalg.norm(np.indices(shape).T - peak, axis=-1).T
    return np.maximum(0, 1 - distance / 6).astype(np.float32)


@pytest.fixture
def make_grounding() -> Callable[..., SimpleNamespace]:
    """A function that makes a grounding of any words on a photo of any (height, width)."""

    def make(
        texts: Sequence[str] = ("a", "brown", "dog"),
        shape: tuple[int, int] = (60, 90),
        name: str = "dog.jpg",
        unknown: Sequence[str] = (),
        empty: Sequence[str] = (),
        methods: Sequence[str] = ("evidence",),
        preceding: bool = False,
    ) -> SimpleNamespace:
        """The first method has points; the others have a map that peaks on the other side of the photo."""
        rows, columns = np.indices(shape)
        pixels = np.stack([rows * 255 // shape[0], columns * 255 // shape[1], 0 * rows + 90], axis=-1)
        words = []
        for index, text in enumerate(texts):
            centre = (0.3 + 0.4 * (index % 2), (index + 0.5) / len(texts))
            fixations = make_fixations(shape, None if text in empty else centre)
            visual = -0.05 if text in ("a", "of", "the") else 1.2
            word = make_word(text, fixations, index, visual, known=text not in unknown)
            opposite = peaked((1 - centre[0], 1 - centre[1]))
            word.maps = {method: Explanation(method, None, opposite) for method in methods[1:]}
            if preceding:
                word.preceding_by = {"removal": (0.5,) * index, "gradient": (-0.25,) * index}
            words.append(word)
        photo = SimpleNamespace(
            pixels=pixels.astype(np.uint8), name=name, path=None, width=shape[1], height=shape[0]
        )
        return SimpleNamespace(
            kind="words",
            photo=photo,
            caption=" ".join(texts),
            logprob=sum(word.logprob for word in words) - 0.2,
            words=tuple(words),
            method=methods[0],
            model_name="a captioner",
            methods=tuple(methods),
        )

    return make


@pytest.fixture
def make_traced() -> Callable[..., TracedPhoto]:
    """A function that makes a traced photo by hand: one method with points, one with a map only."""

    def make(
        names: Sequence[str] = ("tabby, tabby cat", "lynx", "hay"),
        shape: tuple[int, int] = (60, 90),
        photo_name: str = "cat.jpg",
        methods: Sequence[str] = ("evidence", "grad-cam"),
        pixels: np.ndarray | None = None,
        layer: str | None = None,
    ) -> TracedPhoto:
        rows, columns = np.indices(shape)
        if pixels is None:
            colours = [rows * 255 // shape[0], columns * 255 // shape[1], 0 * rows + 90]
            pixels = np.stack(colours, axis=-1).astype(np.uint8)
        targets = []
        for index, name in enumerate(names):
            centre = (0.3 + 0.4 * (index % 2), (index + 0.5) / len(names))
            heat = peaked(centre)
            found = {
                "evidence": Explanation("evidence", make_fixations(shape, centre)),
                "nothing": Explanation("nothing", make_fixations(shape, None)),
            }
            explanations = tuple(found.get(method, Explanation(method, None, heat)) for method in methods)
            neuron = (index,) if layer is None else (index, 0, 7)
            targets.append(Target(name, layer, neuron, 0.6 / (index + 1), explanations))
        photo = Photo(pixels, photo_name)
        predictions = tuple(Prediction(one.name, i, one.value) for i, one in enumerate(targets))
        classifier: Any = SimpleNamespace(name="a classifier", model=None)
        prepared: Any = None
        return TracedPhoto(photo, classifier, prepared, tuple(methods), predictions, tuple(targets))

    return make


def colour_model() -> keras.Model:
    """Tells red, green and blue pixels apart: the last map has a channel for each colour."""
    image = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="colours")(image)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="classes")(x), name="colours")
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1] = 2 * np.eye(3) - 1
    model.set_weights([kernel, np.zeros(3, np.float32), 40 * np.eye(3, dtype=np.float32), np.zeros(3)])
    return model


@pytest.fixture(scope="session")
def colour_classifier() -> Classifier:
    preprocess = Preprocessing(24, 24, values="unit")
    return Classifier(colour_model(), ("red, crimson", "green", "blue"), preprocess, "colours")


@pytest.fixture
def patches() -> np.ndarray:
    """uint8 [48, 96, 3]: grey with a large red patch at the upper left and a small blue one at the lower
    right."""
    pixels = np.full((48, 96, 3), 90, np.uint8)
    pixels[4:20, 8:40] = (255, 0, 0)
    pixels[32:44, 72:88] = (0, 0, 255)
    return pixels


@pytest.fixture(scope="session")
def make_captioner() -> Callable[[int], Captioner]:
    """A function that makes a captioner of a few hundred random weights, for photos of some side."""
    return tiny_captioner.make


@pytest.fixture(scope="session")
def captioner(make_captioner: Callable[[int], Captioner]) -> Captioner:
    return make_captioner(16)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that registers methods, name -> callable (or an error to raise when it is loaded)."""

    def register(**explain: Any) -> None:
        def entry(name: str) -> Any:
            def load() -> Any:
                if isinstance(explain[name], Exception):
                    raise explain[name]
                return explain[name]

            return SimpleNamespace(name=name, load=load)

        monkeypatch.setattr(methods, "entry_points", lambda group: [entry(name) for name in explain])

    return register
