"""Train a captioner of scenes from random weights: ``gazeback train scenes``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.eval.scenes.captions import VISUAL_KINDS, Caption, drawn, misled
from gazeback.eval.scenes.drawing import SHAPES
from gazeback.eval.scenes.scenes import COLOURS, SIDE, SIZES, Scene, scene
from gazeback.models import bundled, scene_networks, show_and_tell
from gazeback.models.captioner import Captioner
from gazeback.models.errors import UserError
from gazeback.models.vocabulary import Vocabulary

TRAIN_SEED = 0
"""The seed of the training scenes."""

Report = Callable[[str, int, int, float | None], None]
Batch = tuple[tuple[np.ndarray, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]

CAPTIONS, FACTS, SPREAD = "captions", "facts", "spread"
_CUTS = (0.33, 0.5, 0.67)
_FACTS_WEIGHT = 10.0
_MISLED = 0.4
"""The fraction of captions that begin with a thing of another scene. Without them a captioner learns to
conclude from the first thing what the second is. Then the evidence for a word is not on the pixels that it
names."""
_SPREAD_WEIGHT = 1.0

FACTS_COUNT = len(COLOURS) * (len(SHAPES) + len(SIZES) + 2 * len(_CUTS))


@dataclass(frozen=True)
class Settings:
    """Settings of the training. ``seed`` is for the weights, the order and the captions, not for the
    scenes."""

    scenes: int = 20_000
    epochs: int = 12
    refine_epochs: int = 5
    batch: int = 48
    learning_rate: float = 3e-3
    refine_learning_rate: float = 1.5e-3
    seed: int = 0


class Material(keras.utils.PyDataset):
    """Training scenes in a new order every epoch, each with a newly drawn caption.

    A batch is ((images float32 ``[n, SIDE, SIDE, 3]``, words int32 ``[n, T]``), targets, weights). Targets
    and weights of captions are int32 and float32 ``[n, T + 1]``; the weights are 0 for the image step, which
    predicts no word, and for padding. The other targets are ``facts``.
    """

    def __init__(self, scenes: list[Scene], vocabulary: Vocabulary, batch: int, seed: int) -> None:
        super().__init__()
        self._scenes, self._vocabulary, self._batch = scenes, vocabulary, batch
        self._random = np.random.default_rng([seed, 2])
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._scenes) // self._batch

    def on_epoch_end(self) -> None:
        self._order = self._random.permutation(len(self._scenes))

    def __getitem__(self, number: int) -> Batch:
        rows = self._order[number * self._batch : (number + 1) * self._batch]
        chosen = [self._scenes[row] for row in rows]
        images = np.stack([one.pixels for one in chosen]).astype(np.float32)
        words, targets, weights = sequences([self._caption(one) for one in chosen], self._vocabulary)
        of_things = np.stack([facts(one) for one in chosen])
        ones = np.ones(len(chosen), np.float32)
        correct = {CAPTIONS: targets, FACTS: of_things, SPREAD: 0 * ones}
        return (images, words), correct, {CAPTIONS: weights, FACTS: ones, SPREAD: ones}

    def _caption(self, of: Scene) -> Caption:
        if self._random.random() < _MISLED:
            other = self._scenes[self._random.integers(len(self._scenes))]
            return misled(of, other, self._random)
        both = drawn(of, self._random)
        return both[self._random.integers(len(both))]


def sequences(
    captions: Sequence[Caption], vocabulary: Vocabulary
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encode captions: words int32 ``[n, T]`` (start first), targets int32 and weights float32 ``[n, T + 1]``
    (see ``Material``).

    A weight is 0 for a word whose thing is in another scene.
    """
    steps = max(map(len, captions)) + 1
    words = np.full((len(captions), steps), vocabulary.end, np.int32)
    targets = np.full((len(captions), steps + 1), vocabulary.end, np.int32)
    weights = np.zeros((len(captions), steps + 1), np.float32)
    for row, caption in enumerate(captions):
        ids = vocabulary.encode(word.text for word in caption)
        words[row, : len(ids) + 1] = [vocabulary.start, *ids]
        targets[row, 1 : len(ids) + 1] = ids
        weights[row, 1 : len(ids) + 2] = 1
        weights[row, 1 : len(ids) + 1] = [bool(w.things) or w.kind not in VISUAL_KINDS for w in caption]
    return words, targets, weights


def facts(of: Scene) -> np.ndarray:
    """Facts about the thing of each colour, float32 ``[colours * facts]``, 0 or 1: its shape, its size, and
    whether it is below and right of some lines.

    The image embedding learns to predict them while the captioner is trained. It learns shapes much faster
    from them than from captions alone.
    """
    found = np.zeros((len(COLOURS), len(SHAPES) + len(SIZES) + 2 * len(_CUTS)), np.float32)
    for thing in of.things:
        kinds = [thing.shape == shape for shape in SHAPES] + [thing.size == size for size in SIZES]
        where = [at > cut * SIDE for at in (thing.row, thing.column) for cut in _CUTS]
        found[list(COLOURS).index(thing.colour)] = [*kinds, *where]
    return found.ravel()


