"""Train vision transformers on drawn scenes, and measure where maps of their answers point. A few minutes.

A scene shows two striped things on textured ground. The class is the colour of the one whose stripes are
horizontal. `python examples/vision_transformer.py` trains two networks, which differ in their seed, and
prints how often the maximum of a map lies on the thing that the class is about, and on the other one.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from gazeback.eval.baselines import explain
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.eval.metrics.maps import pointing
from gazeback.eval.metrics.statistics import Mean
from gazeback.eval.scenes.drawing import SHAPES, coverage, textured_ground
from gazeback.eval.scenes.scenes import COLOURS as ALL_COLOURS
from gazeback.eval.subjects.methods import class_maps, class_points

SIDE, PATCH, WIDTH, HEADS, BLOCKS = 48, 6, 48, 4, 2
COLOURS = ("red", "yellow", "green", "blue", "purple", "white")
EVIDENCE_PER_PATCH, GRADIENT_PER_PATCH = "evidence (per patch)", "gradient-input (per patch)"
OF_ATTENTION = ("attention", "attention-rollout", "chefer")
OF_GRADIENTS = ("gradient-input", GRADIENT_PER_PATCH)
METHODS = ("evidence", EVIDENCE_PER_PATCH, "fixations", *OF_ATTENTION, *OF_GRADIENTS, "occlusion")
TRAINING, FRESH = 7, 8  # the seeds of the scenes


class Scenes(NamedTuple):
    """pixels: float32 ``[n, SIDE, SIDE, 3]``, 0 to 255; masks: bool ``[n, 2, SIDE, SIDE]``, the thing that
    the class is about and the other one; classes: int ``[n]``, numbers of COLOURS.
    """

    pixels: np.ndarray
    masks: np.ndarray
    classes: np.ndarray


def scenes(seed: int, count: int) -> Scenes:
    """Draw scenes; the same seed gives the same ones."""
    pixels, masks, classes = zip(*(_scene(seed, index) for index in range(count)), strict=True)
    return Scenes(np.array(pixels, np.float32), np.array(masks), np.array(classes))


def _scene(seed: int, index: int) -> tuple[np.ndarray, np.ndarray, int]:
    random = np.random.default_rng([seed, index])
    colours = random.permutation(len(COLOURS))[:2]
    shapes, radii = random.permutation(list(SHAPES))[:2], random.uniform(7.5, 10, 2)
    reach = 1.15 * radii + 1
    apart = False
    while not apart:
        places = [random.uniform(r, SIDE - r, 2) for r in reach]
        apart = bool(np.hypot(*(places[0] - places[1])) >= reach.sum())
    pixels, masks = textured_ground(random, SIDE), []
    for axis, (colour, shape, place, radius) in enumerate(zip(colours, shapes, places, radii, strict=True)):
        wave = np.sin(np.pi / 2 * np.indices((SIDE, SIDE))[axis] + random.uniform(0, 2 * np.pi))
        paint = np.array(ALL_COLOURS[COLOURS[colour]]) * np.where(wave > 0, 1, 0.3)[..., None]
        cover = coverage(str(shape), *place, radius, random.uniform(-0.2, 0.2), SIDE)
        pixels += cover[..., None] * (paint - pixels)
        masks.append(cover >= 0.5)
    return np.rint(pixels), np.array(masks), int(colours[0])


@keras.saving.register_keras_serializable("gazeback_examples")
class Tokens(layers.Layer):
    """A class token before the patches, and a learned position for each."""

    def build(self, shape: Sequence[int]) -> None:
        small = keras.initializers.RandomNormal(stddev=0.02)
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer=small, name="token")
        self.positions = self.add_weight(
            shape=(1, shape[1] + 1, shape[-1]), initializer=small, name="positions"
        )

    def call(self, patches: Any) -> Any:
        tokens = ops.tile(self.token, (ops.shape(patches)[0], 1, 1))
        return ops.concatenate([tokens, patches], axis=1) + self.positions


def vision_transformer() -> keras.Model:
    """Dosovitskiy et al. 2021 in small: patches, a class token, blocks that normalise first."""
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(WIDTH, PATCH, PATCH, name="patches")(layers.Rescaling(1 / 64, -2)(image))
    x = Tokens()(layers.Reshape((-1, WIDTH))(x))
    for _ in range(BLOCKS):
        normal = layers.LayerNormalization()(x)
        x = layers.add([x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(normal, normal)])
        wide = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.add([x, layers.Dense(WIDTH)(wide)])
    return keras.Model(image, layers.Dense(len(COLOURS))(layers.LayerNormalization()(x)[:, 0]))


def trained(seed: int, training: Scenes, epochs: int = 2) -> keras.Model:
    """A network that has seen the scenes, also mirrored, which keeps stripes horizontal."""
    keras.utils.set_random_seed(seed)
    model = vision_transformer()
    pixels = training.pixels
    pixels = np.concatenate([pixels, pixels[:, ::-1], pixels[:, :, ::-1], pixels[:, ::-1, ::-1]])
    steps = epochs * len(pixels) // 64
    rate = keras.optimizers.schedules.CosineDecay(1e-4, steps, warmup_target=2e-3, warmup_steps=steps // 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0), loss)
    model.fit(pixels, np.tile(training.classes, 4), 64, epochs, verbose=0)
    return model


def accuracy(model: keras.Model, fresh: Scenes) -> float:
    return float((model.predict(fresh.pixels, verbose=0).argmax(axis=1) == fresh.classes).mean())


def maps(method: str, model: keras.Model, fresh: Scenes) -> np.ndarray:
    """The maps of the scenes' classes, float32 ``[n, SIDE, SIDE]``, 0 or above."""
    if method == EVIDENCE_PER_PATCH:
        found = class_points("evidence", model, fresh.pixels, fresh.classes[:, None])
        per_patch = np.array([of_scene[0].net for of_scene in found], np.float32)
    elif method == GRADIENT_PER_PATCH:
        signed = explain("gradient-input", model, fresh.pixels, fresh.classes, raw=True)
        cells = SIDE // PATCH
        per_patch = np.maximum(signed.reshape(-1, cells, PATCH, cells, PATCH, 3).sum(axis=(2, 4, 5)), 0)
    else:
        return class_maps(method, model, fresh.pixels, fresh.classes)
    return upsampled(per_patch, SIDE, SIDE)


