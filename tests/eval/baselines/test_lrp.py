"""Layer-wise relevance propagation: as loops over neurons divide it, and as the package zennit does."""

import sys
import warnings
from importlib import import_module
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets

from gazeback.cnn_trace import trace
from gazeback.eval.baselines import explain
from gazeback.models.errors import UserError

NAMES = ("lrp", "lrp-epsilon-plus", "lrp-epsilon-plus-flat", "lrp-epsilon-alpha2-beta1")
TINY = 1e-6


def small(rng, bias=True):
    """Convolutions with a normalisation, a residual sum, pools of both kinds and dense layers."""
    settings = {"padding": "same", "use_bias": bias}
    x = image = keras.Input((5, 4, 2))
    x = layers.Conv2D(3, 3, name="first", **settings)(x)
    x = layers.BatchNormalization(name="norm")(x) if bias else x
    x = trunk = layers.ReLU(name="rectified")(x)
    x = layers.Conv2D(3, (1, 2), activation="relu", name="second", **settings)(x)
    x = layers.Add(name="sum")([x, trunk])
    x = layers.MaxPooling2D((2, 1), name="largest")(x)
    x = layers.AveragePooling2D((1, 2), name="mean")(x)
    x = layers.Dense(4, activation="tanh", use_bias=bias, name="hidden")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(3, use_bias=bias, name="answer")(x))
    return nets.randomise(model, rng), nets.images(rng, 3, model)


def moved(total, epsilon):
    return total + (epsilon if total >= 0 else -epsilon)


def epsilon_rule(a, w, b, above, epsilon):
    """Bach et al. 2015, equation 58, ``w[i, j]`` from neuron i below to neuron j above."""
    below = np.zeros(len(a))
    for j, relevance in enumerate(above):
        total = sum(a[i] * w[i, j] for i in range(len(a))) + b[j]
        for i in range(len(a)):
            below[i] += a[i] * w[i, j] / moved(total, epsilon) * relevance
    return below


def alpha_beta(a, w, b, above, alpha, beta):
    """Bach et al. 2015, equation 60."""
    below = np.zeros(len(a))
    for j, relevance in enumerate(above):
        products = [a[i] * w[i, j] for i in range(len(a))]
        positive = sum(max(z, 0) for z in products) + max(b[j], 0)
        negative = sum(min(z, 0) for z in products) + min(b[j], 0)
        for i, z in enumerate(products):
            below[i] += alpha * max(z, 0) / moved(positive, TINY) * relevance
            below[i] -= beta * min(z, 0) / moved(negative, TINY) * relevance
    return below


def flat(connected, above):
    """Lapuschkin et al. 2019: each connected input gets the same."""
    below = np.zeros(len(connected))
    for j, relevance in enumerate(above):
        for i in np.flatnonzero(connected[:, j]):
            below[i] += relevance / connected[:, j].sum()
    return below


def matrix(layer, shape, kernel=None):
    """The weights [inputs, outputs] of a convolution, from its answer to one pixel at a time."""
    one_hot = np.eye(np.prod(shape), dtype=np.float32).reshape(-1, *shape)
    answers = ops.conv(one_hot, layer.kernel if kernel is None else kernel, 1, "same")
    return np.asarray(answers, np.float64).reshape(len(one_hot), -1)


