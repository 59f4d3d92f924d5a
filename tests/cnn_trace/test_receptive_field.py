"""Receptive fields against an experiment: on a black image, one pixel is lit; which units light up?

All weights are positive and all biases zero, so that nothing cancels and what is dark was not reached.
"""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from gazeback.cnn_trace import TraceError
from gazeback.cnn_trace.receptive_field import ReceptiveField, receptive_field


def positive(model):
    """All weights positive, what is added zero."""
    rng = np.random.default_rng(3)
    for weight in model.weights:
        values = rng.uniform(0.5, 1, weight.shape) / max(np.prod(weight.shape[-2:-1]), 1)
        if any(name in weight.path for name in ("bias", "beta", "moving_mean")):
            values = np.zeros(weight.shape)
        weight.assign(values)
    return model


def seen_by_units(model, layer):
    """bool ``[rows, columns, height, width]``: which units light up for which pixel."""
    inner = keras.Model(model.input, model.get_layer(layer).output)
    height, width, channels = model.input_shape[1:]
    lit = np.eye(height * width, dtype=np.float32).reshape(-1, height, width, 1).repeat(channels, axis=-1)
    found = np.asarray(inner(lit, training=False))
    reached = (found > 0).any(axis=-1)
    return np.moveaxis(reached, 0, -1).reshape(*reached.shape[1:], height, width)


def extent(marked):
    """The first and the last marked place, and one more: slices of rows and of columns."""
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def assert_windows_hold(model, layer, exact=True):
    """Every unit sees no more than its window, and all of it where the window lies on the image."""
    field = receptive_field(positive(model), layer)
    reached = seen_by_units(model, layer)
    inside = 0
    for row, column in np.ndindex(reached.shape[:2]):
        top, left, bottom, right = field.window(row, column)
        within = np.clip((top, left, bottom, right), 0, (*reached.shape[2:], *reached.shape[2:]))
        if not reached[row, column].any():
            assert not exact or within[0] >= within[2] or within[1] >= within[3]
            continue
        found = extent(reached[row, column])
        assert found[0] >= within[0]
        assert found[1] >= within[1]
        assert found[2] <= within[2]
        assert found[3] <= within[3]
        if exact and min(top, left) >= 0 and bottom <= reached.shape[2] and right <= reached.shape[3]:
            assert found == (top, left, bottom, right)
            inside += 1
    return inside


sizes, small = st.integers(1, 4), st.integers(1, 2)
windows = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["conv", "depthwise", "separable", "max", "average"]),
        "size": st.tuples(sizes, sizes),
        "strides": st.tuples(small, small),
        "dilation": st.tuples(small, small),
        "padding": st.sampled_from(["same", "valid"]),
    }
)


def sliding(x, window):
    """A layer with a window; where it would not fit, nothing."""
    kind, size, strides, padding = (window[key] for key in ("kind", "size", "strides", "padding"))
    dilation = window["dilation"]
    if kind in ("max", "average") or max(strides) > 1:
        dilation = (1, 1)
    spans = [(s - 1) * d + 1 for s, d in zip(size, dilation, strict=True)]
    if any(span > side for span, side in zip(spans, x.shape[1:3], strict=True)):
        return x
    common = {"strides": strides if strides[0] == strides[1] or kind in POOLS else (1, 1), "padding": padding}
    if kind in POOLS:
        return POOLS[kind](size, **common)(x)
    common["dilation_rate"] = dilation
    if kind == "conv":
        return layers.Conv2D(2, size, activation="relu", **common)(x)
    if kind == "separable":
        common["dilation_rate"] = dilation[0] if dilation[0] == dilation[1] else 1
        return layers.SeparableConv2D(2, size, **common)(x)
    return layers.DepthwiseConv2D(size, **common)(x)


POOLS = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}


@given(st.lists(windows, min_size=1, max_size=4), st.tuples(st.integers(9, 15), st.integers(9, 15)))
@settings(max_examples=30, deadline=None)
def test_chains_of_windows(chain, side):
    x = image = keras.Input((*side, 2))
    for window in chain:
        x = sliding(x, window)
    x = layers.ReLU(name="asked")(x)
    assert_windows_hold(keras.Model(image, x), "asked")


