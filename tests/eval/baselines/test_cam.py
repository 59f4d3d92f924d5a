"""Class activation maps: identities between them, and their equations by loops."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets

from gazeback.cnn_trace.head import decompose, handoff_maps, read_by_head
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.baselines.cam import cam, grad_cam, grad_cam_plus_plus, guided_grad_cam, layer_cam
from gazeback.eval.baselines.projections import guided_backprop
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.models.errors import UserError


@pytest.fixture
def gap(rng):
    """A network that ends in a global average and a dense layer, and images for it."""
    model = nets.randomise(nets.residual(rng), rng)
    return model, nets.images(rng, 3, model)


@pytest.fixture
def dense(rng):
    """A network with two dense layers behind its last map, and images for it."""
    model = nets.randomise(nets.pools(rng), rng)
    return model, nets.images(rng, 3, model)


def exact(model, images, target):
    """The last map and the exact coefficients of a logit on it, nonlinearities frozen: its gradient."""
    tracer = tracer_of(model)
    start = tracer.target()
    handoff = handoff_maps(tracer.graph, start, None)
    wanted = read_by_head(tracer.graph, start, handoff, CNNFixations())
    recording = tracer.record([images], wanted | {start})
    asked = np.zeros((len(images), recording[start].shape[1]), np.float32)
    asked[:, target] = 1
    head = decompose(tracer.graph, recording, start, asked, np.arange(len(images)), handoff)
    (last_map, coefficients), *none = head.maps.items()
    assert not none
    return recording[last_map].astype(np.float64), np.broadcast_to(coefficients, recording[last_map].shape)


def places(maps):
    return np.ndindex(maps.shape[:3])


@pytest.mark.parametrize(("net", "target"), [("gap", 1), ("dense", 2)])
def test_grad_cam_equals_its_literal_twin(net, target, request):
    """Equations 1 and 2, with the gradient from the tracer's exact head."""
    model, images = request.getfixturevalue(net)
    maps, gradient = exact(model, images, target)
    n, height, width, channels = maps.shape
    alpha = np.zeros((n, channels))
    for i, y, x in places(maps):
        alpha[i] += gradient[i, y, x] / (height * width)
    expected = np.zeros((n, height, width))
    for i, y, x in places(maps):
        expected[i, y, x] = max(0.0, sum(alpha[i, k] * maps[i, y, x, k] for k in range(channels)))
    assert expected.max() > 0
    np.testing.assert_allclose(grad_cam(model, images, target, raw=True), expected, rtol=1e-3, atol=1e-5)
    large = upsampled(expected.astype(np.float32), *images.shape[1:3])
    np.testing.assert_allclose(grad_cam(model, images, target), large, rtol=1e-3, atol=1e-5)


def test_grad_cam_is_cam_where_there_is_a_cam(gap):
    model, images = gap
    signed = cam(model, images, 1, raw=True)
    size = signed[0].size
    np.testing.assert_allclose(
        grad_cam(model, images, 1, raw=True), np.maximum(signed, 0) / size, rtol=1e-4, atol=1e-6
    )


def test_cam_averages_to_the_logit(gap):
    model, images = gap
    logits = np.asarray(model(images))
    bias = np.asarray(model.layers[-1].bias)
    for target in range(3):
        mean = cam(model, images, target, raw=True).mean(axis=(1, 2))
        np.testing.assert_allclose(mean + bias[target], logits[:, target], rtol=1e-4, atol=1e-4)
    strongest = logits.argmax(axis=1)
    np.testing.assert_allclose(cam(model, images), cam(model, images, strongest), rtol=1e-6)


