"""Reshapes by a batch size that is not known yet."""

from pathlib import Path

import numpy as np
import pytest
from keras import KerasTensor, Layer, Model, layers, ops
from keras.utils import set_random_seed

from gazeback.cnn_trace import trace
from gazeback.models.open_sizes import open_sizes


@pytest.mark.parametrize(
    ("new", "shape"),
    [((None, -1, 4), (None, 9, 4)), ((None, 36), (None, 36)), ((-1, 12), (None, 12)), ((4, None), (4, None))],
)
def test_the_batch_axis_stays_open(new, shape):
    with open_sizes():
        assert ops.reshape(KerasTensor((None, 3, 3, 4)), new).shape == shape


def test_outside_keras_is_as_it_was():
    with open_sizes():
        pass
    assert ops.reshape(KerasTensor((None, 3, 3, 4)), (None, -1, 4)).shape == (None, None, 4)


class OwnSizes(Layer):
    """Places in a row, as many images as there are."""

    def call(self, x):
        return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))


def test_a_layer_that_reads_the_batch_size_is_traced():
    set_random_seed(0)  # with some random weights there is no evidence for the class
    model = Model(image := layers.Input((8, 8, 3)), _scores(image))
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    assert [len(one) > 0 for one in trace(model, images, 1)] == [True, True]


def _scores(image):
    places = OwnSizes()(layers.Conv2D(4, 3)(image))
    return layers.Dense(3)(layers.GlobalAveragePooling1D()(places))


def test_the_core_has_the_same_module_because_neither_folder_may_import_the_other():
    root = Path(__file__).parents[2]
    core, models = ((root / folder / "open_sizes.py").read_text() for folder in ("cnn_trace", "models"))
    assert core == models
