"""Train a classifier of sketches from random weights, on the processor, in minutes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from gazeback.models.classifiers import keras_files
from gazeback.models.classifiers.classifier import Classifier
from gazeback.models.classifiers.half_precision import NETWORKS
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.classifiers.strokes import Strokes
from gazeback.models.contents import digest, files_digest, versions
from gazeback.models.photos import load_photo
from gazeback.models.training.checkpoint import Checkpoint, Standing
from gazeback.models.training.epochs import Report, run_epochs, warmed_up
from gazeback.models.training.sketch_folder import Sketches, read_sketch_folder
from gazeback.models.training.sketch_settings import DILATIONS, MARGIN, MOST_DILATIONS, OPTIONS, Settings
from gazeback.models.training.sketch_views import Drawing

WARM_UP_SHARE, WEIGHT_DECAY, SMOOTHING = 0.1, 1e-2, 0.1


@dataclass(frozen=True)
class Accuracy:
    """Fractions of ``count`` sketches whose class is the most probable one, or among the five most
    probable."""

    top_1: float
    top_5: float
    count: int


def preprocessing_of(settings: Settings) -> Preprocessing:
    """The preprocessing of a sketch for the network."""
    size = OPTIONS[settings.network]["image_size"]
    return Preprocessing(size, size, 1, placement="sketch", dilations=DILATIONS, margin=MARGIN)


class Run:
    """One training run: the network and its sketches."""

    def __init__(self, data: Path, settings: Settings) -> None:
        keras.utils.set_random_seed(settings.seed)
        self.settings = settings
        self.class_names, self.splits = read_sketch_folder(data)
        self.options = {"classes": len(self.class_names), **OPTIONS[settings.network]}
        self.model = NETWORKS[settings.network](**self.options)
        self.preprocess = preprocessing_of(settings)
        self.drawings = [Drawing.of(load_photo(path), MOST_DILATIONS) for path in self.splits["train"].paths]

    def compile(self) -> None:
        """Cross-entropy with smoothed labels; AdamW whose rate warms up and then decays as a cosine."""
        settings = self.settings
        steps = settings.epochs * -(-len(self.drawings) // settings.batch)
        rate = warmed_up(settings.learning_rate, steps, WARM_UP_SHARE)
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
        optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
        self.model.compile(optimizer, loss, jit_compile=False)
        optimizer.build(self.model.trainable_variables)

    def batches(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """An epoch's batches of views and one-hot labels; depend on the seed and the epoch only."""
        random = np.random.default_rng([self.settings.seed, epoch])
        order = random.permutation(len(self.drawings))
        style = Strokes(self.preprocess.height, self.preprocess.width, margin=self.preprocess.margin)
        labels = np.eye(len(self.class_names), dtype=np.float32)[list(self.splits["train"].labels)]
        starts = range(0, len(order), self.settings.batch)
        parts = [order[start : start + self.settings.batch] for start in starts]

        def views(part: np.ndarray) -> np.ndarray:
            return np.stack([self.drawings[i].view(style, random) for i in part])[..., None]

        with ThreadPoolExecutor(1) as pool:  # one worker: the order of random numbers stays the same
            pending = [pool.submit(views, part) for part in parts]
            for part, future in zip(parts, pending, strict=True):
                yield future.result(), labels[part]

    def pixels(self, sketches: Sketches) -> np.ndarray:
        """Unchanged sketches, as the network reads them: float32 ``[n, height, width, 1]``."""
        return np.stack([self.preprocess(load_photo(path)).pixels for path in sketches.paths])

    def classifier(self, name: str) -> Classifier:
        """The network with its names and its preprocessing."""
        return Classifier(self.model, self.class_names, self.preprocess, name)


def train_sketch(
    data: str | Path, out: str | Path, settings: Settings, report: Report
) -> tuple[Classifier, Accuracy]:
    """Train on a folder of sketches; write the classifier to ``out`` (``.keras``); measure it on the held-out
    sketches.

    The checkpoint is in the folder ``out`` with ``.training`` appended. A run that was stopped resumes after
    the last finished epoch if it is started again with the same settings. ``report(what, done, total, loss)``
    is called after every batch (``what`` = "train") and after every epoch ("dev", with the dev sketches'
    cross-entropy in nats).
    """
    out = Path(out)
    run = Run(Path(data), settings)
    run.compile()
    learned = files_digest(path for name in ("train", "dev") for path in run.splits[name].paths)
    labels = [run.splits[name].labels for name in ("train", "dev")]
    facts = digest(asdict(settings), OPTIONS[settings.network], run.class_names, learned, labels, versions())
    folder = out.with_name(out.name + ".training")
    _fit(run, Checkpoint(folder / f"{settings.network}.npz", facts), report)
    classifier = run.classifier(out.stem)
    keras_files.save(classifier, out)
    held_out = run.splits["held-out"]
    return classifier, accuracy(classifier, run.pixels(held_out), np.array(held_out.labels))


def accuracy(classifier: Classifier, pixels: np.ndarray, labels: np.ndarray, batch: int = 64) -> Accuracy:
    """Measure a classifier on preprocessed images ``[n, height, width, channels]`` and labels ``[n]``."""
    parts = [classifier.probabilities(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
    answer = np.concatenate(parts)
    rank = (answer > answer[np.arange(len(labels)), labels][:, None]).sum(axis=1)
    return Accuracy(float((rank < 1).mean()), float((rank < 5).mean()), len(labels))


def _fit(run: Run, checkpoint: Checkpoint, report: Report) -> None:
    """Train the network, and keep the weights of the epoch with the lowest dev loss."""
    settings, model = run.settings, run.model
    dev = run.pixels(run.splits["dev"]), np.array(run.splits["dev"].labels)
    steps = -(-len(run.drawings) // settings.batch)

    def epoch_of(epoch: int) -> None:
        for done, (pixels, labels) in enumerate(run.batches(epoch), 1):
            loss = float(model.train_on_batch(pixels, labels))
            report("train", epoch * steps + done, settings.epochs * steps, loss)

    run_epochs(
        Standing(settings.network), settings.epochs, settings.patience, epoch_of,
        lambda: _cross_entropy(model, *dev), model.variables, model.optimizer, checkpoint, report,
    )  # fmt: skip


def _cross_entropy(model: keras.Model, pixels: np.ndarray, labels: np.ndarray, batch: int = 64) -> float:
    """Mean cross-entropy in nats."""
    parts = [model.predict_on_batch(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
    answer = np.concatenate([np.asarray(part) for part in parts])
    return float(-np.log(answer[np.arange(len(labels)), labels] + 1e-9).mean())
