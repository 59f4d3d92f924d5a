"""Occlusion against a loop over windows."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from twins import nets

from gazeback.eval.baselines.occlusion import occlusion, windows
from gazeback.models.errors import UserError


@pytest.fixture
def asked(rng):
    model = nets.randomise(nets.depthwise(rng), rng)  # 12 x 12 pixels, a fused softmax
    return model, nets.images(rng, 2, model)


def by_loops(model, image, target, size, stride, fill):
    """One window at a time: the mean drop of the probability over the windows that cover a pixel."""
    height, width, channels = image.shape
    cover = np.empty_like(image)
    for c in range(channels):
        if fill == "blur":
            cover[..., c] = gaussian_filter(image[..., c], size / 2)
        else:
            cover[..., c] = image[..., c].mean() if fill == "mean" else fill
    before = np.asarray(model(image[None]))[0, target]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    rows = [*range(0, height - size, stride), height - size]
    for row in rows:
        for column in rows:
            covered = image.copy()
            window = slice(row, row + size), slice(column, column + size)
            covered[window] = cover[window]
            total[window] += before - np.asarray(model(covered[None]))[0, target]
            count[window] += 1
    return total / np.maximum(count, 1)


@pytest.mark.parametrize(("size", "stride", "fill"), [(4, 4, 0), (5, 3, "mean"), (6, 2, "blur"), (3, 4, 0.5)])
def test_equals_its_literal_twin(asked, size, stride, fill):
    model, images = asked
    expected = [by_loops(model, image, 1, size, stride, fill) for image in images]
    found = occlusion(model, images, 1, size=size, stride=stride, fill=fill)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_the_class_is_that_of_the_whole_image(asked):
    model, images = asked
    strongest = np.asarray(model(images)).argmax(axis=1)
    whole = occlusion(model, images, size=4, stride=4)
    np.testing.assert_allclose(whole, occlusion(model, images, strongest, size=4, stride=4), rtol=1e-5)


def test_the_drop_of_the_log_probability_and_of_a_layers_neuron(asked):
    model, images = asked
    covered = np.zeros_like(images)
    drop = np.log(np.asarray(model(images))[:, 2]) - np.log(np.asarray(model(covered))[:, 2])
    found = occlusion(model, images, 2, size=12, stride=1, fill=0, score="log-probability")
    np.testing.assert_allclose(found[:, 0, 0], drop, rtol=1e-3, atol=1e-5)
    layer = model.layers[1].name
    neuron = occlusion(model, images, (2, 3, 1), layer=layer, size=3, stride=3)
    assert np.abs(neuron[:, :3, :3]).max() == 0  # a 3 x 3 window with stride 2 does not see that corner


def test_progress_counts_occluded_images(asked):
    model, images = asked
    seen = []
    occlusion(model, images, 0, size=2, stride=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(32, 72), (36, 72), (68, 72), (72, 72)]


@pytest.mark.parametrize(("stride", "rows"), [(10, 23), (5, 44)])
def test_the_last_window_ends_at_the_edge(stride, rows):
    corners = windows((224, 224), 10, stride)
    assert len(corners) == rows**2
    assert corners.max() == 214


def test_options_that_do_not_fit(asked):
    with pytest.raises(UserError, match="expected a window of 1 to 12 pixels"):
        occlusion(*asked, size=13)
    with pytest.raises(UserError, match="stride=0"):
        occlusion(*asked, size=4, stride=0)
    with pytest.raises(UserError, match="fill must be a number, 'mean' or 'blur', got 'grey'"):
        occlusion(*asked, size=4, stride=4, fill="grey")
