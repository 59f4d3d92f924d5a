"""TensorFlow functions in a layer's call: the common ones are traced, others are named."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets
from twins.exact import assert_exact, assert_recorded

from gazeback.cnn_trace import MissingRule, trace
from gazeback.cnn_trace.tracer import METHODS, Tracer

tf = pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow functions"),
]

W = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")

FUNCTIONS = {
    "relu": tf.nn.relu,
    "gelu": tf.nn.gelu,
    "swish": tf.nn.swish,
    "leaky": lambda x: tf.nn.leaky_relu(x, alpha=0.3),
    "tanh": tf.math.tanh,
    "operators": lambda x: tf.square(x) - 2.0 * x / (1.0 + tf.abs(x)),
    "constant first": lambda x: tf.constant(2.0) * x + tf.constant([1.0, 2.0, 3.0, 4.0]),
    "add": lambda x: tf.add(x, tf.math.multiply(x, 0.3)),
    "maximum": lambda x: tf.maximum(x, 0.1),
    "power": lambda x: tf.pow(tf.abs(x) + 0.1, 0.5),
    "clip": lambda x: tf.clip_by_value(x, -0.3, 0.4),
    "where": lambda x: tf.where(x > 0.1, x, tf.zeros_like(x)),
    "cast": lambda x: tf.cast(x, tf.float32),
    "mean": lambda x: tf.reduce_mean(x, axis=[1, 2]),
    "sum": lambda x: tf.reduce_sum(x, -1, keepdims=True),
    "max": lambda x: tf.math.reduce_max(x, axis=(1, 2)),
    "min": lambda x: tf.reduce_min(x, axis=1),
    "reshape": lambda x: tf.reshape(x, [-1, 30, 4]),
    "reshape by the batch": lambda x: tf.reshape(x, (tf.shape(x)[0], tf.shape(x)[1], 20)),
    "reshape with a free size": lambda x: tf.reshape(x, (tf.shape(x)[0], -1, 4)),
    "transpose": lambda x: tf.transpose(x, perm=[0, 3, 1, 2]),
    "new axis": lambda x: tf.squeeze(x[:, :, tf.newaxis] * 1.0, axis=2),
    "expand": lambda x: tf.expand_dims(x, 1),
    "concat": lambda x: tf.concat([x, tf.nn.relu(x)], axis=-1),
    "stack": lambda x: tf.stack([x, 2.0 * x], axis=1),
    "unstack": lambda x: tf.unstack(x, axis=-1)[1],
    "split": lambda x: tf.split(x, 2, axis=-1)[1],
    "split sizes": lambda x: tf.split(x, [1, 3], axis=-1)[1],
    "tile": lambda x: tf.tile(x, [1, 2, 1, 1]),
    "repeat": lambda x: tf.repeat(x, 2, axis=1),
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 0], [0, 0]]),
    "reverse": lambda x: tf.reverse(x, axis=[1]),
    "gather": lambda x: tf.gather(x, [2, 0], axis=-1),
    "matmul": lambda x: tf.matmul(x, W),
    "matmul, transposed": lambda x: tf.matmul(x, x, transpose_b=True),
    "einsum": lambda x: tf.einsum("abcd,de->abe", x, W),
    "norm": lambda x: tf.nn.l2_normalize(x, axis=-1),
    "attention": lambda x: tf.reduce_sum(tf.nn.softmax(x, axis=1) * x, axis=1),
    "patches": lambda x: tf.image.extract_patches(
        images=x, sizes=[1, 2, 2, 1], strides=[1, 2, 2, 1], rates=[1, 1, 1, 1], padding="VALID"
    ),
    "identity": lambda x: tf.identity(tf.stop_gradient(tf.convert_to_tensor(x))),
}


def model_of(function, rng):
    image = keras.Input((6, 5, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    return nets.randomise(keras.Model(image, layers.Lambda(function, name="raw")(x)), rng)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_common_functions_are_traced(name, rng):
    model = model_of(FUNCTIONS[name], rng)
    images = nets.images(rng, 2, model)
    assert_recorded(model, images)
    assert_exact(model, images, rng)
    for method in METHODS:
        trace(model, images, method=method)
    names = [type(call.operation).__name__ for call in Tracer(model).graph.calls]
    assert "RawFunction" not in names
    assert "Lambda" not in names


@pytest.mark.parametrize("method", ["evidence", "fixations"])
def test_another_function_is_named(method, rng):
    model = model_of(lambda x: tf.sort(tf.nn.relu(x), axis=1), rng)
    message = (
        r"'raw/tf\.sort\w*' is a TensorFlow function, through which nothing is traced; use keras\.ops in "
        r"the call of its layer, or choose a method that needs none: occlusion, saliency"
    )
    with pytest.raises(MissingRule, match=message):
        trace(model, nets.images(rng, 1, model), method=method)


class Bahdanau(layers.Layer):
    """Additive attention as TensorFlow's tutorials write it."""

    def __init__(self, units, **keywords):
        super().__init__(**keywords)
        self.features, self.hidden, self.score = layers.Dense(units), layers.Dense(units), layers.Dense(1)

    def build(self, features_shape, hidden_shape):
        self.features.build(features_shape)
        self.hidden.build((None, 1, hidden_shape[-1]))
        self.score.build((None, None, self.features.units))

    def call(self, features, hidden):
        with_time = tf.expand_dims(hidden, 1)
        seen = tf.nn.tanh(self.features(features) + self.hidden(with_time))
        weights = tf.nn.softmax(self.score(seen), axis=1)
        return tf.reduce_sum(weights * features, axis=1), weights


