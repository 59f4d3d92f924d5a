"""Signals, volumes and frames: toys whose right place is known."""

import keras
import numpy as np
import pytest
from keras import layers

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.plots import layer_fixations
from gazeback.cnn_trace.receptive_field import receptive_field
from gazeback.eval.baselines import explain
from gazeback.models.errors import UserError


def sums(model):
    """Positive weights, a window's middle the largest: an answer comes from where the input is not zero."""
    for weight in model.weights:
        values = np.full(weight.shape, 0.0 if "bias" in weight.path else 0.3, np.float32)
        if values.ndim > 2:
            values[tuple(size // 2 for size in values.shape[:-2])] = 0.9
        weight.assign(values)
    return model


def signal_net(length=40):
    x = signal = keras.Input((length, 2))
    x = layers.Conv1D(4, 5, padding="same", activation="relu", name="conv")(x)
    x = layers.MaxPooling1D(2, name="pooled")(x)
    x = layers.Conv1D(4, 3, padding="same", activation="relu")(x)
    return sums(keras.Model(signal, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))


@pytest.mark.parametrize("method", ["evidence", "walk", "fixations"])
def test_a_signal(method):
    model, signal = signal_net(), np.zeros((2, 40, 2), np.float32)
    signal[0, 12, 1] = signal[1, 31, 0] = 5
    first, second = trace(model, signal, 0, method=method)
    assert (first.shape, first.points.shape[1]) == ((40,), 1)
    assert first.points[first.weights.argmax()].tolist() == [12]
    assert second.points[second.weights.argmax()].tolist() == [31]
    assert first.heatmap().shape == (40,)
    assert abs(int(first.heatmap().argmax()) - 12) <= 1
    assert first.mask(0.5)[12]
    assert first.at("conv").coordinates.shape[1] == 2


def test_boxes_of_a_signal():
    signal = np.zeros((40, 2), np.float32)  # no batch axis
    signal[12, 1] = signal[14, 0] = 5
    found = trace(signal_net(), signal, 0)[0]
    assert found.box() == [12.0, 3.0]
    start, length = found.box(0.3)
    assert 8 < start <= 12
    assert start + length >= 15
    assert found.without_outliers().points.tolist() == [[12], [14]]


def test_what_only_the_right_place_feeds():
    """A signal of many samples, of which one stretch has the pattern."""
    x = signal = keras.Input((64, 1))
    x = layers.Conv1D(1, 3, padding="same", activation="relu", name="pattern")(x)
    x = layers.Conv1D(3, 3, strides=2, padding="same", activation="relu")(x)
    model = sums(keras.Model(signal, layers.Dense(1)(layers.Flatten()(x))))
    model.get_layer("pattern").set_weights([np.array([-1, 1, -1], "float32").reshape(3, 1, 1), np.zeros(1)])
    values = np.ones((1, 64, 1), np.float32)
    values[0, 40] = 4
    found = trace(model, values, 0)[0]
    assert found.points[found.weights.argmax()].tolist() == [40]
    assert found.weights.sum() == pytest.approx(1)


def test_a_signal_through_a_recurrent_layer():
    x = signal = keras.Input((20, 2))
    x = layers.Conv1D(3, 3, padding="same", activation="relu")(x)
    model = sums(keras.Model(signal, layers.Dense(2)(layers.LSTM(4)(x))))
    values = np.zeros((1, 20, 2), np.float32)
    values[0, 15, 0] = 3
    found = trace(model, values, 1)[0]
    assert found.points[found.weights.argmax()].tolist() == [15]


def volume_net():
    x = volume = keras.Input((8, 10, 6, 1))
    x = layers.Conv3D(3, 3, padding="same", activation="relu")(x)
    x = layers.AveragePooling3D(2)(x)
    return sums(keras.Model(volume, layers.Dense(2)(layers.GlobalMaxPooling3D()(x))))


@pytest.mark.parametrize("method", ["evidence", "fixations"])
def test_a_volume(method):
    values = np.zeros((1, 8, 10, 6, 1), np.float32)
    values[0, 5, 7, 2] = 4
    found = trace(volume_net(), values, 0, method=method)[0]
    assert found.points[found.weights.argmax()].tolist() == [5, 7, 2]
    assert found.heatmap().shape == (8, 10, 6)
    if method == "evidence":
        assert found.box() == [2.0, 7.0, 5.0, 1.0, 1.0, 1.0]
        assert len(found.box(0.3)) == 6


def frames_net(recurrent):
    x = frames = keras.Input((4, 9, 8, 2))
    x = layers.TimeDistributed(layers.Conv2D(3, 3, padding="same", activation="relu"))(x)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(x)
    x = layers.LSTM(3)(x) if recurrent else layers.GlobalAveragePooling1D()(x)
    return sums(keras.Model(frames, layers.Dense(2)(x)))


@pytest.mark.parametrize("recurrent", [False, True])
def test_frames_through_time_distributed(recurrent):
    values = np.zeros((1, 4, 9, 8, 2), np.float32)
    values[0, 2, 6, 3, 1] = 4
    found = trace(frames_net(recurrent), values, 0)[0]
    assert found.shape == (4, 9, 8)
    assert found.points[found.weights.argmax()].tolist() == [2, 6, 3]


@pytest.mark.parametrize("rows", [True, False])
def test_kernels_as_long_as_the_axis(rows):
    """As in networks for EEG: a filter in time, then one over all electrodes."""
    shape, short, whole = ((6, 32, 1), (1, 5), (6, 1)) if rows else ((32, 6, 1), (5, 1), (1, 6))
    x = signal = keras.Input(shape)
    x = layers.Conv2D(3, short, padding="same", activation="relu")(x)
    x = layers.Conv2D(4, whole, activation="relu")(x)
    x = layers.AveragePooling2D((1, 4) if rows else (4, 1))(x)
    model = sums(keras.Model(signal, layers.Dense(2)(layers.Flatten()(x))))
    values = np.zeros((1, 6, 32, 1), np.float32)
    values[0, 4, 20] = 3
    found = trace(model, values if rows else values.swapaxes(1, 2), 0)[0]
    place = [4, 20] if rows else [20, 4]
    assert found.points[found.weights.argmax()].tolist() == place


def test_plots_of_a_signal_and_a_slice():
    signal = np.zeros((1, 40, 2), np.float32)
    signal[0, 12] = 5
    (panel,) = trace(signal_net(), signal, 0)[0].plot(signal[0]).axes
    assert len(panel.lines) == 2
    assert panel.collections[0].get_offsets()[0][0] == 12
    volume = np.zeros((1, 8, 10, 6, 1), np.float32)
    volume[0, 5, 7, 2] = 4
    figure = trace(volume_net(), volume, 0)[0].plot(volume[0, ..., 0])
    assert len(figure.axes) == 3
    assert figure.axes[0].images[0].get_array().max() == 4  # the slice with the point
    assert figure.axes[1].collections[0].get_offsets()[0].tolist() == [2.5, 7.5]  # the middle of the pixel
    assert {tuple(image.get_extent()) for image in figure.axes[2].images} == {(0, 6, 10, 0)}


def test_points_at_a_layer():
    signal = np.zeros((1, 40, 2), np.float32)
    signal[0, 12] = 5
    found = layer_fixations(signal_net(), trace(signal_net(), signal, 0)[0], "pooled")
    assert found.shape == (40,)
    assert set(found.points[:, 0]) <= {9, 11, 13, 15}
    assert 13 in found.points


@pytest.mark.parametrize("method", ["saliency", "gradient-input", "lrp", "lrp-epsilon-plus-flat"])
def test_compared_methods_that_take_any_rank(method):
    signal, volume = np.zeros((1, 40, 2), np.float32), np.zeros((1, 8, 10, 6, 1), np.float32)
    signal[0, 12] = volume[0, 5, 7, 2] = 4
    for model, values in ((signal_net(), signal), (volume_net(), volume)):
        found = explain(method, model, values, 0)
        assert found.shape == values.shape[:-1]
        answer = float(np.asarray(model(values))[0, 0])
        if method != "saliency":
            assert found.sum() == pytest.approx(answer, rel=0.05)
        if method in ("gradient-input", "lrp"):
            assert np.unravel_index(found[0].argmax(), found.shape[1:]) == tuple(
                np.argwhere(values[0].any(axis=-1))[0]
            )


def test_what_needs_images_says_so():
    model, signal = signal_net(), np.ones((1, 40, 2), np.float32)
    with pytest.raises(
        UserError, match=r"explains images \[n, height, width, channels\]; input .* \[None, 40, 2\]"
    ):
        explain("grad-cam", model, signal, 0)
    with pytest.raises(TraceError, match="oversample=True needs a model with one image input"):
        trace(model, signal, 0, oversample=True)
    with pytest.raises(TraceError, match=r"looks=2 needs images \[n, height, width, channels\]"):
        trace(model, signal, 0, looks=2)
    with pytest.raises(TraceError, match=r"has no image input \[n, height, width, channels\]"):
        receptive_field(model, "conv")
    with pytest.raises(TraceError, match=r"has the shape \[n, 40, 2\], got \[1, 40, 3\]"):
        trace(model, np.ones((1, 40, 3), np.float32), 0)


def electrodes():
    """A filter in time, then one over all electrodes, as in networks for EEG."""
    x = signal = keras.Input((6, 40, 1))
    x = layers.Conv2D(6, (1, 7), padding="same", activation="relu")(x)
    x = layers.Conv2D(12, (6, 1), activation="relu")(x)
    x = layers.MaxPooling2D((1, 4))(x)
    return keras.Model(signal, layers.Dense(2, activation="softmax")(layers.GlobalMaxPooling2D()(x)))


def stretch():
    """Filters over a signal, each after the first with stride 2."""
    x = signal = keras.Input((60, 1))
    x = layers.Conv1D(8, 7, padding="same", activation="relu")(x)
    x = layers.Conv1D(8, 5, strides=2, padding="same", activation="relu")(x)
    return keras.Model(signal, layers.Dense(2, activation="softmax")(layers.GlobalMaxPooling1D()(x)))


def waves(rng, n, shape):
    """Noise with one short wave at a random place: of class 0 low, of class 1 high frequency."""
    values, label = rng.normal(size=(n, *shape, 1)) * 0.3, rng.integers(2, size=n)
    places = np.stack(
        [rng.integers(0, size, n) for size in shape[:-1]] + [rng.integers(5, shape[-1] - 5, n)], 1
    )
    time = np.arange(-4, 5)
    for one, kind, (*electrode, middle) in zip(values, label, places, strict=True):
        shown = 3 * np.cos(time * (0.7, 2.1)[kind]) * np.hanning(9)
        one[(*electrode, slice(middle - 4, middle + 5), 0)] += shown
    return values.astype("float32"), label, places


@pytest.mark.slow
@pytest.mark.parametrize(("build", "shape"), [(electrodes, (6, 40)), (stretch, (60,))])
def test_a_trained_network_points_to_the_wave(build, shape, rng):
    keras.utils.set_random_seed(0)
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    values, label, _ = waves(rng, 2000, shape)
    model.fit(values, label, epochs=15, verbose=0)
    values, label, places = waves(rng, 60, shape)
    assert model.evaluate(values, label, verbose=0)[1] > 0.95
    found = trace(model, values, label)
    points = np.stack([one.points[one.weights.argmax()] for one in found])
    away = np.abs(points - places)
    right = (away[:, :-1] == 0).all(axis=1) & (away[:, -1] <= 4)
    assert right.mean() > 0.9