@given(st.lists(windows, min_size=2, max_size=3), windows)
@settings(max_examples=15, deadline=None)
def test_branches_that_are_concatenated_and_added(branches, first):
    image = keras.Input((12, 13, 2))
    x = sliding(image, {**first, "padding": "same"})
    joined = [sliding(x, {**window, "padding": "same", "strides": (1, 1)}) for window in branches]
    x = layers.Concatenate()([x, *joined])
    branch = layers.Conv2D(x.shape[-1], 3, padding="same")(x)
    x = layers.Add(name="asked")([x, branch])
    assert_windows_hold(keras.Model(image, x), "asked")


def test_known_by_hand():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(2, 7, strides=2, padding="same", name="conv")(image)
    x = layers.MaxPooling2D(3, 2, name="pool")(x)
    model = keras.Model(image, layers.GlobalAveragePooling2D(name="mean")(x))
    assert receptive_field(model, "conv") == ReceptiveField((7, 7), (2, 2), (-2, -2))
    field = receptive_field(model, "pool")
    assert field == ReceptiveField((11, 11), (4, 4), (-2, -2))
    assert field.window(0, 3) == (-2, 10, 9, 21)
    assert receptive_field(model, "mean") == ReceptiveField((32, 32), (0, 0), (0, 0))
    assert receptive_field(model, "mean").window(0, 0) == (0, 0, 32, 32)


def test_padding_moves_the_windows_and_cropping_back():
    image = keras.Input((12, 11, 1))
    x = layers.ZeroPadding2D(((2, 1), (0, 3)))(image)
    x = layers.Conv2D(2, 3, name="padded")(x)
    x = layers.Cropping2D(((1, 0), (0, 2)))(x)
    model = keras.Model(image, layers.Conv2D(1, 1, name="cropped")(x))
    assert receptive_field(model, "padded").offset == (-2, 0)
    assert receptive_field(model, "cropped").offset == (-1, 0)
    assert assert_windows_hold(model, "padded") > 10
    assert assert_windows_hold(model, "cropped", exact=False) == 0


def test_operators_and_slices():
    image = keras.Input((14, 13, 4))
    x = ops.conv(image, np.ones((3, 2, 4, 4), np.float32), strides=1, padding="valid")
    x = ops.concatenate(ops.split(ops.relu(x), 2, axis=-1), axis=-1)
    x = ops.max_pool(ops.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0))), 2, 2)
    x = layers.Identity(name="asked")(x[:, 1:, ::2])
    model = keras.Model(image, x)
    assert receptive_field(model, "asked") == ReceptiveField((4, 3), (2, 4), (1, 0))
    assert assert_windows_hold(model, "asked") > 5


def test_channels_first():
    image = keras.Input((3, 20, 16))
    x = layers.Conv2D(2, (3, 5), (2, 1), padding="same", data_format="channels_first", name="conv")(image)
    model = keras.Model(image, layers.ZeroPadding2D(1, data_format="channels_first", name="pad")(x))
    assert receptive_field(model, "conv") == ReceptiveField((3, 5), (2, 1), (0, -2))
    assert receptive_field(model, "pad") == ReceptiveField((3, 5), (2, 1), (-2, -3))


def test_what_is_enlarged_and_reduced_again_is_exact():
    image = keras.Input((12, 12, 2))
    x = layers.Conv2D(2, 3, padding="same")(image)
    x = layers.UpSampling2D(2, name="up")(x)
    x = layers.AveragePooling2D(4, 2, padding="same", name="down")(x)
    y = layers.Conv2DTranspose(2, 3, padding="same", name="transposed")(x)
    model = keras.Model(image, y)
    assert assert_windows_hold(model, "down") > 50
    assert assert_windows_hold(model, "transposed") > 20
    with pytest.raises(TraceError, match="layer 'up' see windows of different sizes, as 'up' enlarges"):
        receptive_field(model, "up")


def gated():
    image = keras.Input((16, 16, 2))
    x = layers.Conv2D(4, 3, padding="same", name="before")(image)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    return keras.Model(image, layers.Multiply(name="gated")([x, gate]))