@pytest.mark.parametrize("ending", ["operator", "pool", "reshaped", "dropout"])
def test_other_ways_to_write_a_global_average(ending, rng):
    x = image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, activation="relu")(x)
    if ending == "operator":
        x = keras.ops.mean(x, axis=(1, 2))
    elif ending == "pool":
        x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    elif ending == "reshaped":
        x = layers.Reshape((4,))(layers.GlobalAveragePooling2D(keepdims=True)(x))
    else:
        x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    model = nets.randomise(keras.Model(image, layers.Dense(3, activation="softmax")(x)), rng)
    images = nets.images(rng, 2, model)
    coarse = np.maximum(cam(model, images, 1, raw=True), 0) / 16
    np.testing.assert_allclose(coarse, grad_cam(model, images, 1, raw=True), rtol=1e-4, atol=1e-6)


def test_cam_says_where_it_cannot_be(dense):
    with pytest.raises(UserError, match=r"CAM needs a dense layer on a globally averaged map.*grad-cam"):
        cam(*dense)


def test_grad_cam_at_another_layer_and_of_another_neuron(gap):
    model, images = gap
    layer = next(layer.name for layer in model.layers if isinstance(layer, layers.Add))
    assert grad_cam(model, images, at=layer, raw=True).shape[0] == 3
    first = model.layers[1].name
    assert grad_cam(model, images, 1, layer=layer, at=first).shape == images.shape[:3]
    with pytest.raises(UserError, match="is no map with height and width that"):
        grad_cam(model, images, 1, layer=first, at=layer)


def test_grad_cam_of_the_log_probability(dense):
    """Its gradient is that of the logit minus the mean of all logits' gradients by their probabilities."""
    model, images = dense
    logits = np.asarray(model(images), np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gradients = [exact(model, images, target)[1] for target in range(3)]
    maps = exact(model, images, 0)[0]
    mean = sum(p[:, None, None, None] * g for p, g in zip(probabilities.T, gradients, strict=True))
    alpha = (gradients[2] - mean).mean(axis=(1, 2), keepdims=True)
    expected = np.maximum((alpha * maps).sum(axis=-1), 0)
    found = grad_cam(model, images, 2, score="log-probability", raw=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("normalize", [False, True])
def test_grad_cam_plus_plus_equals_its_literal_twin(dense, normalize):
    model, images = dense
    maps, gradient = exact(model, images, 1)
    gradient = gradient.astype(np.float64)
    n, _, _, channels = maps.shape
    alpha, weights = np.zeros(maps.shape), np.zeros((n, channels))
    for i, y, x in places(maps):
        for k in range(channels):
            g = gradient[i, y, x, k]
            divisor = 2 * g**2 + maps[i, :, :, k].sum() * g**3
            alpha[i, y, x, k] = g**2 / divisor if divisor else 0.0
    if normalize:
        total = alpha.sum(axis=(1, 2), keepdims=True)
        alpha = np.where(total != 0, alpha / np.where(total != 0, total, 1), 0)
    for i, y, x in places(maps):
        weights[i] += alpha[i, y, x] * np.maximum(gradient[i, y, x], 0)
    expected = np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0)
    found = grad_cam_plus_plus(model, images, 1, normalize=normalize, raw=True)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=1e-4)


def test_layer_cam_equals_its_literal_twin(dense):
    model, images = dense
    maps, gradient = exact(model, images, 2)
    expected = np.zeros(maps.shape[:3])
    for i, y, x in places(maps):
        weighted = [max(0.0, g) * a for g, a in zip(gradient[i, y, x], maps[i, y, x], strict=True)]
        expected[i, y, x] = max(0.0, sum(weighted))
    np.testing.assert_allclose(layer_cam(model, images, 2, raw=True), expected, rtol=1e-3, atol=1e-5)


def test_guided_grad_cam_is_the_product(dense):
    model, images = dense
    product = guided_backprop(model, images, 1, raw=True) * grad_cam(model, images, 1)[..., None]
    np.testing.assert_allclose(guided_grad_cam(model, images, 1, raw=True), product, rtol=1e-5)
    np.testing.assert_allclose(guided_grad_cam(model, images, 1), np.abs(product).max(axis=-1), rtol=1e-5)
