"""The published walk against its literal twin, point for point, over small random models."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets
from twins.fixations import Twin

from gazeback.cnn_trace import trace

pytestmark = pytest.mark.usefixtures("eager")
OPTIONS = [
    {"location": "same", "fc_to_spatial": "argmax"},
    {"location": "argmax", "fc_to_spatial": "all"},
    {"location": "argmax", "fc_to_spatial": "argmax"},
    {"location": "same", "fc_to_spatial": "all"},
]


def start_tensor(flat):
    """The logits of a flat model: below a final softmax, fused ones included (same neurons)."""
    output = flat.outputs[0]
    node = output._keras_history.operation._inbound_nodes[0]
    softmax = (
        isinstance(node.operation, layers.Activation) and node.operation.activation.__name__ == "softmax"
    )
    return node.input_tensors[0] if softmax else output


def assert_equals_twin(model, flat, images, targets, **options):
    """``model`` traced equals the twin on ``flat``, the same layers without nesting."""
    traced = trace(model, images, list(targets), method="fixations", **options)
    start = start_tensor(flat)
    for i, image in enumerate(images):
        twin = Twin(flat, image, **options)
        for target, fixations in zip(targets, traced[i], strict=True):
            found = twin.walk({start: {((target,), 1): 1.0}})
            got = set(map(tuple, fixations.points.tolist()))
            assert got == set(twin.points(found)), (i, target)
            assert (fixations.weights == 1).all()
            assert_layers_equal(model, twin, found, fixations)


def assert_layers_equal(model, twin, found, fixations):
    own = set(map(id, model._flatten_layers()))
    for node in twin.nodes:
        if id(node.operation) in own and node.input_tensors and (expected := twin.at(found, node)):
            calls = [n for n in node.operation._inbound_nodes if any(n is other for other in twin.nodes)]
            number = next(i for i, call in enumerate(calls, 1) if call is node)
            name = node.operation.name + (f"#{number}" if len(calls) > 1 else "")
            assert set(map(tuple, fixations.at(name).coordinates.tolist())) == set(expected), name


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
@pytest.mark.parametrize("name", nets.FLAT)
def test_fixations_equal_the_literal_twin(name, options):
    rng = np.random.default_rng(sum(map(ord, name + "".join(options.values()))))
    model = nets.randomise(nets.FLAT[name](rng), rng)
    assert_equals_twin(model, model, nets.images(rng, 2, model), (0, 2), **options)


@pytest.mark.parametrize("seed", range(12))
def test_random_convolutions(seed):
    rng = np.random.default_rng(seed)
    model = nets.randomise(nets.plain(rng), rng)
    assert_equals_twin(model, model, nets.images(rng, 1, model), (0, 1), **OPTIONS[seed % 2])


@pytest.mark.parametrize("location", ["same", "argmax"])
@pytest.mark.parametrize("neuron", [(0, 0, 1), (2, 3, 0), (4, 4, 3)])
def test_any_neuron_of_any_layer(rng, neuron, location):
    model = nets.randomise(nets.residual(rng), rng)
    image = nets.images(rng, 1, model)
    layer = model.layers[1]
    fixations = trace(model, image, neuron, layer=layer.name, method="fixations", location=location)[0]
    twin = Twin(model, image[0], location=location)
    found = twin.walk({layer.output: {(neuron, 1): 1.0}})
    assert set(map(tuple, fixations.points.tolist())) == set(twin.points(found))


class Block(keras.layers.Layer):
    """A composite layer: its sublayers are what is traced."""

    def __init__(self, filters, **keywords):
        super().__init__(**keywords)
        self.conv = layers.Conv2D(filters, 3, padding="same", name="block_conv")
        self.norm = layers.BatchNormalization(name="block_norm")

    def build(self, shape):
        self.conv.build(shape)
        self.norm.build((*shape[:-1], self.conv.filters))
        self.built = True

    def call(self, x):
        return ops.relu(self.norm(self.conv(x)) + 0.1)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = Block(4, name="block")
        self.pool = layers.MaxPooling2D(2)
        self.out = layers.Dense(3, activation="softmax")

    def call(self, x, training=False):
        x = self.pool(self.block(x))
        x = ops.concatenate([x, x * -2.0], axis=-1)
        return self.out(layers.Flatten()(x))


def flat_block(block, x):
    return ops.relu(block.norm(block.conv(x)) + 0.1)


@pytest.mark.parametrize("options", OPTIONS[:2], ids=lambda o: o["location"])
def test_composite_layer_is_opened(rng, options):
    image = keras.Input((8, 8, 3))
    block, out = Block(4), layers.Dense(3)
    model = keras.Model(image, out(layers.GlobalAveragePooling2D()(block(image))))
    nets.randomise(model, rng)
    images = nets.images(rng, 1, model)
    nodes = [len(x._inbound_nodes) for x in (block, block.conv, block.norm)]
    trace(model, images, 0, method="fixations", **options)
    assert [len(x._inbound_nodes) for x in (block, block.conv, block.norm)] == nodes
    flat = keras.Model(image, out(layers.GlobalAveragePooling2D()(flat_block(block, image))))
    assert_equals_twin(model, flat, images, (0, 1), **options)


@pytest.mark.parametrize("options", OPTIONS[:2], ids=lambda o: o["location"])
def test_subclassed_model(rng, options):
    model = Subclassed()
    model(np.zeros((1, 8, 8, 3), "float32"))
    nets.randomise(model, rng)
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    x = image = keras.Input((8, 8, 3))
    x = model.pool(flat_block(model.block, x))
    x = layers.Flatten()(ops.concatenate([x, x * -2.0], axis=-1))
    flat = keras.Model(image, model.out(x))
    assert_equals_twin(model, flat, images, (0, 2), **options)


@pytest.mark.parametrize("options", OPTIONS[:2], ids=lambda o: o["location"])
def test_nested_and_sequential_models(rng, options):
    conv, norm, dense = layers.Conv2D(4, 3, strides=2), layers.BatchNormalization(), layers.Dense(3)
    inner_image = keras.Input((9, 9, 3))
    inner = keras.Model(inner_image, norm(conv(inner_image)), name="inner")
    head = keras.Sequential([layers.Flatten(), layers.Dropout(0.2), dense], name="head")
    image = keras.Input((9, 9, 3))
    middle_image = keras.Input((9, 9, 3))
    middle = keras.Model(middle_image, inner(middle_image * 2.0), name="middle")
    model = keras.Model(image, head(layers.ReLU()(middle(image))))
    nets.randomise(model, rng)
    images = nets.images(rng, 2, model)
    x = layers.ReLU()(norm(conv(image * 2.0)))
    flat = keras.Model(image, dense(layers.Dropout(0.2)(layers.Flatten()(x))))
    assert_equals_twin(model, flat, images, (1, 2), **options)
    at = trace(model, images, 1, method="fixations", **options)[0].at("middle/inner/" + conv.name)
    assert len(at) > 0


def test_nested_model_called_twice(rng):
    conv = layers.Conv2D(3, 3, padding="same")
    inner_image = keras.Input((8, 8, 3))
    inner = keras.Model(inner_image, layers.ReLU()(conv(inner_image)))
    image, dense = keras.Input((8, 8, 3)), layers.Dense(3)
    model = keras.Model(image, dense(layers.Flatten()(layers.Add()([inner(inner(image)), image]))))
    nets.randomise(model, rng)
    x = layers.ReLU()(conv(layers.ReLU()(conv(image))))
    flat = keras.Model(image, dense(layers.Flatten()(layers.Add()([x, image]))))
    assert_equals_twin(
        model, flat, nets.images(rng, 1, model), (0, 1), location="argmax", fc_to_spatial="all"
    )


def test_sequential_model(rng):
    parts = [layers.Conv2D(4, 3, activation="relu"), layers.GlobalMaxPooling2D(), layers.Dense(3)]
    model = nets.randomise(keras.Sequential([keras.Input((8, 8, 3)), *parts]), rng)
    image = keras.Input((8, 8, 3))
    flat = keras.Model(image, parts[2](parts[1](parts[0](image))))
    assert_equals_twin(model, flat, nets.images(rng, 2, model), (0, 1))


def test_one_target_per_image_and_the_default_target(rng):
    model = nets.randomise(nets.pools(rng), rng)
    images = nets.images(rng, 3, model)
    strongest = np.asarray(model(images)).argmax(axis=1)
    default = trace(model, images, method="fixations")
    given = trace(model, images, strongest, method="fixations")
    single = [trace(model, images[i], int(strongest[i]), method="fixations")[0] for i in range(3)]
    for a, b, c in zip(default, given, single, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
        np.testing.assert_array_equal(a.points, c.points)


def test_spatial_sizes_left_open(rng):
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    nets.randomise(model, rng)
    for shape in ((8, 11), (12, 7)):
        images = rng.normal(size=(1, *shape, 3)).astype("float32")
        assert_equals_twin(model, model, images, (0, 1))