def test_a_gate_sees_the_whole_image_and_can_be_left_out():
    model = gated()
    assert receptive_field(model, "gated") == ReceptiveField((16, 16), (0, 0), (0, 0))
    assert receptive_field(model, "gated", gates=False) == receptive_field(model, "before")
    image = keras.Input((16, 16, 4))
    model = keras.Model(image, layers.GroupNormalization(2, name="norm")(image))
    assert receptive_field(model, "norm").size == (16, 16)
    assert receptive_field(model, "norm", gates=False).size == (1, 1)


def test_an_open_size_must_be_given():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.Conv2D(2, 3, 2, padding="same", name="conv")(image))
    with pytest.raises(TraceError, match="leaves the size of its image open; give input_size"):
        receptive_field(model, "conv")
    assert receptive_field(model, "conv", input_size=(31, 32)).offset == (-1, 0)


def refused(x):
    """Layers behind which no unit has a receptive field, and what is said of them."""
    tokens = layers.Reshape((-1, 4), name="tokens")(x)
    yield layers.Reshape((8, 8, 4), name="back")(tokens), "layer 'back' of class Reshape gives up rows"
    yield layers.Reshape((4, 16, 4), name="wide")(x), "layer 'wide' of class Reshape rearranges places"
    yield layers.Permute((2, 1, 3), name="turned")(x), "layer 'turned' of class Permute moves places about"
    yield layers.Resizing(5, 5, name="small")(x), "layer 'small' of class Resizing mixes places"
    yield layers.Concatenate(1, name="tall")([x, x]), "layer 'tall' of class Concatenate joins maps along"
    yield layers.Conv2DTranspose(2, 2, 3, name="holes")(x), "layer 'holes' of class Conv2DTranspose leaves"
    yield tokens, "layer 'tokens', of shape .*, have no row and column"


@pytest.mark.parametrize("which", range(7))
def test_where_there_is_none_the_layer_is_named(which):
    image = keras.Input((8, 8, 4))
    x, message = list(refused(image))[which]
    name = x._keras_history.operation.name
    model = keras.Model(image, layers.Activation("relu")(x))
    with pytest.raises(TraceError, match=message):
        receptive_field(model, name)


def test_layers_that_see_no_image_or_are_not_there():
    image, words = keras.Input((8, 8, 3)), keras.Input((4,))
    x = layers.Dense(3, name="words")(words)
    model = keras.Model([image, words], layers.Add()([layers.GlobalMaxPooling2D()(image), x]))
    with pytest.raises(TraceError, match="layer 'words' does not depend on the image"):
        receptive_field(model, "words")
    with pytest.raises(TraceError, match="has no layer 'nowhere'"):
        receptive_field(model, "nowhere")


NETWORKS = {
    "MobileNetV2": (64, "block_3_project_BN"),
    "ResNet50": (64, "conv2_block3_out"),
    "InceptionV3": (139, "mixed0"),
    "DenseNet121": (96, "pool2_pool"),
    "Xception": (71, "block3_sepconv2_bn"),
    "NASNetMobile": (96, "reduction_concat_stem_1"),
}


@pytest.mark.parametrize(
    "name", ["MobileNetV2", *(pytest.param(name, marks=pytest.mark.slow) for name in list(NETWORKS)[1:])]
)
def test_known_networks(name):
    side, layer = NETWORKS[name]
    build = getattr(keras.applications, name)
    model = build(weights=None, include_top=False, input_shape=(side, side, 3))
    field = receptive_field(positive(model), layer)
    inner = keras.Model(model.input, model.get_layer(layer).output)
    # whole rows are lit: the widest reach along one axis
    lit = np.zeros((side, side, side, 3), np.float32)
    lit[np.arange(side), np.arange(side)] = 1
    reached = (np.asarray(inner(lit, training=False)) > 0).any(axis=(2, 3))
    inside = 0
    for row in range(reached.shape[1]):
        top, _, bottom, _ = field.window(row, 0)
        found = np.flatnonzero(reached[:, row])
        assert found[0] >= top
        assert found[-1] < bottom
        if top >= 0 and bottom <= side:
            assert (found[0], found[-1] + 1) == (top, bottom)
            inside += 1
    assert inside
