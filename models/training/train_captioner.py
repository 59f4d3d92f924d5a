"""Train a caption generator: first on a frozen encoder's features, then with the encoder's last blocks."""

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from scipy.optimize import minimize_scalar

from gazeback.models import show_and_tell
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.contents import digest, versions
from gazeback.models.encoders import build_encoder, last_map_layer
from gazeback.models.errors import UserError
from gazeback.models.training.activation_cache import ActivationCache
from gazeback.models.training.batches import EncodedCaptions
from gazeback.models.training.captions_folder import read_captions_folder, read_everyday, together
from gazeback.models.training.checkpoint import Checkpoint, Standing
from gazeback.models.training.objective import Trainee
from gazeback.models.training.phase import Material, dev_loss, run_phase
from gazeback.models.training.settings import FROZEN, Plan, Settings
from gazeback.models.vocabulary import Vocabulary

POOL = show_and_tell.POOL
LOG_TEMPERATURES = (-2.0, 2.0)


class Run:
    """One training run: the model, its data, and the files in which both are kept."""

    def __init__(self, data: Path, work: Path, settings: Settings, also: Path | None = None) -> None:
        keras.utils.set_random_seed(settings.seed)
        self.settings, self.work = settings, work
        self.train, self.dev = read_captions_folder(data)
        if also is not None:
            self.train = together(self.train, read_everyday(also)[0])
        captions = [caption for of_photo in self.train.captions for caption in of_photo]
        self.vocabulary = Vocabulary.from_captions(captions, settings.min_count)
        self.once = self.vocabulary.said_once(captions)
        self.encoder = self._build_encoder()
        self.model = show_and_tell.build(
            self.encoder,
            len(self.vocabulary),
            settings.embedding_size,
            settings.units,
            settings.every_word,
            settings.dropout,
            settings.feature_dropout,
            settings.word_dropout,
        )
        self._start = digest(self.encoder, versions())
        self.last_map = last_map_layer(self.encoder)
        self.cut = settings.fine_tune_layer() or POOL
        self.decoder = show_and_tell.decoder(self.model)
        self._behind(self.cut, show_and_tell.of_photo(self.model))

    def _build_encoder(self) -> keras.Model:
        """The encoder of the settings: a network by name, or that of a captioner's file."""
        name = self.settings.encoder
        if not name.endswith(".keras"):
            return build_encoder(name, self.settings.weights)
        trained = load_captioner(name)
        return keras.Model(trained.model.inputs[0], trained.model.get_layer(trained.features_layer).output)

    def _output(self, layer: str) -> keras.KerasTensor:
        return self.model.get_layer(layer).output

    def _behind(self, layer: str, outputs: list[keras.KerasTensor]) -> keras.Model:
        """The layers from a layer's output to some outputs; raises UserError if there is no such layer, or a
        shortcut goes around it.
        """
        if layer not in {one.name for one in self.encoder.layers} | {POOL}:
            raise UserError(f"--fine-tune-after: the encoder {self.settings.encoder} has no layer {layer!r}")
        try:
            return keras.Model(self._output(layer), outputs)
        except ValueError:
            raise UserError(
                f"--fine-tune-after: a shortcut goes around layer {layer!r}; choose the end of a block"
            ) from None

    def activations(self, report: Callable) -> dict[str, list[np.ndarray]]:
        """Compute and cache the activations of the frozen encoder: per split, one array per view."""
        encoder = keras.Model(self.model.inputs[0], self._output(POOL), name=self.encoder.name)
        cache = ActivationCache(self.work / "cache", encoder, self.cut, self.settings.seed)

        def progress(done: int, total: int) -> None:
            report("features", done, total, None)

        return {
            "train": cache.load(self.train, self.settings.views, progress),
            "dev": cache.load(self.dev, 1, progress),
        }

    def phase(self, plan: Plan, views: dict[str, list[np.ndarray]], report: Callable) -> Standing:
        """Run one phase on the cached activations; the first one, in which the encoder does not learn, on the
        pooled features that these give.
        """
        relevant = self.settings.relevant_to(plan.name)
        settings = digest(relevant, self.train.digest, self.dev.digest, self._start)
        first = POOL if plan.name == FROZEN else self.cut
        if first == POOL:
            views = {split: [self._pooled(maps) for maps in of_split] for split, of_split in views.items()}
        train, dev = (
            Material(EncodedCaptions.of(split, self.vocabulary, self.settings.max_words), views[name])
            for name, split in (("train", self.train), ("dev", self.dev))
        )
        for layer in self.model.layers:  # few captions would renew the batch statistics badly
            if first != POOL and isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        trainee = Trainee(self._behind(first, show_and_tell.of_photo(self.model)), self.decoder)
        checkpoint = Checkpoint(self.work / f"{plan.name}.npz", settings)
        return run_phase(trainee, plan, train, dev, checkpoint, report)

    def calibrate(self, views: dict[str, list[np.ndarray]]) -> float:
        """Divide the logits by the temperature with the lowest dev loss, in the word layer's weights; return
        it.

        Source: Guo, Pleiss, Sun, Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017, section
        4.2.
        """
        dev = Material(
            EncodedCaptions.of(self.dev, self.vocabulary, self.settings.max_words),
            [self._pooled(views["dev"][0])],
        )
        words = self.model.get_layer(show_and_tell.WORD_LOGITS)
        trained = words.get_weights()
        loss = Trainee(self._behind(POOL, show_and_tell.of_photo(self.model)), self.decoder).dev_step()

        def loss_at(log_temperature: float) -> float:
            words.set_weights([array / np.exp(log_temperature) for array in trained])
            return dev_loss(loss, dev)

        found = minimize_scalar(loss_at, bounds=LOG_TEMPERATURES, method="bounded", options={"xatol": 0.01})
        loss_at(found.x)
        return float(np.exp(found.x))

    def _pooled(self, maps: np.ndarray) -> np.ndarray:
        """The pooled features ``[photos, C]`` of cached activations, with the current encoder."""
        if self.cut == POOL:
            return maps
        pool = self._behind(self.cut, [self._output(POOL)])
        pool.compile(jit_compile=False)
        parts = [maps[i : i + 100].astype(np.float32) for i in range(0, len(maps), 100)]
        return np.concatenate([np.asarray(pool.predict_on_batch(part)) for part in parts])

    def mean_features(self, views: dict[str, list[np.ndarray]]) -> np.ndarray:
        """The mean pooled feature vector ``[C]`` over the training photos, with the current encoder."""
        return self._pooled(views["train"][0]).mean(axis=0, dtype=np.float64).astype(np.float32)

    def captioner(self, mean_features: np.ndarray, name: str) -> Captioner:
        """The trained model with its vocabulary."""
        return Captioner(
            model=self.model,
            vocabulary=self.vocabulary,
            mean_features=mean_features,
            features_layer=self.last_map,
            name=name,
            once=self.once,
        )


def train_captioner(
    data: str | Path,
    out: str | Path,
    settings: Settings,
    report: Callable[[str, int, int, float | None], None],
    also: str | Path | None = None,
) -> Captioner:
    """Train on a captions folder and write the captioner to ``out`` (a ``.keras`` file).

    ``also`` is a second captions folder to learn from, of which only nine photos in ten are used (see
    ``read_everyday``). Features, checkpoints and the log are in the folder ``out`` with ``.training``
    appended. A run that was stopped resumes if it is started again with the same settings.
    ``report(what, done, total, loss)`` is called to report progress.
    """
    out = Path(out)
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise UserError(f"{out}: there is no such folder to write to, or it is not writable")
    work = out.with_name(out.name + ".training")
    run = Run(Path(data), work, settings, None if also is None else Path(also))
    views = run.activations(report)
    for plan in settings.plans():
        run.phase(plan, views, report)
    run.calibrate(views)
    captioner = run.captioner(run.mean_features(views), out.stem)
    captioner.save(out)
    return captioner