class Positions(layers.Layer):
    """Token and position embeddings, and a causal mask from the shape, as in Keras' captioning example."""

    def __init__(self, length, words, size, **keywords):
        super().__init__(**keywords)
        self.tokens, self.positions = layers.Embedding(words, size), layers.Embedding(length, size)
        self.scale = tf.math.sqrt(tf.cast(size, tf.float32))

    def build(self, shape):
        self.tokens.build(shape)
        self.positions.build((None,))

    def call(self, ids):
        positions = tf.range(start=0, limit=tf.shape(ids)[-1], delta=1)
        return self.tokens(ids) * self.scale + self.positions(positions)


class Decoder(layers.Layer):
    def __init__(self, size, **keywords):
        super().__init__(**keywords)
        self.supports_masking = True
        self.own, self.cross = (layers.MultiHeadAttention(2, size) for _ in range(2))
        self.norms = [layers.LayerNormalization() for _ in range(3)]
        self.dense, self.back = layers.Dense(8, activation="relu"), layers.Dense(size)

    def build(self, words_shape, image_shape):
        words = words_shape
        self.own.build(words, words)
        self.cross.build(words, image_shape)
        for norm in self.norms:
            norm.build(words)
        self.dense.build(words)
        self.back.build((*words[:-1], 8))

    def call(self, words, image, mask=None):
        causal = self.causal_mask(words)
        together = causal
        if mask is not None:
            together = tf.minimum(tf.cast(mask[:, tf.newaxis, :], dtype=tf.int32), causal)
        x = self.norms[0](words + self.own(words, words, attention_mask=together))
        x = self.norms[1](x + self.cross(x, image))
        return self.norms[2](x + self.back(self.dense(x)))

    @staticmethod
    def causal_mask(words):
        shape = tf.shape(words)
        batch, length = shape[0], shape[1]
        i, j = tf.range(length)[:, tf.newaxis], tf.range(length)
        mask = tf.reshape(tf.cast(i >= j, dtype="int32"), (1, shape[1], shape[1]))
        times = tf.concat([tf.expand_dims(batch, -1), tf.constant([1, 1], dtype=tf.int32)], axis=0)
        return tf.tile(mask, times)


def test_additive_attention_as_in_the_tutorials(rng):
    image = keras.Input((6, 6, 3))
    features = layers.Reshape((9, 4))(layers.Conv2D(4, 2, strides=2)(image))
    context, _ = Bahdanau(5)(features, layers.Dense(4)(layers.Flatten()(image)))
    model = nets.randomise(keras.Model(image, layers.Dense(3)(context)), rng)
    images = nets.images(rng, 2, model)
    assert_recorded(model, images)
    assert_exact(model, images, rng)
    for method in METHODS:
        assert len(trace(model, images, 1, method=method)[0]) or method == "top"


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("with_mask", [False, True])
def test_a_transformer_as_in_keras_captioning_example(rng, with_mask):
    image, ids = keras.Input((6, 6, 3)), keras.Input((5,), dtype="int32")
    features = layers.Reshape((9, 4))(layers.Conv2D(4, 2, strides=2)(image))
    words = Positions(5, 7, 4)(ids)
    mask = layers.Lambda(lambda ids: tf.math.not_equal(ids, 0))(ids) if with_mask else None
    x = Decoder(4, name="decoder")(words, features, mask=mask)
    model = nets.randomise(keras.Model([image, ids], layers.Dense(7)(x)), rng)
    given = [rng.normal(size=(2, 6, 6, 3)).astype("float32"), np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]])]
    assert_recorded(model, given)
    assert_exact(model, given, rng)
    for method in METHODS:
        trace(model, given, (3, 2), method=method)
