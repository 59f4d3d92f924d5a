import keras
import numpy as np
import pytest
from keras import layers, ops

from gazeback.models.wrapping.graphs import Subgraph


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    image, words = keras.Input((6, 6, 3), name="image"), keras.Input((4,), name="words", dtype="int32")
    maps = layers.Conv2D(5, 3, activation="relu", name="maps")(image)
    shared = layers.Dense(7, activation="tanh", name="shared")
    seen = shared(layers.GlobalAveragePooling2D()(maps))
    said = layers.LSTM(7)(layers.Embedding(9, 5)(words), initial_state=[seen, shared(ops.max(maps, (1, 2)))])
    return keras.Model([image, words], [layers.Dense(2, name="scores")(said), seen])


def test_the_parts_in_sequence_are_the_model(model):
    rng = np.random.default_rng(0)
    image, words = rng.random((2, 6, 6, 3), np.float32), rng.integers(1, 9, (2, 4), np.int32)
    inner = model.get_layer("maps").output
    before = Subgraph(model.inputs[:1], [inner])
    behind = Subgraph([inner, model.inputs[1]], model.outputs)
    expected = model([image, words])
    found = behind([*before([image]), words])
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=1e-6)
    assert [x.name for x in before.operations] == ["maps"]
    assert model.get_layer("maps") not in behind.operations
    assert [x.name for x in behind.operations].count("shared") == 1  # called twice


def test_inputs_may_be_outputs(model):
    inner = model.get_layer("maps").output
    assert Subgraph([inner], [inner])(["value"]) == ["value"]


def test_an_input_that_is_not_given_is_named(model):
    with pytest.raises(ValueError, match="the outputs also depend on words"):
        Subgraph([model.get_layer("maps").output], model.outputs)
