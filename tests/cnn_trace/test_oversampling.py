"""Five crops of a larger image, united on it."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.cnn_trace import TraceError, trace

pytestmark = pytest.mark.usefixtures("eager")
OFFSETS = [(0, 0), (0, 5), (4, 0), (4, 5), (2, 2)]


@pytest.fixture
def model(rng):
    image = keras.Input((12, 10, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    return nets.randomise(keras.Model(image, layers.Dense(4, activation="softmax")(x)), rng)


def crop(image, offset):
    return image[offset[0] : offset[0] + 12, offset[1] : offset[1] + 10]


@pytest.mark.parametrize("method", ["fixations", "top", "discernible"])
def test_points_are_the_union_of_the_crops_points(model, rng, method):
    images = rng.normal(size=(2, 16, 15, 3))
    for image, found in zip(
        images, trace(model, images, [1, 3], method=method, oversample=True), strict=True
    ):
        for target, fixations in zip((1, 3), found, strict=True):
            assert fixations.shape == (16, 15)
            expected = {
                tuple(point)
                for offset in OFFSETS
                for point in (
                    trace(model, crop(image, offset), target, method=method)[0].points + offset
                ).tolist()
            }
            assert set(map(tuple, fixations.points.tolist())) == expected
            assert (fixations.weights == 1).all()


def test_evidence_is_the_mean_of_the_crops(model, rng):
    image = rng.normal(size=(16, 15, 3))
    (found,) = trace(model, image, 2, oversample=True)
    expected = np.zeros((16, 15))
    for offset in OFFSETS:
        pixels, weights = trace(model, crop(image, offset), 2)[0].pixels
        np.add.at(expected, tuple((pixels + offset).T), weights / 5)
    dense = np.zeros((16, 15))
    pixels, weights = found.pixels
    dense[tuple(pixels.T)] = weights
    np.testing.assert_allclose(dense, expected, atol=1e-6)
    assert found.net.shape == (16, 15)
    assert found.heatmap().max() == pytest.approx(1)


def test_the_class_is_that_of_the_mean_prediction(model, rng):
    logits = keras.Model(model.input, model.layers[-1].output)
    image = rng.normal(size=(16, 15, 3))
    scores = np.asarray(logits(np.stack([crop(image, o) for o in OFFSETS])))
    strongest = int(np.log(scores).mean(axis=0).argmax())
    (found,) = trace(model, image, oversample=True)
    (expected,) = trace(model, image, strongest, oversample=True)
    np.testing.assert_array_equal(found.points, expected.points)
    per_image = trace(model, np.stack([image, image]), np.array([1, 2]), oversample=True)
    (second,) = trace(model, image, 2, oversample=True)
    np.testing.assert_array_equal(per_image[1].points, second.points)


def test_images_that_have_no_crops(model):
    with pytest.raises(TraceError, match=r"takes crops of 12x10 from larger images .* got \[1, 12, 10, 3\]"):
        trace(model, np.zeros((1, 12, 10, 3)), 0, oversample=True)
    with pytest.raises(TraceError, match=r"takes crops of 12x10 .* got \[1, 11, 20, 3\]"):
        trace(model, np.zeros((1, 11, 20, 3)), 0, oversample=True)
    image = keras.Input((None, None, 3))
    any_size = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    with pytest.raises(TraceError, match="needs a model whose input has a fixed size"):
        trace(any_size, np.zeros((1, 11, 20, 3)), 0, oversample=True)