def points(method: str, model: keras.Model, fresh: Scenes) -> np.ndarray:
    """For each scene whether the maximum lies on the class's own thing, and on the other: ``[n, 2]``."""
    found = zip(maps(method, model, fresh), fresh.masks, strict=True)
    return np.array([pointing(one[None], masks)[0] for one, masks in found])


def shown(values: Iterable[np.ndarray]) -> str:
    """The mean of one value for each scene, or of several, with its standard error over scenes."""
    mean = Mean()
    for of_network in values:
        for scene, value in enumerate(of_network):
            mean.update(value, scene)
    return str(mean.summary())


def table(models: Sequence[keras.Model], fresh: Scenes, methods: Sequence[str] = METHODS) -> str:
    """A row for each method: the own thing by network, the other thing, and the difference to evidence."""
    found = {method: np.array([points(method, one, fresh) for one in models]) for method in methods}
    networks = [f"own thing, network {number}" for number in range(len(models))]
    rows = [["method", *networks, "other thing", "evidence is better by"], ["---"] * (len(models) + 3)]
    for method, lies in found.items():
        own, other = lies[..., 0], lies[..., 1]
        better = shown(found["evidence"][..., 0] - own) if method != "evidence" else ""
        rows.append([method, *(shown([one]) for one in own), shown(other), better])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    seen, fresh = scenes(TRAINING, 1500), scenes(FRESH, 200)
    models = [trained(seed, seen) for seed in (0, 1)]
    for number, model in enumerate(models):
        print(
            f"network {number}: {accuracy(model, fresh):.1%} of {len(fresh.classes)} fresh scenes are right"
        )
    print(table(models, fresh))
