"""The head: contributions of the hand-off map plus bias equal the logit, for many kinds of classifier."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import nets
from twins.exact import magnitude, total

from gazeback.cnn_trace import TraceError, trace
from gazeback.cnn_trace.recording import check_inputs
from gazeback.cnn_trace.tracer import Options, Tracer

pytestmark = pytest.mark.usefixtures("eager")


def trunk():
    image = keras.Input((14, 13, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="early")(image)
    y = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(x))
    y = layers.Concatenate()([layers.MaxPooling2D(2)(ops.relu(y)), layers.AveragePooling2D(2)(x)])
    return image, layers.Conv2D(6, 2, activation="relu", name="last")(y)


def gap_dense(x):
    return layers.Dense(5)(layers.GlobalAveragePooling2D()(x))


def gmp_softmax(x):
    return layers.Dense(5, activation="softmax")(layers.GlobalMaxPooling2D()(x))


def flatten_fc(x):
    x = layers.Dense(7, activation="relu")(layers.Flatten()(x))
    return layers.Dense(5, activation="sigmoid")(layers.BatchNormalization()(layers.Dropout(0.5)(x)))


def fused(activation):
    def head(x):
        return layers.Dense(5)(layers.Dense(7, activation=activation)(layers.GlobalAveragePooling2D()(x)))

    head.__name__ = f"fused_{activation}"
    return head


def one_by_one(x):
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(7, 1, activation="relu")(x)
    return layers.Reshape((5,))(layers.Conv2D(5, 1)(x))


def operators(x):
    mean, top = ops.mean(x, axis=(1, 2)), ops.max(x, axis=(1, 2))
    return layers.Dense(5)(ops.tanh(mean * 2.0 - top) + ops.concatenate([top[:, 3:], mean[:, :3]], axis=-1))


HEADS = [gap_dense, gmp_softmax, flatten_fc, one_by_one, operators]
HEADS += [fused(a) for a in ("tanh", "sigmoid", "relu6", "swish", "gelu")]


def logits(model, images):
    """What the answers are before a final softmax or sigmoid."""
    last = model.layers[-1]
    values = keras.Model(model.input, last.input)(images, training=False)
    if not isinstance(last, layers.Dense):
        return np.asarray(last(values))
    return np.asarray(values) @ np.asarray(last.kernel) + np.asarray(last.bias)


@pytest.mark.parametrize("handoff", [None, "early", "last"])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_contributions_sum_to_the_logit(head, handoff, rng):
    image, x = trunk()
    model = nets.randomise(keras.Model(image, head(x)), rng)
    images = nets.images(rng, 2, model)
    tracer = Tracer(model)
    classes = np.array([[[0], [4], [2]], [[1], [0], [3]]])
    asked = tracer.explain(
        check_inputs(tracer.graph, images), tracer.target(), lambda _: classes, Options(handoff=handoff)
    )
    owner = np.repeat([0, 1], 3)
    expected = logits(model, images)[owner, classes.reshape(-1)]
    found = total(asked.decomposition, asked.recording, owner)
    assert set(asked.decomposition.others) == set()
    assert len(asked.decomposition.maps) == 1
    size = magnitude(asked.decomposition, asked.recording, owner)
    np.testing.assert_array_less(np.abs(found - expected), 1e-4 * np.maximum(np.abs(expected), 1e-2 * size))


def test_non_image_inputs_have_contributions_of_their_own(rng):
    image, x = trunk()
    words = keras.Input((4,), name="words", dtype="int32")
    text = layers.Flatten()(layers.Embedding(9, 3, name="embedding")(words))
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), text])
    model = keras.Model([image, words], layers.Dense(5)(both))
    nets.randomise(model, rng)
    inputs = [rng.normal(size=(1, 14, 13, 3)), np.array([[1, 2, 3, 4]])]
    tracer = Tracer(model)
    arrays = check_inputs(tracer.graph, inputs)
    asked = tracer.explain(arrays, tracer.target(), lambda _: np.array([[[2]]]), Options())
    assert [coefficients.shape for coefficients in asked.decomposition.others.values()] == [(1, 12)]
    expected = np.asarray(model(inputs))[0, 2]
    found = total(asked.decomposition, asked.recording, np.array([0]))
    assert found[0] == pytest.approx(expected, rel=1e-4)


class Sorted(layers.Layer):
    def call(self, x):
        return keras.ops.sort(x, axis=1)


def test_a_head_without_a_rule_names_the_layer(rng):
    image, x = trunk()
    x = layers.GlobalAveragePooling2D()(Sorted(name="sorted")(x))
    model = keras.Model(image, layers.Dense(5)(x))
    with pytest.raises(TraceError, match=r"'sorted' of class Sorted .*register_rule\(Sorted"):
        trace(model, np.zeros((1, 14, 13, 3)), 0, handoff="early")


def test_handoff_to_a_layer_without_a_map(rng):
    image, x = trunk()
    model = keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D(name="gap")(x)))
    with pytest.raises(TraceError, match="handoff layer 'gap' has no map with height and width"):
        trace(model, np.zeros((1, 14, 13, 3)), 0, handoff="gap")