def by_loops(model, image, target, name, epsilon):
    """The relevance of the pixels of one image in :func:`small`."""
    names = ("rectified", "second", "sum", "largest", "mean", "hidden", "answer")
    made = keras.Function(model.inputs, [model.get_layer(n).output for n in names])([image[None]])
    rectified, second, total, largest, mean, hidden, answer = (np.asarray(x, np.float64)[0] for x in made)
    of = {layer.name: layer for layer in model.layers}
    weights = {n: [np.asarray(w, np.float64) for w in of[n].get_weights()] for n in ("hidden", "answer")}
    above = np.where(np.arange(3) == target, answer, 0)
    above = epsilon_rule(hidden, *weights["answer"], above, epsilon)
    above = epsilon_rule(mean.ravel(), *weights["hidden"], above, epsilon).reshape(mean.shape)
    at_largest = np.zeros(largest.shape)
    for y, x, c in np.ndindex(mean.shape):
        pair = largest[y, 2 * x : 2 * x + 2, c]
        at_largest[y, 2 * x : 2 * x + 2, c] = pair / 2 / moved(pair.sum() / 2, epsilon) * above[y, x, c]
    at_sum = np.zeros(total.shape)
    for y, x, c in np.ndindex(largest.shape):
        at_sum[2 * y + total[2 * y : 2 * y + 2, x, c].argmax(), x, c] += at_largest[y, x, c]
    share = at_sum / np.vectorize(moved)(total, epsilon)
    numbers = (2, 1) if "beta1" in name else (1, 0)
    bias = np.tile(np.asarray(of["second"].bias), rectified[..., 0].size)
    passed = alpha_beta(
        rectified.ravel(), matrix(of["second"], rectified.shape), bias, (second * share).ravel(), *numbers
    )
    at_rectified = rectified * share + passed.reshape(rectified.shape)
    norm = of["norm"]
    factor = np.asarray(norm.gamma / ops.sqrt(norm.moving_variance + norm.epsilon))
    kernel = np.asarray(of["first"].kernel) * factor
    shift = (np.asarray(of["first"].bias) - np.asarray(norm.moving_mean)) * factor + np.asarray(norm.beta)
    if name == "lrp-epsilon-plus-flat":
        connected = matrix(of["first"], image.shape, np.ones_like(kernel))
        return flat(connected > 0, at_rectified.ravel()).reshape(image.shape)
    w, b = matrix(of["first"], image.shape, kernel), np.tile(shift, rectified[..., 0].size)
    return alpha_beta(image.ravel(), w, b, at_rectified.ravel(), *numbers).reshape(image.shape)


@pytest.mark.parametrize("name", NAMES)
def test_equals_its_literal_twin(name, rng):
    model, images = small(rng)
    epsilon = 0.01 if name == "lrp" else TINY
    found = explain(name, model, images, 1, raw=True)
    for one, image in zip(found, images, strict=True):
        expected = by_loops(model, image, 1, name, epsilon)
        np.testing.assert_allclose(one, expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(explain(name, model, images, 1), found.sum(axis=-1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if "beta1" not in name])
def test_relevance_is_conserved_without_biases(name, rng):
    model, images = small(rng, bias=False)
    answers = np.asarray(model(images))
    for target in range(3):
        total = explain(name, model, images, target, epsilon=1e-9).sum(axis=(1, 2))
        np.testing.assert_allclose(total, answers[:, target], rtol=1e-3)


def of_every_kind(data_format):
    """Strides, groups, depthwise and transposed convolutions; a rectifier after each of them."""
    image = keras.Input((8, 9, 2) if data_format == "channels_last" else (2, 8, 9))
    settings = {"use_bias": False, "activation": "relu", "padding": "same", "data_format": data_format}
    x = layers.Conv2D(4, 3, strides=2, **settings)(image)
    x = layers.Conv2D(6, (3, 2), groups=2, **settings)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, **settings)(x)
    x = layers.Conv2DTranspose(3, 2, strides=2, **settings)(x)
    x = layers.GlobalAveragePooling2D(data_format=data_format)(x)
    return keras.Model(image, layers.Dense(2, use_bias=False)(x))


def test_every_kind_of_convolution_conserves_too(rng):
    last, first = of_every_kind("channels_last"), of_every_kind("channels_first")
    for weight in last.weights:
        weight.assign(rng.normal(size=weight.shape) + 0.2)
    first.set_weights(last.get_weights())
    images = nets.images(rng, 2, last)
    found = explain("lrp-epsilon-plus", last, images, 0, epsilon=1e-9)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), np.asarray(last(images))[:, 0], rtol=1e-3)
    turned = explain("lrp-epsilon-plus", first, np.moveaxis(images, -1, 1), 0, epsilon=1e-9)
    np.testing.assert_allclose(turned, found, rtol=1e-4, atol=1e-4 * np.abs(found).max())


