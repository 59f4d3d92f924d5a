"""Measure the cost of grounding, as ratios.

`evaluate speed` uses one process in which tasks take turns, and reports medians over rounds. A ratio is of
two times that were taken directly after each other on the same photo, so that a slow minute of the machine
slows both. Times depend on the machine; ratios hardly do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gazeback.grounding.captions import ground, ground_batch, word_evidence
from gazeback.models.captioner import Captioner
from gazeback.models.photos import BATCH, Photo, squeeze

RATIOS = {
    "grounding / captioning": ("ground", "caption"),
    "grounding a given caption / captioning": ("ground a given caption", "caption"),
    "tracing one word / forward pass": ("trace one word", "forward pass"),
    "tracing all words / forward pass": ("trace all words", "forward pass"),
}

BATCH_RATIOS = {
    "CNN: photos one by one / in a batch": ("encode one by one", "encode a batch"),
    "grounding: photos one by one / in a batch": ("ground one by one", "ground a batch"),
}

Task = Callable[[], object]

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]


def times(tasks: Mapping[str, Task], rounds: int, before: Task) -> dict[str, list[float]]:
    """Measure the seconds of each task in every round. An extra first round compiles, and does not count.

    `before` runs directly before each task and is not timed, so that all tasks find the same caches.
    Otherwise the first task would be the slowest, because it follows the task with the largest memory of the
    round before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for count in range(rounds + 1):
        for name, task in tasks.items():
            before()
            start = perf_counter()
            task()
            if count > 0:
                seconds[name].append(perf_counter() - start)
    return seconds


def tasks_for(captioner: Captioner, forward: Forward, photo: Photo, method: str) -> dict[str, Task]:
    """The tasks that are timed on one photo, at batch 1, in turns; they start from the decoded photo or its
    pixels."""
    pixels = squeeze(photo, captioner.image_size).pixels
    caption = captioner.generate(pixels[None])[0]
    ids = list(caption.ids)
    words = np.array([[captioner.vocabulary.start, *ids]], np.int32)
    text = " ".join(caption.words)
    return {
        "caption": lambda: captioner.generate(pixels[None]),
        "ground": lambda: ground(captioner, photo, method=method),
        "ground a given caption": lambda: ground(captioner, photo, text, method=method),
        "forward pass": lambda: forward(pixels[None], words),
        "trace one word": lambda: word_evidence(
            captioner, pixels, ids, positions=[len(ids) // 2], method=method
        ),
        "trace all words": lambda: word_evidence(captioner, pixels, ids, method=method),
    }


def evaluate(
    captioner: Captioner, photos: Sequence[Photo], rounds: int, method: str
) -> Iterator[dict[str, Any]]:
    """Measure the seconds of every task in every round, photo by photo."""
    forward = _compiled(captioner.model)
    for photo in photos:
        tasks = tasks_for(captioner, forward, photo, method)
        yield {"file_name": photo.name, "seconds": times(tasks, rounds, before=tasks["forward pass"])}


def evaluate_batch(
    captioner: Captioner, photos: Sequence[Photo], rounds: int, method: str
) -> list[dict[str, Any]]:
    """Measure the seconds in every round for the first `BATCH` photos together, one by one and in a batch."""
    photos = photos[:BATCH]
    pixels = np.stack([squeeze(photo, captioner.image_size).pixels for photo in photos])
    tasks: dict[str, Task] = {
        "encode one by one": lambda: [captioner.features(one[None]) for one in pixels],
        "encode a batch": lambda: captioner.features(pixels),
        "ground one by one": lambda: [ground(captioner, photo, method=method) for photo in photos],
        "ground a batch": lambda: list(ground_batch(captioner, photos, method=method)),
    }
    seconds = times(tasks, rounds, before=tasks["encode a batch"])
    return [{"file_name": f"{len(photos)} photos", "seconds": seconds}]


def summarise(
    measured: Sequence[Mapping[str, Any]], ratios_of: Mapping[str, tuple[str, str]] = RATIOS
) -> dict[str, Any]:
    """Compute medians and quartiles over all photos and rounds: of times in milliseconds, and of paired
    ratios."""
    seconds = [row["seconds"] for row in measured]
    names = seconds[0]
    ratios = {
        label: np.concatenate([np.divide(row[top], row[bottom]) for row in seconds])
        for label, (top, bottom) in ratios_of.items()
    }
    milliseconds = {name: 1000 * np.concatenate([row[name] for row in seconds]) for name in names}
    return {
        "ratios": {label: quartiles(values) for label, values in ratios.items()},
        "milliseconds": {name: quartiles(values) for name, values in milliseconds.items()},
    }


def quartiles(values: np.ndarray) -> dict[str, float | int]:
    """Compute median, quartiles and the number of values."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"n": len(values), "median": float(median), "quartile_1": float(low), "quartile_3": float(high)}


def _compiled(model: keras.Model) -> Forward:
    """Compile the whole model, picture and words, as one call at batch 1."""
    image, words = model.inputs
    call = tf.function(
        lambda pixels, ids: model([pixels, ids], training=False),
        input_signature=[
            tf.TensorSpec((1, *image.shape[1:]), image.dtype),
            tf.TensorSpec((1, *words.shape[1:]), words.dtype),
        ],
    )
    return lambda pixels, ids: np.asarray(call(pixels, ids))
