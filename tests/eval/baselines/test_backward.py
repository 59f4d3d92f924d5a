"""The compiled passes: once per question, whatever the batch, and no longer than the model lives."""

import gc

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.eval.baselines import backward
from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.cam import grad_cam
from gazeback.eval.baselines.occlusion import occlusion
from gazeback.eval.baselines.query import Query
from gazeback.eval.baselines.saliency import saliency
from gazeback.models.errors import UserError


@pytest.fixture
def traces(monkeypatch):
    """How often a pass was compiled."""
    counted = []
    run = backward._Pass._run
    monkeypatch.setattr(backward._Pass, "_run", lambda self, *given: counted.append(1) or run(self, *given))
    return counted


ONE_BATCH_SIZE = "JAX compiles for each batch size, and PyTorch compiles nothing"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason=ONE_BATCH_SIZE)
def test_a_second_call_compiles_nothing(rng, traces):
    model = nets.randomise(nets.plain(rng), rng)
    first = saliency(model, nets.images(rng, 2, model), 1)
    assert len(traces) == 1
    saliency(model, nets.images(rng, 5, model))
    saliency(model, nets.images(rng, 1, model), np.array([2]))
    assert len(traces) == 1
    assert first.shape == (2, 14, 12)


def test_new_weights_are_seen_without_compiling(rng, traces):
    model = nets.randomise(nets.plain(rng), rng)
    images = nets.images(rng, 2, model)
    before = saliency(model, images, 1)
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 2)
    np.testing.assert_allclose(saliency(model, images, 1), 2 * before, rtol=1e-4)
    assert len(traces) == (2 if keras.backend.backend() == "torch" else 1)


def test_many_images_equal_one_at_a_time(rng):
    model = nets.randomise(nets.residual(rng), rng)
    images = nets.images(rng, 2 * backward.BATCH + 3, model)
    alone = np.concatenate([saliency(model, image[None]) for image in images])
    np.testing.assert_allclose(saliency(model, images), alone, rtol=1e-3, atol=1e-5)


def test_passes_are_forgotten_with_their_model(rng):
    model = nets.randomise(nets.plain(rng), rng)
    saliency(model, nets.images(rng, 1, model))
    assert model in backward._passes
    count = len(backward._passes)
    del model
    gc.collect()
    assert len(backward._passes) < count


def test_gradients_at_several_tensors_in_one_pass(rng):
    model = nets.randomise(nets.shared_layer(rng), rng)
    query = Query.of(model, nets.images(rng, 2, model), 1)
    at = [query.image, *(call.outputs[0] for call in query.graph.calls_of("shared"))]
    together = ask(query, at)
    for i, tensor in enumerate(at):
        alone = ask(query, [tensor])
        np.testing.assert_allclose(together.values[i], alone.values[0], rtol=1e-5)
        np.testing.assert_allclose(together.gradients[i], alone.gradients[0], rtol=1e-4, atol=1e-7)


def test_integers_pass_nothing_back(rng):
    image = keras.Input((6, 6, 3), dtype="uint8", name="bytes")
    x = layers.Conv2D(2, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    images = rng.integers(0, 256, (2, 6, 6, 3)).astype("uint8")
    with pytest.raises(UserError, match="'bytes' holds uint8, through which nothing passes back"):
        saliency(model, images)
    assert grad_cam(model, images).shape == (2, 6, 6)
    assert np.abs(occlusion(model, images, size=3, stride=3)).max() > 0


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(3, 3, activation="relu", name="conv")
        self.answer = layers.Dense(2, name="answer")

    def call(self, x):
        return self.answer(keras.ops.mean(self.conv(x), axis=(1, 2)))


def test_subclassed_models(rng):
    model = Subclassed()
    images = rng.normal(size=(2, 7, 7, 3)).astype("float32")
    model(images)
    image = keras.Input((7, 7, 3))
    flat = keras.Model(image, model.answer(keras.ops.mean(model.conv(image), axis=(1, 2))))
    np.testing.assert_allclose(saliency(model, images), saliency(flat, images), rtol=1e-5)
