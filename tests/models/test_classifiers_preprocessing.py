"""Photos into classifiers and back: every placement maps a mark's place to where it was in the photo."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.classifiers.strokes import Strokes, drawing_area, fit, ink
from gazeback.models.errors import ModelError
from gazeback.models.photos import load_photo


def photo_with_mark(width, height, row, column):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[row - 3 : row + 4, column - 3 : column + 4] = 255
    return load_photo(pixels)


@pytest.mark.parametrize("placement", ["squeeze", "crop"])
@pytest.mark.parametrize(("width", "height"), [(200, 120), (90, 140), (64, 64)])
def test_a_mark_is_found_where_it_was(placement, width, height):
    row, column = height // 2 + 9, width // 2 - 7
    prepared = Preprocessing(80, 60, placement=placement)(photo_with_mark(width, height, row, column))
    bright = prepared.pixels[..., 0]
    places = np.argwhere(bright > 0)
    centre = (places * bright[tuple(places.T)][:, None]).sum(axis=0) / bright.sum()
    np.testing.assert_allclose(prepared.to_photo(centre), [[row, column]], atol=0.3)


def test_equal_sizes_are_the_identity():
    prepared = Preprocessing(20, 30)(load_photo(np.zeros((20, 30, 3), np.uint8)))
    points = np.array([[0, 0], [7, 11], [19, 29]])
    np.testing.assert_allclose(prepared.to_photo(points), points)


def test_crop_keeps_the_aspect_and_seven_eighths():
    prepared = Preprocessing(70, 70, placement="crop")(load_photo(np.zeros((80, 160, 3), np.uint8)))
    assert prepared.area == (5, 45, 70, 70)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("none", [255, 0, 51]),
        ("unit", [1, 0, 0.2]),
        ("tf", [1, -1, -0.6]),
        ("caffe", [51 - 103.939, -116.779, 255 - 123.68]),
        ("bvlc", [51 - 104.007, -116.669, 255 - 122.677]),
        ("torch", [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]),
    ],
)
def test_values(values, expected):
    photo = load_photo(np.full((8, 8, 3), (255, 0, 51), np.uint8))
    pixels = Preprocessing(4, 4, values=values)(photo).pixels
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[2, 1], expected, rtol=1e-5)


def test_one_channel_is_grey():
    photo = load_photo(np.full((8, 8, 3), (255, 0, 0), np.uint8))
    pixels = Preprocessing(4, 4, 1)(photo).pixels
    assert pixels.shape == (4, 4, 1)
    np.testing.assert_allclose(pixels, 76)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"placement": "stretch"}, "unknown placement 'stretch'; choose one of squeeze, crop, sketch"),
        ({"values": "bgr"}, "unknown preprocessing 'bgr'; choose one of none"),
        ({"channels": 4}, "reads 1 or 3 channels, got 4"),
        ({"channels": 1, "values": "caffe"}, "preprocessing 'caffe' is for colours"),
    ],
)
def test_unknown_options_are_named(options, message):
    with pytest.raises(ModelError, match=message):
        Preprocessing(8, 8, **options)


def drawing(width, height, background=255, stroke=0, thickness=2):
    """A cross whose box is rows 40..99, columns 20..139 (scaled to the size)."""
    image = Image.new("L", (160, 140), background)
    pen = ImageDraw.Draw(image)
    pen.line((20, 70, 139, 70), fill=stroke, width=thickness)
    pen.line((80, 40, 80, 99), fill=stroke, width=thickness)
    return load_photo(np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("inverted", [False, True])
def test_the_drawing_is_found(inverted):
    photo = drawing(160, 140, 0, 255) if inverted else drawing(160, 140)
    assert drawing_area(ink(photo)) == (40, 20, 60, 120)


def test_a_sketch_fills_its_frame_and_maps_back():
    pixels, area, frame = fit(drawing(160, 140), Strokes(28, 28, dilations=1, margin=1))
    assert (area, frame) == ((40, 20, 60, 120), (7, 1, 13, 26))
    assert pixels.max() == 1
    assert not pixels[[0, -1]].any()
    prepared = Preprocessing(28, 28, 1, placement="sketch", dilations=1, margin=1)(drawing(160, 140))
    assert prepared.pixels.shape == (28, 28, 1)
    crossing = [(7 + 30.5 * 13 / 60) - 0.5, 1 + 60.5 * 26 / 120 - 0.5]
    np.testing.assert_allclose(prepared.to_photo([crossing]), [[70, 80]], atol=0.6)
    np.testing.assert_allclose(prepared.to_photo([[0, 0]])[0, 1], 20 - 0.5 - 0.5 * 120 / 26, atol=1)


@pytest.mark.parametrize("scale", [1, 4])
def test_a_scanned_sketch_looks_like_a_small_one(scale):
    style = Strokes(28, 28, dilations=1, margin=1)
    small = fit(drawing(160, 140), style)[0]
    large = fit(drawing(160 * scale, 140 * scale), style)[0]
    assert np.abs(small - large).mean() < 0.05


def test_an_empty_page_stays_empty():
    pixels, area, _ = fit(load_photo(np.full((50, 60, 3), 255, np.uint8)), Strokes(28, 28, 1, 1))
    assert not pixels.any()
    assert area == (0, 0, 50, 60)


def test_doodlenet_knows_many_sketches(data_pack):
    """On every seventh of the 2590 sketches with a counterpart (all of them: 56.5 %)."""
    from gazeback.models import load_classifier

    classifier = load_classifier("doodlenet", data_pack / "sketches")
    hits = []
    for path in sorted((data_pack / "sketches" / "train").glob("*/*.png"))[::7]:
        name = path.parent.name.replace("-", "_").replace("lightbulb", "light_bulb")
        if name in classifier.class_names:
            answer = classifier.probabilities(classifier.preprocess(load_photo(path)).pixels[None])
            hits.append(classifier.class_names[int(answer.argmax())] == name)
    assert len(hits) == 370
    assert np.mean(hits) > 0.5
