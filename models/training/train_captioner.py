"""Train a Show-and-Tell captioner: first on the features of a frozen encoder, then with the encoder's last
blocks.
"""

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from gazeback.models import show_and_tell
from gazeback.models.captioner import Captioner
from gazeback.models.contents import digest, versions
from gazeback.models.encoders import build_encoder, last_map_layer
from gazeback.models.errors import UserError
from gazeback.models.training.activation_cache import ActivationCache
from gazeback.models.training.batches import EncodedCaptions
from gazeback.models.training.captions_folder import read_captions_folder
from gazeback.models.training.checkpoint import Checkpoint, Standing
from gazeback.models.training.objective import Trainee
from gazeback.models.training.phase import Material, run_phase
from gazeback.models.training.settings import Plan, Settings
from gazeback.models.vocabulary import Vocabulary

POOL = show_and_tell.POOL


class Run:
    """One training run: the model, its data, and the files in which both are kept."""

    def __init__(self, data: Path, work: Path, settings: Settings) -> None:
        keras.utils.set_random_seed(settings.seed)
        self.settings, self.work = settings, work
        self.train, self.dev = read_captions_folder(data)
        words = (caption for captions in self.train.captions for caption in captions)
        self.vocabulary = Vocabulary.from_captions(words, settings.min_count)
        self.encoder = build_encoder(settings.encoder, settings.weights)
        self.model = show_and_tell.build(
            self.encoder,
            len(self.vocabulary),
            settings.embedding_size,
            settings.units,
            settings.dropout,
            settings.feature_dropout,
            settings.word_dropout,
        )
        self._start = digest(self.encoder, versions())
        self.cut = settings.fine_tune_layer()
        self.tail = None if self.cut is None else self._between(self.cut, POOL)
        self.decoder = show_and_tell.decoder(self.model)

    def _output(self, layer: str) -> keras.KerasTensor:
        return self.model.get_layer(layer).output

    def _between(self, first: str, last: str) -> keras.Model:
        """The layers from ``first``'s output to ``last``'s output; raises UserError if a shortcut goes
        around it.
        """
        if first not in {layer.name for layer in self.encoder.layers}:
            raise UserError(f"--fine-tune-after: the encoder {self.settings.encoder} has no layer {first!r}")
        try:
            return keras.Model(self._output(first), self._output(last))
        except ValueError:
            raise UserError(
                f"--fine-tune-after: a shortcut goes around layer {first!r}; choose the end of a block"
            ) from None

    def activations(self, report: Callable) -> dict[str, dict[str, list[np.ndarray]]]:
        """Compute and cache the activations of the frozen encoder: per split and layer, one array per
        view."""
        layers = (POOL,) if self.cut is None else (POOL, self.cut)
        encoder = keras.Model(self.model.inputs[0], self._output(POOL), name=self.encoder.name)
        cache = ActivationCache(self.work / "cache", encoder, layers, self.settings.seed)

        def progress(done: int, total: int) -> None:
            report("features", done, total, None)

        return {
            "train": cache.load(self.train, self.settings.views, progress),
            "dev": cache.load(self.dev, 1, progress),
        }

    def phase(self, plan: Plan, trainee: Trainee, views: dict, layer: str, report: Callable) -> Standing:
        """Run one phase on the cached activations of ``layer``."""
        relevant = self.settings.relevant_to(plan.name)
        settings = digest(relevant, self.train.digest, self.dev.digest, self._start)
        train, dev = (
            Material(EncodedCaptions.of(split, self.vocabulary, self.settings.max_words), views[name][layer])
            for name, split in (("train", self.train), ("dev", self.dev))
        )
        return run_phase(
            trainee, plan, train, dev, Checkpoint(self.work / f"{plan.name}.npz", settings), report
        )

    def freeze_batch_statistics(self) -> None:
        """Keep every batch normalisation at its learned statistics (32 photos are too few to renew them)."""
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False

    def mean_features(self, views: dict) -> np.ndarray:
        """The mean pooled feature vector ``[C]`` over the training photos, with the current encoder."""
        if self.tail is None:
            return np.asarray(np.mean(views["train"][POOL][0], axis=0, dtype=np.float64), np.float32)
        maps = views["train"][self.cut][0]
        self.tail.compile(jit_compile=False)
        pooled = [
            self.tail.predict_on_batch(maps[i : i + 100].astype(np.float32)) for i in range(0, len(maps), 100)
        ]
        return np.concatenate(pooled).mean(axis=0, dtype=np.float64).astype(np.float32)

    def captioner(self, mean_features: np.ndarray, name: str) -> Captioner:
        """The trained model with its vocabulary."""
        return Captioner(
            model=self.model,
            vocabulary=self.vocabulary,
            mean_features=mean_features,
            features_layer=last_map_layer(self.encoder),
            name=name,
        )


def train_captioner(
    data: str | Path,
    out: str | Path,
    settings: Settings,
    report: Callable[[str, int, int, float | None], None],
) -> Captioner:
    """Train on a captions folder and write the captioner to ``out`` (a ``.keras`` file).

    Features, checkpoints and the log are in the folder ``out`` with ``.training`` appended. A run that was
    stopped resumes if it is started again with the same settings. ``report(what, done, total, loss)`` is
    called to report progress.
    """
    out = Path(out)
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise UserError(f"{out}: there is no such folder to write to, or it is not writable")
    run = Run(Path(data), out.with_name(out.name + ".training"), settings)
    views = run.activations(report)
    run.phase(settings.frozen_plan(), Trainee(None, run.decoder), views, POOL, report)
    if run.tail is not None and run.cut is not None:
        run.freeze_batch_statistics()
        for plan in settings.fine_tune_plans():
            run.phase(plan, Trainee(run.tail, run.decoder), views, run.cut, report)
    captioner = run.captioner(run.mean_features(views), out.stem)
    captioner.save(out)
    return captioner