def test_a_separable_convolution_is_two_convolutions(rng):
    def net(*parts):
        image = keras.Input((6, 5, 3))
        x = image
        for part in parts:
            x = part(x)
        return keras.Model(image, layers.Dense(2, name="answer")(layers.Flatten()(x)))

    model = nets.randomise(net(layers.SeparableConv2D(4, 3, activation="relu", name="both")), rng)
    two = net(
        layers.DepthwiseConv2D(3, use_bias=False, name="a"), layers.Conv2D(4, 1, activation="relu", name="b")
    )
    depthwise, *pointwise = model.get_layer("both").get_weights()
    two.get_layer("a").set_weights([depthwise])
    two.get_layer("b").set_weights(pointwise)
    two.get_layer("answer").set_weights(model.get_layer("answer").get_weights())
    images = nets.images(rng, 2, model)
    for name in NAMES[:2]:
        found, expected = (explain(name, one, images, 1) for one in (model, two))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def gated(rng):
    """A trunk times gates that are computed from it, as in squeeze-and-excitation."""
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", use_bias=False, name="trunk")(image)
    gate = layers.Dense(3, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.GlobalAveragePooling2D()(layers.Multiply()([x, gate]))
    return nets.randomise(keras.Model(image, layers.Dense(2, use_bias=False)(x)), rng)


def test_gates_are_constants(rng):
    model = gated(rng)
    images = nets.images(rng, 2, model)
    total = explain("lrp", model, images, 1, epsilon=1e-9).sum(axis=(1, 2))
    np.testing.assert_allclose(total, np.asarray(model(images))[:, 1], rtol=1e-3)


def recurrent(rng, kind, bias=True):
    """A photo as the first input of a recurrent layer, then words; the answer is the second word's."""
    image, words = keras.Input((3, 3, 2)), keras.Input((2,), dtype="int32")
    photo = layers.Dense(3, use_bias=False, name="photo")(layers.Flatten()(image))
    x = layers.Concatenate(axis=1)([layers.Reshape((1, 3))(photo), layers.Embedding(5, 3)(words)])
    x = kind(4, return_sequences=True, use_bias=bias, name="recurrent")(x)
    model = keras.Model([image, words], layers.Dense(5, use_bias=bias, name="logits")(x))
    return nets.randomise(model, rng)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def through_lstm(layer, xs, above, epsilon):
    """Arras et al. 2017, section 3.1: relevance of x at each step from that of the last h, gates constant."""
    kernel, recurrent, bias = (np.asarray(w, np.float64) for w in layer.get_weights())
    h, c, kept = np.zeros(4), np.zeros(4), []
    for x in xs:
        i, f, z, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        before, previous = c, h
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(z)
        c = f * c + i * g
        h = o * np.tanh(c)
        kept.append((x, previous, before, i, f, g, c))
    of_x, of_h, of_c = [], above, np.zeros(4)
    both = np.vstack([kernel, recurrent])[:, 8:12]
    for x, previous, before, i, f, g, c in reversed(kept):
        arriving = of_h + of_c
        candidate, of_c = np.zeros(4), np.zeros(4)
        for u in range(4):
            candidate[u] = i[u] * g[u] / moved(c[u], epsilon) * arriving[u]
            of_c[u] = f[u] * before[u] / moved(c[u], epsilon) * arriving[u]
        below = epsilon_rule(np.concatenate([x, previous]), both, bias[8:12], candidate, epsilon)
        of_x.append(below[:3])
        of_h = below[3:]
    return of_x[::-1]


def test_a_word_by_the_epsilon_rule_through_an_lstm(rng):
    model = recurrent(rng, layers.LSTM)
    image, words = rng.normal(size=(3, 3, 2)).astype("float32"), np.array([1, 3], np.int32)
    layer, logits = model.get_layer("recurrent"), model.get_layer("logits")
    made = keras.Function(model.inputs, [layer.input, layer.output, model.output])([image[None], words[None]])
    xs, hs, answers = (np.asarray(x, np.float64)[0] for x in made)
    kernel, bias = (np.asarray(w, np.float64) for w in logits.get_weights())
    above = epsilon_rule(hs[2], kernel, bias, np.where(np.arange(5) == 4, answers[2], 0), 0.01)
    of_photo = through_lstm(layer, xs, above, 0.01)[0]
    photo = np.asarray(model.get_layer("photo").kernel, np.float64)
    expected = epsilon_rule(image.ravel().astype(np.float64), photo, np.zeros(3), of_photo, 0.01)
    found = explain("lrp", model, [image[None], words[None]], (2, 4), raw=True)[0]
    np.testing.assert_allclose(found, expected.reshape(image.shape), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_words_conserve_what_the_photo_contributes(kind, rng):
    model = recurrent(rng, kind, bias=False)
    embeddings = next(w for w in model.weights if "embedding" in w.path)
    embeddings.assign(ops.zeros_like(embeddings))  # so that the photo contributes everything
    image, words = rng.normal(size=(3, 3, 2)).astype("float32"), np.array([1, 3], np.int32)
    answers = np.asarray(model([image[None], words[None]]))[0]
    neurons = np.array([[1, 0], [2, 4], [2, 1]], np.int32)
    images = [np.repeat(image[None], 3, axis=0), np.repeat(words[None], 3, axis=0)]
    together = explain("lrp", model, images, neurons, epsilon=1e-9)
    np.testing.assert_allclose(together.sum(axis=(1, 2)), answers[tuple(neurons.T)], rtol=1e-3)
    alone = explain("lrp", model, [image[None], words[None]], (2, 4), epsilon=1e-9)
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-4, atol=1e-6)


def test_an_answer_that_is_not_finite_is_refused(rng):
    model, images = small(rng)
    bias = model.get_layer("answer").bias
    bias.assign(np.full(3, np.nan, np.float32))
    with pytest.raises(UserError, match="'answer' holds NaN or infinite values for this input"):
        explain("lrp", model, images, 1)


@pytest.fixture
def zennit(monkeypatch):
    """The package torch and modules of zennit, with what they warn of on import kept quiet."""
    # zennit imports these names of torchvision, and no test needs them.
    blocks = SimpleNamespace(Bottleneck=None, BasicBlock=None)
    monkeypatch.setitem(sys.modules, "torchvision.models.resnet", blocks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            names = ("torch", "zennit.composites", "zennit.canonizers", "zennit.rules", "zennit.types")
            return [import_module(name) for name in names]
        except ImportError as error:
            pytest.skip(f"zennit is not installed: {error}")


def carried_over(model, torch):
    """The layers of :func:`sequential` in PyTorch, with the same weights."""

    def tensor(values):
        return torch.nn.Parameter(torch.tensor(np.array(values)))

    nn = torch.nn
    first, norm = nn.Conv2d(2, 4, 3, padding="same"), nn.BatchNorm2d(4)
    second, third = nn.Conv2d(4, 6, 3, stride=2, groups=2), nn.Conv2d(6, 5, 2)
    hidden, answer = nn.Linear(20, 8), nn.Linear(8, 3)
    names = ("first", "second", "third", "hidden", "answer")
    for name, module in zip(names, (first, second, third, hidden, answer), strict=True):
        kernel, bias = model.get_layer(name).get_weights()
        axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        module.weight, module.bias = tensor(kernel.transpose(axes)), tensor(bias)
    gamma, beta, mean, variance = model.get_layer("norm").get_weights()
    norm.weight, norm.bias, norm.eps = tensor(gamma), tensor(beta), model.get_layer("norm").epsilon
    norm.running_mean, norm.running_var = tensor(mean).data, tensor(variance).data
    parts = [first, norm, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2, 1), third, nn.ReLU()]
    return nn.Sequential(*parts, nn.AvgPool2d(2, 1), nn.Flatten(), hidden, nn.ReLU(), answer).eval()


def sequential(rng):
    """Convolutions with a normalisation and with groups, pools and dense layers."""
    x = image = keras.Input((11, 11, 2))
    x = layers.Conv2D(4, 3, padding="same", name="first")(x)
    x = layers.ReLU()(layers.BatchNormalization(epsilon=1e-7, name="norm")(x))
    x = layers.Conv2D(6, 3, strides=2, groups=2, activation="relu", name="second")(x)
    x = layers.MaxPooling2D(2, 1)(x)
    x = layers.AveragePooling2D(2, 1)(layers.Conv2D(5, 2, activation="relu", name="third")(x))
    x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
    x = layers.Dense(8, activation="relu", name="hidden")(x)
    return nets.randomise(keras.Model(image, layers.Dense(3, name="answer")(x)), rng)


ZENNIT = {
    "lrp-epsilon-plus": "EpsilonPlus",
    "lrp-epsilon-plus-flat": "EpsilonPlusFlat",
    "lrp-epsilon-alpha2-beta1": "EpsilonAlpha2Beta1",
}


@pytest.mark.parametrize("name", ZENNIT)
def test_equals_zennit(name, zennit, rng):
    torch, composites, canonizers, *_ = zennit
    model = sequential(rng)
    images = nets.images(rng, 3, model)
    theirs = carried_over(model, torch)
    composite = getattr(composites, ZENNIT[name])(canonizers=[canonizers.SequentialMergeBatchNorm()])
    pixels = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    np.testing.assert_allclose(theirs(pixels).detach(), np.asarray(model(images)), rtol=1e-4, atol=1e-5)
    with composite.context(theirs) as changed:
        output = changed(pixels)
        relevance = output.detach() * torch.eye(3)[[1, 1, 1]]
        (expected,) = torch.autograd.grad(output, pixels, relevance)
    found = explain(name, model, images, 1, raw=True)
    expected = np.asarray(expected).transpose(0, 2, 3, 1)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_spread_is_the_z_plus_rule_of_zennit(zennit, rng):
    """From the strongest neuron of a layer to the pixels, through a normalisation, groups and a pool."""
    torch, composites, canonizers, rules, types = zennit
    model = sequential(rng)
    images = nets.images(rng, 3, model)
    theirs = carried_over(model, torch)[:8]  # as far as the rectified layer "third"
    without_bias = rules.ZPlus(stabilizer=1e-12, zero_params="bias")
    layer_map = [(types.Activation, rules.Pass()), (types.Convolution, without_bias)]
    composite = composites.LayerMapComposite(layer_map, [canonizers.SequentialMergeBatchNorm()])
    pixels = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    with composite.context(theirs) as changed:
        maps = changed(pixels)
        values = maps.detach().numpy()
        neurons = [tuple(map(int, np.unravel_index(one.argmax(), one.shape))) for one in values]
        start = torch.zeros(maps.shape)
        for one, neuron in zip(start, neurons, strict=True):
            one[neuron] = 1
        (expected,) = torch.autograd.grad(maps, pixels, start)
    expected = expected.numpy().sum(axis=1)
    for image, (channel, row, column), one in zip(images, neurons, expected, strict=True):
        [found] = trace(model, image[None], (row, column, channel), "third", neurons="all")
        heat = np.zeros(one.shape)
        places, weights = found.pixels
        heat[tuple(places.T)] = weights
        assert np.count_nonzero(one) > 20
        np.testing.assert_allclose(heat, one, atol=1e-4 * one.max())
