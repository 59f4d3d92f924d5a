"""The fixations at layers on the way: VGG16's five pools, as in Figure 5 of the paper."""

import keras
import numpy as np
import pytest

from gazeback.cnn_trace import Fixations, TraceError, trace
from gazeback.cnn_trace.plots import layer_fixations, plot_layers

POOLS = [f"block{number}_pool" for number in range(1, 6)]


@pytest.fixture(scope="module")
def vgg16() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.applications.VGG16(weights=None, include_top=False, pooling="avg", input_shape=(64, 64, 3))


def test_a_place_of_a_map_lies_in_the_middle_of_its_cell(vgg16: keras.Model) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    (fixations,) = trace(vgg16, image, target=3, method="fixations")
    for pool in POOLS:
        found = layer_fixations(vgg16, fixations, pool)
        step = 2 ** int(pool[5])
        places = {(r, c) for r, c, _ in fixations.at(pool).coordinates.tolist()}
        assert {(r * step + step // 2, c * step + step // 2) for r, c in places} == set(
            map(tuple, found.points)
        )
        assert found.weights.sum() == pytest.approx(fixations.at(pool).weights.sum())
        assert found.shape == (64, 64)


def test_one_panel_per_layer_with_its_points(vgg16: keras.Model) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    (fixations,) = trace(vgg16, photo.astype(np.float32))
    found = {pool: layer_fixations(vgg16, fixations, pool) for pool in POOLS}
    figure = plot_layers(photo, found)
    assert [axis.get_title() for axis in figure.axes] == [f"{p}: {len(f)}" for p, f in found.items()]
    for axis, fixations in zip(figure.axes, found.values(), strict=True):
        offsets = np.asarray(axis.collections[0].get_offsets())
        np.testing.assert_allclose(offsets[:, ::-1], fixations.points + 0.5)


def test_models_that_leave_the_size_open() -> None:
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 3, strides=3, padding="same", activation="relu", name="conv")(image)
    model = keras.Model(image, keras.layers.GlobalMaxPooling2D()(x))
    model.set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    pixels = np.zeros((12, 18, 1), np.float32)
    pixels[10, 16] = 1
    (fixations,) = trace(model, pixels)
    found = layer_fixations(model, fixations, "conv")
    assert found.points.tolist() == [[10, 16]]


def test_layers_that_cannot_be_shown_are_told(vgg16: keras.Model) -> None:
    (fixations,) = trace(vgg16, np.ones((64, 64, 3), np.float32))
    with pytest.raises(TraceError, match="no layer 'block9_pool'; close names: "):
        layer_fixations(vgg16, fixations, "block9_pool")
    with pytest.raises(TraceError, match=r"layer 'global_average_pooling2d.*' has no places"):
        layer_fixations(vgg16, fixations, vgg16.layers[-1].name)
    with pytest.raises(TraceError, match="name at least one layer"):
        plot_layers(np.zeros((4, 4)), {})


def test_many_layers_fill_several_rows() -> None:
    point = Fixations(np.array([[1, 2]]), np.ones(1), (4, 6))
    figure = plot_layers(np.zeros((4, 6)), {f"layer {i}": point for i in range(7)})
    assert sum(bool(axis.collections) for axis in figure.axes) == 7


def test_fixations_print_as_one_line():
    fixations = Fixations(np.zeros((3, 2), np.int64), np.ones(3), (20, 30))
    assert repr(fixations) == "<Fixations: 3 points on 20 x 30>"
