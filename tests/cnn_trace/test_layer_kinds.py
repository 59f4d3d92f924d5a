"""Every further kind of layer and operator: its adjoint is exact, its walk equals the literal twin."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from packaging.version import Version
from twins.checks import check, check_walk
from twins.exact import assert_exact

from gazeback.cnn_trace import TraceError
from gazeback.cnn_trace.rules.table import TRANSPARENT

pytestmark = pytest.mark.usefixtures("eager")

ABSENT = {
    ("jax", "max pool"): "Keras on JAX cannot run a pooling operator without strides",
    ("jax", "local response"): "Keras on JAX cannot run a pooling operator without strides",
    ("torch", "slice"): "PyTorch has no negative steps",
    ("torch", "lanczos3"): "Keras on PyTorch has no Lanczos interpolation",
    ("torch", "average pool"): "Keras on PyTorch counts padding that is not the same on both sides",
}
"""What cannot be traced, or not exactly, by backend: docs/measurements.md, other backends."""

FIRST = {
    "stop gradient": "3.6",
    "antialias": "3.9",
    "batch normalisation": "3.11",
    "patches that overlap": "3.14",
}
"""The first version of Keras in which what is not there, or fails, before it works."""


def skip_what_is_absent(name):
    reason = ABSENT.get((keras.backend.backend(), name))
    if reason is not None:
        pytest.skip(reason)
    first = FIRST.get(name, "3")
    if Version(keras.__version__) < Version(first):
        pytest.skip(f"Keras {keras.__version__}: {name} works since Keras {first}")


few = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
seeds = st.integers(0, 10**6)
padding = st.sampled_from(["same", "valid"])


def behind(layer, *reshaped):
    """A layer behind a random 3x3 convolution with some negative scales (and a reshape to another rank)."""

    def function(image):
        x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(image))
        for shape in reshaped:
            x = layers.Reshape(shape)(x)
        return layer(x)

    return function


@few
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from(
        [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((3, 1), (1, 1)), ((1, 1), (2, 1)), ((1, 1), (2, 3))]
    ),
    padding,
    st.booleans(),
    seeds,
)
def test_transposed_convolution(kernel, strides_dilation, pad, use_bias, seed):
    strides, dilation = strides_dilation
    layer = layers.Conv2DTranspose(
        3, kernel, strides=strides, dilation_rate=dilation, padding=pad, use_bias=use_bias
    )
    check(behind(layer), (5, 6, 2), seed)


def test_transposed_convolution_with_output_padding():
    layer = layers.Conv2DTranspose(3, 3, strides=3, padding="same", output_padding=1, activation="relu")
    check(behind(layer), (4, 5, 2))


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("pad", ["same", "valid"])
def test_transposed_convolutions_of_one_and_three_dimensions(strides, pad):
    check(behind(layers.Conv1DTranspose(3, 3, strides=strides, padding=pad), (20, 4)), (4, 5, 2), neurons=2)
    layer = layers.Conv3DTranspose(2, (2, 3, 2), strides=strides, padding=pad)
    check(behind(layer, (2, 2, 5, 4)), (4, 5, 2), neurons=2)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos3"])
def test_upsampling(interpolation):
    skip_what_is_absent(interpolation)
    check(behind(layers.UpSampling2D((2, 3), interpolation=interpolation)), (5, 4, 3))


def test_upsampling_of_one_and_three_dimensions():
    check(behind(layers.UpSampling1D(3), (20, 4)), (4, 5, 2))
    check(behind(layers.UpSampling3D((1, 2, 3)), (2, 2, 5, 4)), (4, 5, 2))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(9, 4), (3, 3), (7, 12)])
@pytest.mark.parametrize("settings", [{}, {"crop_to_aspect_ratio": True}, {"antialias": True}])
def test_resizing(interpolation, size, settings):
    for name in settings:
        skip_what_is_absent(name)
    check(layers.Resizing(*size, interpolation=interpolation, **settings), (7, 8, 3), walk=False)


@pytest.mark.parametrize("crop", [False, True])
def test_the_walk_through_resizing(crop):
    check(layers.Resizing(9, 5, crop_to_aspect_ratio=crop), (7, 8, 3))
    check(layers.Resizing(3, 6, crop_to_aspect_ratio=crop, interpolation="nearest"), (7, 8, 3))
    check(lambda x: ops.image.resize(x, (9, 5), crop_to_aspect_ratio=crop), (7, 8, 3))


@pytest.mark.parametrize("size", [(4, 5), (7, 3), (9, 4), (12, 14)])
def test_centre_crop(size):
    check(layers.CenterCrop(*size), (7, 8, 3))


def test_padding_to_an_aspect_ratio_is_refused():
    layer = layers.Resizing(9, 4, pad_to_aspect_ratio=True, name="boxed")
    with pytest.raises(TraceError, match="layer 'boxed' pads to the aspect ratio"):
        check(layer, (7, 8, 3))


@few
@given(st.sampled_from([1, 2, 4, -1]), st.booleans(), st.booleans(), seeds)
def test_group_normalisation(groups, center, scale, seed):
    check(behind(layers.GroupNormalization(groups, center=center, scale=scale)), (4, 5, 3), seed)


@pytest.mark.parametrize("axis", [-1, 1])
def test_group_normalisation_of_another_axis(axis):
    check(layers.GroupNormalization(2, axis=axis), (4, 5, 4), walk=False)


def test_normalisations_of_length():
    check(behind(layers.UnitNormalization()), (4, 5, 3))
    check(lambda x: layers.UnitNormalization(axis=1)(layers.Flatten()(x)), (4, 5, 3))
    check(behind(lambda x: ops.normalize(x, axis=-1)), (4, 5, 3))
    if hasattr(layers, "RMSNormalization"):
        check(behind(layers.RMSNormalization()), (4, 5, 3))


@pytest.mark.parametrize(
    ("layer", "reshaped"),
    [
        (layers.ZeroPadding1D((1, 2)), [(20, 4)]),
        (layers.Cropping1D((1, 2)), [(20, 4)]),
        (layers.ZeroPadding3D(((0, 1), (1, 0), (2, 1))), [(2, 2, 5, 4)]),
        (layers.Cropping3D(((0, 1), (1, 0), (2, 1))), [(2, 2, 5, 4)]),
        (layers.SpatialDropout1D(0.5), [(20, 4)]),
        (layers.SpatialDropout3D(0.5), [(2, 2, 5, 4)]),
    ],
)
def test_layers_of_one_and_three_dimensions(layer, reshaped):
    check(behind(layer, *reshaped), (4, 5, 2))


def test_masking():
    image = keras.Input((4, 5, 2))
    model = keras.Model(image, layers.Masking()(layers.Reshape((4, 10))(image)))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 4, 5, 2)).astype("float32")
    images[:, 1] = 0
    assert_exact(model, images, rng)
    check_walk(model, images[:1], rng, 4, "same")


CHANNELS_FIRST = {"data_format": "channels_first"}


@pytest.mark.parametrize(
    "function",
    [
        layers.ZeroPadding2D(((1, 2), (0, 3)), **CHANNELS_FIRST),
        layers.Cropping2D(((1, 2), (0, 3)), **CHANNELS_FIRST),
        layers.UpSampling2D((2, 3), **CHANNELS_FIRST),
        layers.UpSampling2D(2, interpolation="bilinear", **CHANNELS_FIRST),
        layers.Resizing(7, 4, **CHANNELS_FIRST),
        layers.CenterCrop(3, 4, **CHANNELS_FIRST),
        layers.Conv2DTranspose(5, 3, strides=2, **CHANNELS_FIRST),
        layers.GroupNormalization(2, axis=1),
        layers.Flatten(**CHANNELS_FIRST),
        lambda x: ops.image.resize(x, (7, 4), **CHANNELS_FIRST),
    ],
)
def test_channels_first(function):
    check(lambda x: function(layers.Rescaling(0.5)(x)), (4, 6, 7), walk=False)


AUGMENTATIONS = {
    "AugMix": {},
    "CutMix": {},
    "GaussianDropout": {"rate": 0.1},
    "GaussianNoise": {"stddev": 0.1},
    "MixUp": {},
    "RandAugment": {},
    "RandomRotation": {"factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
}


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # MixUp on JAX
@pytest.mark.parametrize("name", [name for name in TRANSPARENT if hasattr(layers, name)])
def test_layers_that_change_nothing_when_the_model_is_used(name):
    kind = getattr(layers, name)
    arguments = AUGMENTATIONS.get(name)
    if arguments is None:
        arguments = next(a for a in ({}, {"factor": 0.2}, {"rate": 0.1}, {"factor": 2}) if makes(kind, a))
    layer = kind(**arguments)
    shape = {"SpatialDropout1D": (5, 3), "SpatialDropout3D": (2, 4, 5, 3)}.get(name, (4, 5, 3))
    values = np.random.default_rng(0).uniform(size=(2, *shape)).astype("float32")
    np.testing.assert_array_equal(np.asarray(layer(values, training=False)), values)


def makes(kind, arguments):
    try:
        kind(**arguments)
    except (TypeError, ValueError):
        return False
    return True


CONSTANT = np.array([1.0, -2.0, 0.5, -0.1], "float32")
MATRIX = np.random.default_rng(3).normal(size=(4, 3)).astype("float32")
KERNEL = np.random.default_rng(4).normal(size=(3, 2, 4, 3)).astype("float32")

OPERATORS = {
    "sum": lambda x: ops.sum(x, axis=(1, 2)),
    "sum keepdims": lambda x: ops.sum(x, axis=-1, keepdims=True),
    "min": lambda x: ops.min(x, axis=2),
    "amin": lambda x: ops.amin(x, axis=(1, -1), keepdims=True),
    "square": ops.square,
    "absolute": ops.abs,
    "power": lambda x: x**3,
    "even power": lambda x: ops.power(x, 2),
    "power of a constant": lambda x: ops.power(0.5, x),
    "root": lambda x: ops.sqrt(ops.relu(x) + 0.1),
    "reciprocal": lambda x: ops.reciprocal(ops.square(x) + 1.0),
    "inverse root": lambda x: ops.rsqrt(ops.square(x) + 1.0),
    "exp": ops.exp,
    "log": lambda x: ops.log(ops.relu(x) + 0.5),
    "log1p": lambda x: ops.log1p(ops.relu(x)),
    "clip": lambda x: ops.clip(x, -0.2, 0.5),
    "where": lambda x: ops.where(x > 0, x, x * -0.5),
    "where a constant": lambda x: ops.where(x > 0, 0.3, x),
    "where a mask": lambda x: ops.where(CONSTANT > 0, x, x * -0.5),
    "quotient": lambda x: x / (ops.square(x) - 0.7),
    "quotient of a sum": lambda x: x / ops.sum(ops.abs(x), axis=-1, keepdims=True),
    "constant over a tensor": lambda x: ops.divide(CONSTANT, x + 5.0),
    "softmax by hand": lambda x: ops.exp(x) / ops.sum(ops.exp(x), axis=-1, keepdims=True),
    "stack": lambda x: ops.stack([x, x * -1.0], axis=2),
    "stack last": lambda x: ops.stack([x[..., 0], x[..., 1]], axis=-1),
    "split": lambda x: ops.concatenate(ops.split(x, 2, axis=-1)[::-1], axis=-1),
    "split in parts": lambda x: ops.split(x, [1, 3], axis=1)[1],
    "unstack": lambda x: ops.unstack(x, 4, axis=3)[2],
    "flip": lambda x: ops.flip(x, axis=2),
    "roll": lambda x: ops.roll(x, 2, axis=1),
    "repeat": lambda x: ops.repeat(x, 2, axis=1),
    "tile": lambda x: ops.tile(x, (1, 1, 2, 1)),
    "take": lambda x: ops.take(x, [2, 0, 2], axis=-1),
    "swapaxes": lambda x: ops.swapaxes(x, 1, 3),
    "moveaxis": lambda x: ops.moveaxis(x, -1, 1),
    "slice": lambda x: x[:, ::-2, 1:-1, 2],
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0))),
    "pad with a constant": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)), constant_values=0.7),
    "reflect": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)), mode="reflect"),
    "patches": lambda x: ops.image.extract_patches(x, (2, 3)),
    "patches that overlap": lambda x: ops.image.extract_patches(x, 2, strides=1, padding="same"),
    "matrix": lambda x: ops.matmul(x, MATRIX),
    "matrix @": lambda x: x @ MATRIX,
    "conv": lambda x: ops.conv(x, KERNEL, strides=(2, 1), padding="same"),
    "depthwise conv": lambda x: ops.depthwise_conv(x, KERNEL, padding="same"),
    "max pool": lambda x: ops.max_pool(x, 2, padding="same"),
    "average pool": lambda x: ops.average_pool(x, (2, 3), strides=1, padding="same"),
    "batch normalisation": lambda x: ops.batch_normalization(
        x, CONSTANT, CONSTANT**2, axis=-1, offset=CONSTANT, scale=-CONSTANT
    ),
    "cast": lambda x: ops.cast(x, "float32"),
    "stop gradient": ops.stop_gradient,
    "local response": lambda x: x / (1.0 + 0.1 * ops.average_pool(ops.square(x), 1)) ** 0.75,
}


def test_a_dense_layer_on_a_map():
    check(behind(layers.Dense(3, activation="relu")), (5, 6, 2))


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    skip_what_is_absent(name)
    check(behind(OPERATORS[name]), (5, 6, 2))
