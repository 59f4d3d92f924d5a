"""Train a caption generator: first on a frozen encoder's features, then with the encoder's last blocks."""

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

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
from gazeback.models.training.phase import Material, run_phase
from gazeback.models.training.settings import FROZEN, Plan, Settings
from gazeback.models.vocabulary import Vocabulary


class Run:
    """One training run: the model, its data, and the files in which both are kept."""

    def __init__(self, data: Path, work: Path, settings: Settings, also: Path | None = None) -> None:
        keras.utils.set_random_seed(settings.seed)
        self.settings, self.work = settings, work
        self.train, self.dev = read_captions_folder(data)
        if also is not None:
            self.train = together(self.train, read_everyday(also)[0])
        words = (caption for captions in self.train.captions for caption in captions)
        self.vocabulary = Vocabulary.from_captions(words, settings.min_count)
        self.encoder = self._build_encoder()
        self.model = show_and_tell.build(
            self.encoder,
            len(self.vocabulary),
            settings.embedding_size,
            settings.units,
            settings.attention_size,
            settings.dropout,
            settings.feature_dropout,
            settings.word_dropout,
        )
        self._start = digest(self.encoder, versions())
        self.last_map = last_map_layer(self.encoder)
        self.cut = settings.fine_tune_layer() or self.last_map
        self.trainee = Trainee(self._photos(), show_and_tell.decoder(self.model))

    def _build_encoder(self) -> keras.Model:
        """The encoder of the settings: a network by name, or that of a captioner's file."""
        name = self.settings.encoder
        if not name.endswith(".keras"):
            return build_encoder(name, self.settings.weights)
        trained = load_captioner(name)
        return keras.Model(trained.model.inputs[0], trained.model.get_layer(trained.features_layer).output)

    def _photos(self) -> keras.Model:
        """The layers from the cut to the language half; raises UserError if a shortcut goes around it."""
        if self.cut not in {layer.name for layer in self.encoder.layers}:
            raise UserError(
                f"--fine-tune-after: the encoder {self.settings.encoder} has no layer {self.cut!r}"
            )
        try:
            return keras.Model(self.encoder.get_layer(self.cut).output, show_and_tell.of_photo(self.model))
        except ValueError:
            raise UserError(
                f"--fine-tune-after: a shortcut goes around layer {self.cut!r}; choose the end of a block"
            ) from None

    def activations(self, report: Callable) -> dict[str, list[np.ndarray]]:
        """Compute and cache the activations of the frozen encoder: per split, one array per view."""
        cache = ActivationCache(self.work / "cache", self.encoder, self.cut, self.settings.seed)

        def progress(done: int, total: int) -> None:
            report("features", done, total, None)

        return {
            "train": cache.load(self.train, self.settings.views, progress),
            "dev": cache.load(self.dev, 1, progress),
        }

    def phase(self, plan: Plan, views: dict[str, list[np.ndarray]], report: Callable) -> Standing:
        """Run one phase on the cached activations."""
        relevant = self.settings.relevant_to(plan.name)
        settings = digest(relevant, self.train.digest, self.dev.digest, self._start)
        train, dev = (
            Material(EncodedCaptions.of(split, self.vocabulary, self.settings.max_words), views[name])
            for name, split in (("train", self.train), ("dev", self.dev))
        )
        self._let_learn(plan.name)
        checkpoint = Checkpoint(self.work / f"{plan.name}.npz", settings)
        return run_phase(self.trainee, plan, train, dev, checkpoint, report)

    def _let_learn(self, phase: str) -> None:
        """Let the layers learn that learn in a phase: first the language half, then the encoder's last blocks
        too. Then every batch normalisation keeps its statistics (few captions renew them badly).
        """
        frozen = phase == FROZEN
        of_encoder = {id(layer) for layer in self.encoder.layers}
        for layer in self.model.layers:
            normalises = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = id(layer) not in of_encoder if frozen else not normalises
        self.trainee = Trainee(self.trainee.photos, self.trainee.captions)

    def mean_features(self, views: dict[str, list[np.ndarray]]) -> np.ndarray:
        """The mean pooled feature vector ``[C]`` over the training photos, with the current encoder."""
        maps, last_map = views["train"][0], self.encoder.get_layer(self.last_map).output
        pooled = keras.Model(self.encoder.get_layer(self.cut).output, keras.ops.mean(last_map, axis=(1, 2)))
        pooled.compile(jit_compile=False)
        means = [
            pooled.predict_on_batch(maps[i : i + 100].astype(np.float32)) for i in range(0, len(maps), 100)
        ]
        return np.concatenate(means).mean(axis=0, dtype=np.float64).astype(np.float32)

    def captioner(self, mean_features: np.ndarray, name: str) -> Captioner:
        """The trained model with its vocabulary."""
        return Captioner(
            model=self.model,
            vocabulary=self.vocabulary,
            mean_features=mean_features,
            features_layer=self.last_map,
            name=name,
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
    captioner = run.captioner(run.mean_features(views), out.stem)
    captioner.save(out)
    return captioner
