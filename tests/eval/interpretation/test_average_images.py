"""Average images: on squares of one colour, and against crops made by hand."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image, ImageColor

from gazeback.cnn_trace import TraceError
from gazeback.cnn_trace.receptive_field import receptive_field
from gazeback.eval.interpretation import average_images
from gazeback.eval.interpretation.average_images import AverageImage, Patch, as_seen, average_patches
from gazeback.eval.interpretation.contact_sheet import (
    KIND_COLOURS,
    draw_contact_sheet,
    raised,
    write_contact_sheets,
)
from gazeback.eval.interpretation.relevant import Feature, RelevantFeatures
from gazeback.models.classifiers import Preprocessing
from gazeback.models.errors import PhotoError, UserError
from gazeback.models.photos import load_photo


def relevant(layers, features):
    """Relevant features of some classes: class -> [(layer, filter, weight), ...]."""
    found = {name: tuple(Feature(*one) for one in listed) for name, listed in features.items()}
    return RelevantFeatures(tuple(found), layers, found, 10.0, "all")


@pytest.fixture
def squares(squares_folder):
    return sorted((squares_folder / "images").iterdir())


def test_a_colours_filter_has_seen_that_colour(means, squares):
    features = {name: [("means", number, 1.0)] for number, name in enumerate(("red", "green", "blue"))}
    found = average_patches(means.model, means.preprocess, squares, relevant({"means": 3}, features), 100)
    for number, name in enumerate(found):
        (average,) = found[name]
        assert average.feature == Feature("means", number, 1.0)
        assert (average.number, average.kind) == (1, "convolution")
        # four of the twelve photos have the colour; to the others the filter does not answer
        assert len(average.patches) == 4
        assert average.pixels.shape == (4, 4, 3)
        np.testing.assert_array_equal(average.pixels, np.broadcast_to(200 * np.eye(3)[number], (4, 4, 3)))
        assert average.size == (4, 4)
        assert [example.tolist() for example in average.examples] == [average.pixels.tolist()] * 3


def random_network():
    keras.utils.set_random_seed(5)
    image = keras.Input((20, 16, 3))
    x = layers.Conv2D(4, 5, strides=2, padding="same", activation="relu", name="first")(image)
    y = layers.Conv2D(4, 3, padding="same", name="second")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(image, layers.Dense(2)(x))


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(1)
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), np.uint8)).save(path)
    return paths


LAYERS = {"first": 4, "second": 4, "sum": 4, "mean": 4}
ASKED = {
    "a": [("second", 2, 1.0), ("first", 0, 0.5)],
    "b": [("sum", 1, 2.0), ("second", 2, 0.1), ("mean", 3, 1.0)],
}
PLAIN = Preprocessing(20, 16)


def by_hand(model, photos, layer, number, count):
    """The mean crop float ``[h, w, 3]`` where half of the patches have pixels, its whole size, responses."""
    inner = keras.Model(model.input, model.get_layer(layer).output)
    field = receptive_field(model, layer)
    found = []
    for path in photos:
        pixels = np.asarray(Image.open(path), np.float32)
        answer = np.asarray(inner(pixels[None]))[0]
        answer = answer.reshape(-1, answer.shape[-1])[:, number]
        width = inner.output_shape[2] if len(inner.output_shape) == 4 else 1
        place = divmod(int(answer.argmax()), width)
        far = np.full((100, 100, 3), np.nan)
        far[40:60, 40:56] = pixels
        top, left, bottom, right = field.window(*place)
        found.append((float(answer.max()), far[40 + top : 40 + bottom, 40 + left : 40 + right]))
    best = [one for one in sorted(found, key=lambda one: -one[0]) if one[0] > 0][:count]
    crops = np.stack([crop for _, crop in best])
    present = np.isfinite(crops[..., 0])
    mean = np.where(present[..., None], crops, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)[..., None]
    mean = np.where(present.any(axis=0)[..., None], mean, 255)
    half = present.mean(axis=0) >= 0.5
    rows, columns = np.flatnonzero(half.any(axis=1)), np.flatnonzero(half.any(axis=0))
    shown = mean[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return shown, mean.shape[:2], [one for one, _ in best]


@pytest.mark.parametrize("memory", [1, 2**20])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_crops_made_by_hand(photos, monkeypatch, batch, memory):
    monkeypatch.setattr(average_images, "BATCH", batch)
    monkeypatch.setattr(average_images, "MEMORY", memory)
    model = random_network()
    found = average_patches(model, PLAIN, photos, relevant(LAYERS, ASKED), 4)
    assert list(found) == ["a", "b"]
    for name, listed in ASKED.items():
        for average, (layer, number, weight) in zip(found[name], listed, strict=True):
            assert average.feature == Feature(layer, number, weight)
            mean, size, responses = by_hand(model, photos, layer, number, 4)
            np.testing.assert_allclose(average.pixels, mean, atol=0.51)
            assert average.size == size
            assert len(average.examples) == min(len(responses), 3)
            np.testing.assert_allclose([one.response for one in average.patches], responses, rtol=1e-4)
    assert [one.number for one in found["b"]] == [3, 2, 4]
    assert [one.kind for one in found["b"]] == ["joining", "convolution", "pooling"]


def test_the_first_features_of_each_class(photos):
    found = average_patches(random_network(), PLAIN, photos, relevant(LAYERS, ASKED), 2, top=1)
    assert [(name, [one.feature.layer for one in images]) for name, images in found.items()] == [
        ("a", ["second"]),
        ("b", ["sum"]),
    ]


def test_by_default_a_twentieth_of_few_photos_and_no_fewer_than_five(photos):
    found = average_patches(random_network(), PLAIN, photos, relevant(LAYERS, {"a": [("first", 0, 1.0)]}))
    assert len(found["a"][0].patches) == 5
    found = average_patches(
        random_network(), PLAIN, photos * 20, relevant(LAYERS, {"a": [("first", 0, 1.0)]})
    )
    assert len(found["a"][0].patches) == 7


def test_a_filter_that_never_answers(photos):
    model = random_network()
    kernel, bias = model.get_layer("first").get_weights()
    model.get_layer("first").set_weights([kernel, bias - 1e6])
    (average,) = average_patches(model, PLAIN, photos, relevant(LAYERS, {"a": [("first", 0, 1.0)]}))["a"]
    assert average.patches == ()
    assert average.pixels.shape == (1, 1, 3)
    written = texts(draw_contact_sheet("a", [average]))
    assert "first\nno photo with a response" in written


def test_a_class_without_features_has_no_images(photos):
    found = average_patches(random_network(), PLAIN, photos, relevant(LAYERS, {"a": []}))
    assert found == {"a": []}


def test_the_encoder_of_a_captioner(captioner, squares):
    features = relevant({"last_map": 6}, {"dog": [("last_map", 4, 1.0)]})
    size = captioner.image_size
    options = {"last": captioner.features_layer}
    found = average_patches(captioner.model, Preprocessing(size, size), squares, features, 3, **options)
    assert found["dog"][0].pixels.shape == (8, 8, 3)
    assert len(found["dog"][0].patches) == 3
    with pytest.raises(
        UserError, match="expected an answer that sees one image, it sees the inputs image, words"
    ):
        average_patches(captioner.model, Preprocessing(size, size), squares, features)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patches": 0}, "average images need 1 or more of patches, got 0"),
        ({"top": 0}, "average images need 1 or more of top, got 0"),
        ({"photos": []}, "average images need 1 or more of photos, got 0"),
        ({"features": ("third", 0, 1.0)}, "has no layer 'third' with filters; close names: .*another model"),
        ({"features": ("first", 4, 1.0)}, "layer 'first' of model '.*' has the filters 0 to 3, not 4"),
    ],
)
def test_what_cannot_be_averaged(photos, options, message):
    features = relevant(LAYERS, {"a": [options.pop("features", ("first", 0, 1.0))]})
    photos = options.pop("photos", photos)
    with pytest.raises(UserError, match=message):
        average_patches(random_network(), PLAIN, photos, features, **options)


def test_a_photo_that_cannot_be_read_and_a_layer_without_receptive_field(photos, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    features = relevant(LAYERS, {"a": [("first", 0, 1.0)]})
    with pytest.raises(PhotoError, match=r"broken\.png"):
        average_patches(random_network(), PLAIN, [*photos, tmp_path / "broken.png"], features)
    image = keras.Input((20, 16, 3))
    x = layers.Conv2D(4, 3, name="first")(layers.Resizing(10, 8, name="small")(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))
    with pytest.raises(TraceError, match="layer 'small' of class Resizing mixes places"):
        average_patches(model, PLAIN, photos, features)


def test_what_a_model_reads_in_the_photos_own_colours(photos):
    photo = load_photo(photos[0])
    for values in ("none", "unit", "tf", "torch", "caffe"):
        np.testing.assert_array_equal(as_seen(replace(PLAIN, values=values), photo), photo.pixels)
    grey = as_seen(replace(PLAIN, channels=1), photo)
    assert grey.shape == (20, 16, 3)
    pixels = np.full((40, 40, 3), 255, np.uint8)
    pixels[10:30, 19:21] = 0
    drawn = as_seen(Preprocessing(28, 28, 1, placement="sketch"), load_photo(pixels))
    assert drawn.shape == (28, 28, 3)
    assert drawn[0, 0].tolist() == [255, 255, 255]
    assert drawn.min() == 0


def average(pixels, kind="convolution", layer="first"):
    patch = Patch("a.png", 1.0, (0, 0, *pixels.shape[:2]))
    return AverageImage(Feature(layer, 3, 0.25), 7, kind, (patch,), pixels, pixels.shape[:2], (pixels,))


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def texts(sheet):
    return [text.text for text in sheet.texts]


def test_a_sheet_names_layer_filter_weight_and_kind():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    kinds = ("convolution", "joining")
    figure = draw_contact_sheet("dog", [average(pixels, kind=kind) for kind in kinds])
    written = texts(figure)
    assert written[0] == "dog"
    assert written.count("layer 7 \u00b7 filter 3") == 2
    assert "+0.25" in written
    assert "first\n1 patch of 6 \u00d7 8" in written
    assert {"\u25a0 convolution", "\u25a0 joined paths"} <= set(written)
    assert len(figure.pictures) == 4
    drawn = {colour for _, colour in figure.image.getcolors(1 << 20)}
    assert {ImageColor.getrgb(KIND_COLOURS[kind]) for kind in kinds} <= drawn


def test_contrast_is_raised_round_the_mean():
    pixels = np.full((10, 10, 3), 100, np.uint8)
    pixels[:5] = 180
    found, factor = raised(pixels)
    assert factor == pytest.approx(2)
    assert found[0, 0].tolist() == [220] * 3
    assert found[9, 0].tolist() == [60] * 3
    assert raised(np.full((4, 4, 3), 9, np.uint8))[0].tolist() == np.full((4, 4, 3), 9).tolist()


def test_a_sheet_for_each_class_whatever_its_name(tmp_path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    names = ["cat, tabby", "../cat", "a/b", "x" * 300, "", "$\\frac{", "CAT"]
    paths = write_contact_sheets({name: [average(pixels)] for name in names}, tmp_path / "sheets")
    assert list(paths) == names
    assert {path.parent for path in paths.values()} == {tmp_path / "sheets"}
    assert len({path.name.casefold() for path in paths.values()}) == len(names)
    for path in paths.values():
        assert size_of(path)[0] > 100
    assert paths["cat, tabby"].name == "cat.png"


def test_a_class_without_features_and_a_folder_that_is_a_file(tmp_path):
    assert size_of(write_contact_sheets({"cat": []}, tmp_path)["cat"])[1] > 50
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be written to"):
        write_contact_sheets({"cat": []}, tmp_path / "file")
