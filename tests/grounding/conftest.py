"""Groundings and traced photos made by hand; a classifier whose answers are obvious; a browser."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from gazeback.cnn_trace.fixations import Fixations
from gazeback.grounding.classes import Explanation, Prediction, Target, TracedPhoto
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.photos import Photo

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome to drive")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_file(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page from its file; no trouble and no request may come of it."""
    contexts, troubles = [], []

    def open_file(path: Path, **options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1200, "height": 800}} | options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if is_foreign(request.url) else None)

        def is_foreign(url: str) -> bool:
            return not url.startswith("data:") and url != path.as_uri()

        page.goto(path.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert troubles == []


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
    return SimpleNamespace(
        text=text,
        known=known,
        logprob=visual + language,
        visual=visual,
        language=language,
        visual_share=max(0.0, 1 - math.exp(-visual)),
        preceding=tuple((-1) ** step * 0.2 * (step + 1) for step in range(index)),
        runners_up=(("cat", 0.12), ("horse", 0.05)),
        fixations=fixations,
    )


@pytest.fixture
def make_grounding() -> Callable[..., SimpleNamespace]:
    """A function that makes a grounding of any words on a photo of any (height, width)."""

    def make(
        texts: Sequence[str] = ("a", "brown", "dog"),
        shape: tuple[int, int] = (60, 90),
        name: str = "dog.jpg",
        unknown: Sequence[str] = (),
        empty: Sequence[str] = (),
    ) -> SimpleNamespace:
        rows, columns = np.indices(shape)
        pixels = np.stack([rows * 255 // shape[0], columns * 255 // shape[1], 0 * rows + 90], axis=-1)
        words = []
        for index, text in enumerate(texts):
            centre = (0.3 + 0.4 * (index % 2), (index + 0.5) / len(texts))
            fixations = make_fixations(shape, None if text in empty else centre)
            visual = -0.05 if text in ("a", "of", "the") else 1.2
            words.append(make_word(text, fixations, index, visual, known=text not in unknown))
        photo = SimpleNamespace(
            pixels=pixels.astype(np.uint8), name=name, path=None, width=shape[1], height=shape[0]
        )
        return SimpleNamespace(
            photo=photo,
            caption=" ".join(texts),
            logprob=sum(word.logprob for word in words) - 0.2,
            words=tuple(words),
            method="evidence",
            model_name="a captioner",
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
            peak = np.floor(np.multiply(centre, (30, 45)))
            distance = np.linalg.norm(np.indices((30, 45)).T - peak, axis=-1).T
            heat = np.maximum(0, 1 - distance / 6).astype(np.float32)
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
