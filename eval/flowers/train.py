"""Train a network that classifies drawn flowers, on the processor, in minutes: `gazeback train flowers`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from gazeback.eval.flowers.flowers import SEEDS, class_names, flowers
from gazeback.eval.flowers.network import build, classifier_of, write_half
from gazeback.models.classifiers import Classifier, keras_files
from gazeback.models.errors import UserError
from gazeback.models.writing import check_output

BATCH, LEARNING_RATE, HELD_OUT = 32, 1.5e-3, 600

Report = Callable[[str, int, int, float | None], None]


@dataclass(frozen=True)
class Settings:
    """The number of training pictures and epochs, and the seed of the initial weights and the order."""

    pictures: int = 1800
    epochs: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A trained network, and the fraction of ``count`` held-out pictures that it classifies correctly."""

    classifier: Classifier
    accuracy: float
    count: int


def train_flowers(
    kind: str, out: Path, settings: Settings, report: Report, held_out: int = HELD_OUT
) -> Trained:
    """Draw pictures, train a network on them, and write it.

    Args:
        kind: of flowers; ``out``: a ``.keras`` file, or ``.npz`` for half precision.
        report: ``report(what, done, total, loss)``, called after every picture and batch.
        held_out: the number of other pictures on which the network is measured.

    Raises:
        UserError: there is no such kind, fewer pictures than classes, or ``out`` cannot be written.
    """
    classes = len(class_names(kind))
    if settings.pictures < classes:
        raise UserError(f"{settings.pictures} pictures do not show each of the {classes} classes of {kind}")
    if out.suffix not in (".keras", ".npz"):
        raise UserError(f"--out {out}: expected a file that ends in .keras, or in .npz for half precision")
    check_output(out, "--out", ".keras", ".npz")
    keras.utils.set_random_seed(settings.seed)
    classifier = classifier_of(kind, build(classes))
    _fit(classifier.model, *_drawn(kind, "train", settings.pictures, report), settings, report)
    if out.suffix == ".npz":
        write_half(classifier, out)
    else:
        keras_files.save(classifier, out)
    images, labels = _drawn(kind, "held-out", held_out, report)
    return Trained(classifier, accuracy(classifier, images, labels), held_out)


def accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Compute the fraction of pictures, uint8 ``[n, 128, 128, 3]``, whose class is the most probable one."""
    parts = [classifier.probabilities(images[part]) for part in _batches(np.arange(len(images)))]
    return float((np.concatenate(parts).argmax(axis=1) == labels).mean())


def _drawn(kind: str, part: str, count: int, report: Report) -> tuple[np.ndarray, np.ndarray]:
    """Draw the first pictures of a part of ``SEEDS``: uint8 ``[count, 128, 128, 3]``, and classes
    ``[count]``."""
    images, labels = [], []
    for each in flowers(kind, SEEDS[part], range(count)):
        images.append(each.image)
        labels.append(each.label)
        report(f"drawing {part}", len(images), count, None)
    return np.stack(images), np.array(labels)


def _fit(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, settings: Settings, report: Report
) -> None:
    """Train with cross-entropy and Adam; the learning rate decays as a cosine."""
    steps = settings.epochs * -(-len(images) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    done = 0
    for epoch in range(settings.epochs):
        for part in _batches(np.random.default_rng([settings.seed, epoch]).permutation(len(images))):
            loss = float(model.train_on_batch(images[part].astype(np.float32), labels[part]))
            done += 1
            report("train", done, steps, loss)


def _batches(order: np.ndarray) -> Iterator[np.ndarray]:
    return (order[start : start + BATCH] for start in range(0, len(order), BATCH))
