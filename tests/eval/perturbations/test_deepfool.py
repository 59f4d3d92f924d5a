"""DeepFool where the answer is known, and against a twin written from the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gazeback.eval.perturbations.deepfool import LEAST_STEP, deepfool, nearest_boundary
from gazeback.models.classifiers import Classifier, Preprocessing

SIDE = 8


def classifier_of(*layers, classes=4):
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3))
    x = image
    for layer in layers:
        x = layer(x)
    x = keras.layers.Dense(classes, activation="softmax", bias_initializer="random_normal")(x)
    names = tuple(f"class {number}" for number in range(classes))
    return Classifier(keras.Model(image, x), names, Preprocessing(SIDE, SIDE), "small")


@pytest.fixture
def linear():
    return classifier_of(keras.layers.Flatten())


@pytest.fixture
def curved():
    return classifier_of(
        keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.Conv2D(6, 3, activation="tanh"),
        keras.layers.Flatten(),
        classes=5,
    )


@pytest.fixture
def photo():
    return np.random.default_rng(0).normal(size=(SIDE, SIDE, 3)).astype(np.float32)


def literal(classifier, photo, classes=10, overshoot=0.02, iterations=50):
    """Algorithm 2, line by line, with the settings of the authors' code."""
    *_, last = classifier.model.layers
    logits = keras.Model(classifier.model.inputs, last.input)
    weights, biases = last.get_weights()

    def f(x):
        return (logits(x[None], training=False) @ weights + biases)[0]

    values = f(tf.constant(photo)).numpy()
    ranked = values.argsort()[::-1][:classes]
    k0, r, x, i = ranked[0], np.zeros(photo.shape), photo, 0
    while f(tf.constant(x)).numpy().argmax() == k0 and i < iterations:
        best = np.inf
        for k in ranked[1:]:
            with tf.GradientTape() as tape:
                variable = tf.constant(x)
                tape.watch(variable)
                gap = f(variable)[k] - f(variable)[k0]
            w = tape.gradient(gap, variable).numpy()
            distance = abs(float(gap)) / np.linalg.norm(w)
            if distance < best:
                best, direction = distance, w / np.linalg.norm(w)
        r = r + (best + 1e-4) * direction
        x = (photo + (1 + overshoot) * r).astype(np.float32)
        i += 1
    return x, i


def test_the_step_to_the_nearest_boundary_by_hand():
    slopes = np.array([[3.0, 4.0], [0.0, 1.0]])
    step = nearest_boundary(np.array([-10.0, -3.0]), slopes)  # distances 2 and 3
    np.testing.assert_allclose(step, (2 + LEAST_STEP) * np.array([0.6, 0.8]))


def test_a_flat_boundary_is_never_the_nearest():
    step = nearest_boundary(np.array([-1.0, -3.0]), np.array([[0.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(step, [0, 3 + LEAST_STEP])


def test_a_linear_classifier_is_fooled_at_once_and_by_the_shortest_change(linear, photo):
    weights, biases = linear.model.layers[-1].get_weights()
    logits = photo.ravel() @ weights + biases
    before = int(logits.argmax())
    distances = {
        k: (logits[before] - logits[k]) / np.linalg.norm(weights[:, k] - weights[:, before])
        for k in range(4)
        if k != before
    }
    fooled = deepfool(linear, photo)
    assert (fooled.before, fooled.iterations) == (before, 1)
    assert fooled.after == min(distances, key=distances.get)
    length = np.linalg.norm(fooled.pixels - photo)
    assert length == pytest.approx(1.02 * (min(distances.values()) + LEAST_STEP), rel=1e-4)
    size = fooled.size(photo)
    assert size["relative"] == pytest.approx(length / np.linalg.norm(photo), rel=1e-4)
    assert size["rms"] == pytest.approx(length / np.sqrt(photo.size), rel=1e-4)


@pytest.mark.parametrize("classes", [2, 10])
def test_a_curved_classifier_literally(curved, photo, classes):
    fooled = deepfool(curved, photo, classes=classes)
    expected, iterations = literal(curved, photo, classes=classes)
    assert fooled.iterations == iterations
    np.testing.assert_allclose(fooled.pixels, expected, atol=1e-4)
    assert fooled.after == curved.probabilities(fooled.pixels[None])[0].argmax()
    assert fooled.after != fooled.before


def test_it_gives_up(curved, photo):
    fooled = deepfool(curved, photo, iterations=0)
    assert fooled.after == fooled.before
    assert fooled.size(photo) == {"relative": 0, "rms": 0}
