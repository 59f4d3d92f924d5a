"""Gradients against finite differences, and the axioms of what is made of them."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.baselines.saliency import gradient_input, integrated_gradients, saliency, smoothgrad
from gazeback.models.errors import UserError


def logits(model, images):
    """The values of the tensor that questions start on, float64 ``[n, classes]``."""
    tracer = tracer_of(model)
    target = tracer.target()
    return np.asarray(tracer.record([np.asarray(images, np.float32)], {target})[target], np.float64)


def gradient_by_differences(model, image, target, step=1e-2):
    """Central differences of the logit, pixel by pixel and channel by channel."""
    gradient = np.zeros(image.shape)
    for place in np.ndindex(image.shape):
        more, less = image.copy(), image.copy()
        more[place] += step
        less[place] -= step
        values = logits(model, np.stack([more, less]))[:, target]
        gradient[place] = (values[0] - values[1]) / (2 * step)
    return gradient


@pytest.fixture(scope="module")
def smooth():
    """A net whose ReLUs are replaced by tanh, so that differences are exact to second order."""
    rng = np.random.default_rng(0)
    image = keras.Input((6, 5, 2))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="tanh")(image)
    x = layers.Conv2D(3, 2, activation="tanh")(x)
    x = layers.Flatten()(x)
    model = nets.randomise(keras.Model(image, layers.Dense(3, activation="softmax")(x)), rng)
    return model, nets.images(rng, 2, model)


def test_equals_finite_differences(smooth):
    model, images = smooth
    expected = np.stack([gradient_by_differences(model, image, 1) for image in images])
    np.testing.assert_allclose(saliency(model, images, 1, raw=True), expected, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(saliency(model, images, 1), np.abs(expected).max(axis=-1), atol=2e-3)
    product = (expected * images).sum(axis=-1)
    np.testing.assert_allclose(gradient_input(model, images, 1), product, rtol=0.02, atol=5e-3)


def test_one_target_per_image(smooth):
    model, images = smooth
    both = saliency(model, images, np.array([2, 0]))
    np.testing.assert_allclose(both[:1], saliency(model, images[:1], 2), rtol=1e-5)
    np.testing.assert_allclose(both[1:], saliency(model, images[1:], 0), rtol=1e-5)


@pytest.fixture(scope="module")
def plain():
    rng = np.random.default_rng(1)
    model = nets.randomise(nets.plain(rng), rng)
    return model, nets.images(rng, 2, model)


@pytest.mark.parametrize("baseline", [0.0, 0.5, "array"])
def test_integrated_gradients_are_complete(plain, rng, baseline):
    model, images = plain
    if baseline == "array":
        baseline = rng.normal(size=images.shape[1:]).astype("float32")
    maps = integrated_gradients(model, images, 2, baseline=baseline, steps=256)
    start = np.broadcast_to(np.asarray(baseline, np.float32), images.shape)
    expected = (logits(model, images) - logits(model, start))[:, 2]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), expected, rtol=0.02, atol=0.05)


def test_integrated_gradients_stay_with_the_class_of_the_image(plain):
    model, images = plain
    strongest = logits(model, images).argmax(axis=1)
    np.testing.assert_allclose(
        integrated_gradients(model, images, steps=8),
        integrated_gradients(model, images, strongest, steps=8),
        rtol=1e-5,
    )


def test_smoothgrad_is_the_mean_of_noisy_gradients(smooth):
    model, images = smooth
    spread = 0.2 * (images.max(axis=(1, 2, 3)) - images.min(axis=(1, 2, 3)))
    random = np.random.default_rng(7)
    # noise is drawn in batches of 16 copies, one image after the other
    drawn = np.concatenate(
        [random.normal(size=(16, *images.shape[1:])), random.normal(size=(4, *images.shape[1:]))]
    )
    expected = []
    for i, image in enumerate(images):
        copies = [image + spread[i] * noise for noise in drawn[i * 10 : i * 10 + 10]]
        gradients = [saliency(model, copy[None].astype("float32"), 1, raw=True)[0] for copy in copies]
        expected.append(np.mean(gradients, axis=0))
    found = smoothgrad(model, images, 1, samples=10, noise=0.2, seed=7, raw=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        smoothgrad(model, images, 1, samples=2, noise=0), saliency(model, images, 1), rtol=1e-5
    )


def test_options_that_do_not_fit(smooth):
    with pytest.raises(UserError, match="expected samples >= 1"):
        smoothgrad(*smooth, samples=0)
    with pytest.raises(UserError, match="steps must be at least 1"):
        integrated_gradients(*smooth, steps=0)
    with pytest.raises(UserError, match="baseline must be a number or fit the images"):
        integrated_gradients(*smooth, baseline=np.zeros((3, 3)))
