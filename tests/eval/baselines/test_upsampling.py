import numpy as np
import pytest

from gazeback.eval.baselines.upsampling import upsampled


def upsampled_by_loops(small, height, width):
    """Each new pixel's centre, in old pixels, between its four neighbours; beyond the outermost centres the
    edge."""
    h, w = small.shape
    large = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * h / height - 0.5, 0), h - 1)
            x = min(max((column + 0.5) * w / width - 0.5, 0), w - 1)
            y0, x0 = min(int(y), h - 1), min(int(x), w - 1)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            top = small[y0, x0] * (1 - x + x0) + small[y0, x1] * (x - x0)
            bottom = small[y1, x0] * (1 - x + x0) + small[y1, x1] * (x - x0)
            large[row, column] = top * (1 - y + y0) + bottom * (y - y0)
    return large


@pytest.mark.parametrize(("height", "width"), [(12, 20), (7, 7), (3, 4)])
def test_upsampling_equals_its_literal_twin(height, width, rng):
    maps = rng.random((2, 3, 4))
    expected = [upsampled_by_loops(small, height, width) for small in maps]
    np.testing.assert_allclose(upsampled(maps, height, width), expected, rtol=1e-5)


def test_upsampling_a_uniform_map_keeps_it():
    np.testing.assert_allclose(upsampled(np.full((1, 7, 7), 2.5), 224, 224), 2.5, rtol=1e-6)