def train_scenes(head: str, out: Path, settings: Settings, report: Report) -> dict[str, Any]:
    """Train a captioner with one of ``scene_networks.HEADS`` and write it to ``out`` (a ``.keras`` file).

    ``report(what, done, total, loss)`` is called to report progress.
    """
    if not out.parent.is_dir():
        raise UserError(f"{out}: there is no such folder to write to")
    captioner = trained(head, settings, report, out.stem)
    captioner.save(out)
    return {"captioner": str(out), "head": head, "words": len(captioner.vocabulary)}


def trained(head: str, settings: Settings, report: Report, name: str) -> Captioner:
    """Train a captioner and return it."""
    keras.utils.set_random_seed(settings.seed)
    model, vocabulary = scene_networks.build(head), scene_networks.vocabulary()
    if head == "flatten":
        start_from(bundled.load_scenes("gap")["model"], model)
        keep_encoder(model)
    known = []
    for index in range(settings.scenes):
        known.append(scene(TRAIN_SEED, index))
        report("scenes", index + 1, settings.scenes, None)
    material = Material(known, vocabulary, settings.batch, settings.seed)
    _learn(_pupil(model), material, settings.epochs, settings.learning_rate, 0.0, report, "epochs")
    rate = settings.refine_learning_rate
    _learn(_pupil(model), material, settings.refine_epochs, rate, _SPREAD_WEIGHT, report, "refining")
    learned = scene_networks.build(head)  # without the state of the optimizer
    learned.set_weights(model.get_weights())
    captioner = Captioner(learned, vocabulary, np.zeros(0, np.float32), scene_networks.LAST_MAP, name)
    average = mean_map(captioner, known)
    captioner.mean_features = average.mean(axis=(0, 1)) if head == "gap" else average
    return captioner


def start_from(known: keras.Model, model: keras.Model) -> None:
    """Copy the weights of layers with the same name and shapes from another model.

    A head that reads every location separately must see every thing at every location to recognise it there.
    With the features of the other head it has only this to learn.
    """
    layers = {layer.name: layer for layer in known.layers}
    for layer in model.layers:
        weights = layers[layer.name].get_weights() if layer.name in layers else []
        if weights and [array.shape for array in weights] == [array.shape for array in layer.get_weights()]:
            layer.set_weights(weights)


def keep_encoder(model: keras.Model) -> None:
    """Freeze the layers before the last convolution.

    Their filters, learned with the averaging head, respond at the centre of a thing. If every location is
    read separately, a filter may also respond beside the thing, and the evidence for a word is then beside
    the pixels that it names.
    """
    for layer in model.layers:
        if layer.name.removesuffix("_bn") in scene_networks.ENCODER:
            layer.trainable = False


def _learn(
    pupil: keras.Model, material: Material, epochs: int, rate: float, spread: float, report: Report, what: str
) -> None:
    """Train the model; ``spread``: the weight of the loss on a spread-out last map."""
    steps = epochs * len(material)
    falling = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps, warmup_target=rate, warmup_steps=steps // 20
    )
    pupil.compile(
        keras.optimizers.AdamW(falling, weight_decay=1e-3, clipnorm=1.0),
        {
            CAPTIONS: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            FACTS: keras.losses.BinaryCrossentropy(from_logits=True),
            SPREAD: lambda _, spread_of: spread_of,
        },
        loss_weights={CAPTIONS: 1.0, FACTS: _FACTS_WEIGHT, SPREAD: spread},
        jit_compile=False,
    )
    pupil.fit(material, epochs=epochs, verbose=0, callbacks=[_Progress(report, what, epochs)])


def _pupil(model: keras.Model) -> keras.Model:
    """The captioner's model, which also predicts facts from its image embedding and returns the spread of its
    last map.

    The spread is the L1 norm of the activity over the locations, divided by its L2 norm; it does not depend
    on the scale (Hoyer, *Non-negative matrix factorization with sparseness constraints*, 2004). It is 1 if
    all locations are equally active.
    """
    embedded = model.get_layer(show_and_tell.IMAGE_SCALE).output
    told = keras.layers.Dense(FACTS_COUNT, name=FACTS)(embedded)
    last_map = model.get_layer(scene_networks.LAST_MAP).output
    activity = keras.ops.sum(last_map, axis=-1)
    squares = keras.ops.mean(keras.ops.square(activity), axis=(1, 2))
    spread = keras.ops.mean(activity, axis=(1, 2)) / keras.ops.sqrt(squares + 1e-6)
    return keras.Model(model.inputs, {CAPTIONS: model.output, FACTS: told, SPREAD: spread})


def mean_map(captioner: Captioner, scenes: list[Scene], batch: int = 200) -> np.ndarray:
    """Compute the last map averaged over scenes: float32 ``[h, w, C]``."""
    total = np.zeros(1)
    for first in range(0, len(scenes), batch):
        images = np.stack([one.pixels for one in scenes[first : first + batch]])
        total = total + captioner.features(images).sum(axis=0, dtype=np.float64)
    return (total / len(scenes)).astype(np.float32)


class _Progress(keras.callbacks.Callback):
    """Reports the progress of the training."""

    def __init__(self, report: Report, what: str, epochs: int) -> None:
        super().__init__()
        self._report, self._what, self._epochs = report, what, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._report(self._what, epoch + 1, self._epochs, (logs or {}).get("loss"))
