"""Feedback: relevance by hand, maps against plain loops and on squares, and figure, page and JSON of it."""

import json
import re

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.interpretation.feedback import (
    METHODS,
    Feedback,
    ShownFeature,
    evened,
    explain_features,
    explain_prediction,
    projected_answers,
)
from gazeback.eval.interpretation.filters import Filters
from gazeback.eval.interpretation.forward import Forward
from gazeback.eval.interpretation.layers import filter_layers
from gazeback.eval.interpretation.pages import draw_feedback, feedback_html, feedback_to_json, write_feedback
from gazeback.eval.interpretation.relevant import Feature, RelevantFeatures
from gazeback.grounding.classes import Prediction
from gazeback.grounding.explanation import Explanation
from gazeback.models.classifiers import Preprocessing
from gazeback.models.errors import ModelError, PhotoError, UserError
from gazeback.models.photos import Photo

MEANS = {"means": 3, "pool": 3}


def relevant(features, layers=None):
    """Relevant features of some classes: class -> [(layer, filter, weight), ...]."""
    found = {name: tuple(Feature(*one) for one in listed) for name, listed in features.items()}
    return RelevantFeatures(tuple(found), layers or MEANS, found, 10.0, "all")


REDS = {"red": [("means", 0, 2.0), ("means", 1, 1.0), ("means", 2, -1.0)], "green": [("means", 1, 1.0)]}


@pytest.fixture
def photo():
    """A large red square at the upper left, a small green one at the lower right, on black."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[8:40, 8:40, 0] = 200
    pixels[48:56, 48:64, 1] = 200
    return pixels


def test_relevance_is_weight_times_response(means, photo):
    found = explain_prediction(means, photo, relevant(REDS))
    assert found.name == "red"
    assert found.model_name == "means"
    assert found.probability == found.predictions[0].probability > 0.5
    # norms over 4 x 4 pixels of half the size: 16 cells of 200 of red, 2 of green, none of blue
    red, green = np.sqrt(16), np.sqrt(2)
    responses = np.array([red, green]) / (red + green)
    assert [one.feature.filter for one in found.features] == [0, 1]
    np.testing.assert_allclose([one.response for one in found.features], responses, rtol=0.02)
    np.testing.assert_allclose([one.relevance for one in found.features], responses * (2, 1), rtol=0.02)
    assert sum(one.share for one in found.features) == pytest.approx(1)
    assert [one.method for one in found.features[0].explanations] == list(METHODS)


def test_relevance_of_standardised_responses(means, photo):
    """x = (response - mean) / deviation: what answers less than on the mean photo is not shown."""
    red, green = (np.sqrt(16), np.sqrt(2)) / (np.sqrt(16) + np.sqrt(2))
    features = {"red": [("means", 0, 2.0, 0.5, 0.1), ("means", 1, 1.0, 0.6, 0.1)], "green": []}
    (shown,) = explain_prediction(means, photo, relevant(features), name="red").features
    assert shown.feature.filter == 0
    np.testing.assert_allclose(shown.response, red, rtol=0.02)
    np.testing.assert_allclose(shown.relevance, 2 * (red - 0.5) / 0.1, rtol=0.05)
    assert green < 0.6


def test_both_maps_lie_where_the_filter_answers(means, photo):
    features = explain_prediction(means, photo, relevant(REDS)).features
    for shown, (rows, columns) in zip(features, [((8, 40), (8, 40)), ((48, 56), (48, 64))], strict=True):
        for explanation in shown.explanations:
            heat = explanation.heat(64).astype(float)
            inside = heat[rows[0] - 2 : rows[1] + 2, columns[0] - 2 : columns[1] + 2].sum()
            assert inside > 0.8 * heat.sum() > 0, explanation.method
        # the photo's edges are a little soft where it was scaled down
        points, weights = (getattr(shown.explanations[1].fixations, name) for name in ("points", "weights"))
        inside = ((points >= (rows[0], columns[0])) & (points < (rows[1], columns[1]))).all(axis=1)
        assert weights[inside].sum() > 0.9


def test_evidence_is_that_of_the_trace_from_the_whole_channel(means, photo):
    (shown,) = explain_prediction(means, photo, relevant({"red": [("means", 0, 1.0)]})).features
    pixels = means.preprocess(Photo(photo, "photo")).pixels
    expected = trace(means.model, pixels, (..., 0), layer="means")[0]
    np.testing.assert_array_equal(shown.explanations[1].on_input.points, expected.points)
    np.testing.assert_allclose(shown.explanations[1].on_input.weights, expected.weights)


def test_a_forward_pass_made_once_serves_all_photos_and_variants(means, photo):
    tracer = tracer_of(means.model)
    forward = Forward(tracer.graph, tracer.target(), filter_layers(tracer.graph, tracer.target()))
    alone, shared = (explain_prediction(means, photo, relevant(REDS), forward=one) for one in (None, forward))
    for one, other in zip(alone.features, shared.features, strict=True):
        assert one.feature == other.feature
        assert one.relevance == pytest.approx(other.relevance)


def test_top_and_a_named_class(means, photo):
    assert len(explain_prediction(means, photo, relevant(REDS), top=1).features) == 1
    found = explain_prediction(means, photo, relevant(REDS), name="green")
    assert found.name == "green"
    assert found.probability == pytest.approx(found.predictions[1].probability)
    assert [one.share for one in found.features] == [1]


def two_convolutions():
    keras.utils.set_random_seed(3)
    image = keras.Input((7, 6, 2))
    x = layers.Conv2D(3, 3, name="first")(image)
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2D(2, 2, activation="relu", name="second")(x)
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def spread(signal, kernel, shape):
    """Every element of a signal ``[h, w, out]`` through its window, weighted: the transposed convolution."""
    found = np.zeros(shape)
    for row, column, filter_number in np.ndindex(signal.shape):
        rows, columns = slice(row, row + kernel.shape[0]), slice(column, column + kernel.shape[1])
        found[rows, columns] += signal[row, column, filter_number] * kernel[..., filter_number]
    return found


def test_guided_backpropagation_of_the_answers_by_plain_loops():
    model = two_convolutions()
    pixels = np.random.default_rng(0).normal(size=(7, 6, 2)).astype(np.float32)
    names = ("relu", "second")
    first, second = (
        np.asarray(keras.Model(model.input, model.get_layer(name).output)(pixels[None]))[0] for name in names
    )
    features = [Feature("second", 0, 1.0), Feature("first", 1, 1.0), Feature("second", 1, 1.0)]
    found = projected_answers(Filters.of(model, features), features, pixels)
    kernels = [model.get_layer(name).kernel.numpy() for name in ("first", "second")]
    for feature, signal in zip(features, found, strict=True):
        if feature.layer == "second":
            answers = second * (np.arange(2) == feature.filter)
            below = spread(answers, kernels[1], first.shape)
            below = np.maximum(below, 0) * (first > 0)
        else:
            below = first * (np.arange(3) == feature.filter)
        expected = np.abs(spread(below, kernels[0], pixels.shape)).max(axis=-1)
        assert expected.max() > 0
        np.testing.assert_allclose(signal, expected / expected.max(), atol=1e-5)


def test_a_few_strong_pixels_do_not_darken_the_rest():
    signal = np.linspace(0, 0.1, 1000).reshape(25, 40)
    signal[3, 3:5] = 1
    found = evened(signal)
    assert found.max() == 1
    assert np.median(found) == pytest.approx(0.5, abs=0.01)
    assert (found == 1).mean() == pytest.approx(0.01, abs=0.002)
    point = np.zeros((20, 20))
    point[4, 5] = 0.3
    np.testing.assert_array_equal(evened(point), point / 0.3)
    np.testing.assert_array_equal(evened(0 * point), 0 * point)


def test_channels_first_is_the_same():
    last = two_convolutions()
    image = keras.Input((2, 7, 6))
    x = layers.Permute((2, 3, 1))(image)
    first = keras.Model(image, last(x))
    pixels = np.random.default_rng(0).normal(size=(7, 6, 2)).astype(np.float32)
    features = [Feature("second", 1, 1.0)]
    (expected,) = projected_answers(Filters.of(last, features), features, pixels)
    nested = [Feature(f"{last.name}/second", 1, 1.0)]
    tracer_of(first).graph.inputs[0].channels_first = True
    (found,) = projected_answers(Filters.of(first, nested), nested, np.moveaxis(pixels, -1, 0))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_dense_layers_feature():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(image)
    x = layers.Dense(4, activation="relu", name="hidden")(layers.Flatten()(x))
    keras.utils.set_random_seed(0)
    model = keras.Model(image, layers.Dense(2)(x))
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    features = relevant({"a": [("hidden", n, 1.0) for n in range(4)]}, {"conv": 3, "hidden": 4})
    found = explain_features(model, Preprocessing(8, 8, values="unit"), photo, features, "a")
    assert {one.kind for one in found.features} == {"dense"}
    assert {one.number for one in found.features} == {2}
    for one in found.features:
        assert one.explanations[0].map.max() > 0


def test_a_word_of_a_captioner(captioner, photo):
    size = captioner.image_size
    features = relevant({"dog": [("last_map", n, 1.0) for n in range(6)]}, {"last_map": 6})
    found = explain_features(
        captioner.model,
        Preprocessing(size, size),
        photo,
        features,
        "dog",
        last=captioner.features_layer,
        model_name=captioner.name,
    )
    assert found.features
    assert (found.name, found.model_name, found.probability) == ("dog", "tiny", None)
    assert sum(one.response for one in found.features) == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"name": "mauve"},
            UserError,
            "no relevant features for 'mauve'; there are some for 'red', 'green'$",
        ),
        ({"top": 0}, UserError, "top: expected 1 feature or more, got 0"),
        (
            {"features": {"red": [("means", 3, 1.0)]}},
            UserError,
            "has the filters 0 to 2, not 3: the features",
        ),
        ({"features": {"red": [("conv7", 0, 1.0)]}}, UserError, "no layer 'conv7' with filters; close names"),
        ({"features": {"mauve": [("means", 0, 1.0)]}}, ModelError, "mauve"),
        ({"photo": "nowhere.png"}, PhotoError, r"nowhere\.png: no such file"),
    ],
)
def test_what_cannot_be_explained(means, photo, options, error, message):
    features = relevant(options.pop("features", REDS))
    photo = options.pop("photo", photo)
    with pytest.raises(error, match=message):
        explain_prediction(means, photo, features, **options)


def peaked(row, column):
    rows, columns = np.indices((30, 45)) / np.array([30, 45]).reshape(2, 1, 1)
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 0.01).astype(np.float32)


@pytest.fixture
def make_feedback():
    """A function that makes feedback by hand: a map on the left for each feature, and one on the right."""

    def make(name="tabby, tabby cat", shape=(60, 90), layer_names=("conv_1", "add"), photo_name="cat.jpg"):
        rows, columns = np.indices(shape)
        pixels = np.stack([rows * 255 // shape[0], columns * 255 // shape[1], 0 * rows + 90], axis=-1)
        features = tuple(
            ShownFeature(
                Feature(layer, 10 + index, 0.5),
                index + 3,
                ("convolution", "joining", "dense", "pooling")[index % 4],
                0.1,
                0.05 / (index + 1),
                0.6 / (index + 1),
                tuple(
                    Explanation(method, None, peaked(0.3 + 0.4 * (index % 2), column))
                    for method, column in zip(METHODS, (0.3, 0.7), strict=True)
                ),
            )
            for index, layer in enumerate(layer_names)
        )
        predictions = (Prediction(name, 0, 0.8), Prediction("lynx", 1, 0.1))
        photo = Photo(pixels.astype(np.uint8), photo_name)
        return Feedback(photo, "a network", name, 0.8, predictions, features)

    return make


def test_files_of_a_photo(means, photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "squares.png")
    found = explain_prediction(means, tmp_path / "squares.png", relevant(REDS))
    paths = write_feedback(found, tmp_path / "out", "squares")
    assert {kind: path.name for kind, path in paths.items()} == {
        "html": "squares.html",
        "png": "squares.png",
        "json": "squares.json",
    }
    with Image.open(paths["png"]) as picture:
        assert picture.width > 300
    data = json.loads(paths["json"].read_text(encoding="utf-8"))
    assert (data["photo"], data["width"], data["model"], data["class"]) == (
        "squares.png",
        64,
        "means",
        "red",
    )
    assert [one["class"] for one in data["predictions"]] == ["red", "green", "blue"]
    first = data["features"][0]
    assert (first["layer"], first["filter"], first["weight"], first["kind"]) == (
        "means",
        0,
        2.0,
        "convolution",
    )
    assert first["relevance"] == pytest.approx(2 * first["response"], rel=1e-4)
    assert list(first["methods"]) == list(METHODS)
    assert first["methods"]["evidence"]["points"]
    assert np.asarray(first["methods"]["guided-backprop"]["map"]).max() == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be written to"):
        write_feedback(found, tmp_path / "file", "photo")


def test_a_photo_that_shows_none_of_the_features(means, photo, tmp_path):
    found = explain_prediction(means, photo, relevant({"red": [("means", 2, 1.0)], "blue": []}))
    assert found.features == ()
    paths = write_feedback(found, tmp_path, "photo")
    page = paths["html"].read_text(encoding="utf-8")
    assert "This photo has no relevant feature of this class." in page
    assert json.loads(paths["json"].read_text())["features"] == []
    assert "no relevant feature" in " ".join(text.text for text in draw_feedback(found).texts)
    assert explain_prediction(means, photo, relevant({"red": []})).features == ()


def test_the_figure_has_a_column_for_each_feature_and_a_row_for_each_method(make_feedback):
    figure = draw_feedback(make_feedback())
    assert len(figure.pictures) == 1 + 2 * len(METHODS)
    written = [text.text for text in figure.texts]
    assert {"layer 3", "layer 4", *METHODS, "\u25a0 convolution", "\u25a0 joined paths"} <= set(written)
    assert "filter 10\nconv_1" in written
    colours = {text.text: text.colour for text in figure.texts}
    assert colours["layer 3"] == colours["\u25a0 convolution"] != colours["layer 4"]


def test_the_page_is_one_file_that_asks_for_nothing_else(make_feedback):
    page = feedback_html(make_feedback())
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(address.startswith("data:") or not address for address in addresses)
    assert "default-src 'none'" in page
    assert page.count("data:image/jpeg") == 1


@pytest.mark.parametrize(
    "evil", ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"'&{{ 7*7 }}"]
)
def test_names_cannot_break_out(make_feedback, evil):
    plain, page = (
        feedback_html(make_feedback("tabby")),
        feedback_html(make_feedback(evil, (60, 90), (evil, evil), evil)),
    )
    assert re.findall(r"<([a-z]+)", page) == re.findall(r"<([a-z]+)", plain)
    data = json.loads(re.findall(r"<script[^>]*>(.*?)</script>", page, flags=re.DOTALL)[0])
    assert evil in data["targets"][0]["verdict"]


def test_numbers_that_are_none_are_null_in_json(make_feedback):
    found = make_feedback()
    broken = Feedback(found.photo, "a", "b", float("nan"), found.predictions, found.features)
    assert feedback_to_json(broken)["probability"] is None
    json.dumps(feedback_to_json(broken), allow_nan=False)


@pytest.fixture
def open_feedback(open_file, make_feedback, tmp_path):
    """Opens the page of feedback from its file."""

    def open_feedback(feedback=None, **options):
        return open_file(write_feedback(feedback or make_feedback(), tmp_path, "photo")["html"], **options)

    return open_feedback


@pytest.mark.browser
def test_opens_on_the_strongest_feature_with_both_methods_side_by_side(open_feedback):
    page = open_feedback()
    assert page.locator(".target[aria-pressed=true] .name").all_inner_texts() == ["layer 3 \u00b7 filter 10"]
    verdict = page.locator("#verdict").inner_text()
    assert verdict == "layer 3 \u00b7 filter 10 (conv_1) contributes 60\u00a0% of the evidence for tabby."
    assert page.locator("figcaption b").all_inner_texts() == list(METHODS)
    left, right = (figure.bounding_box() for figure in page.locator(".method").all())
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]


@pytest.mark.browser
def test_another_feature_is_chosen_and_its_colour_is_that_of_its_kind(open_feedback):
    page = open_feedback()
    before = page.evaluate("document.querySelector('canvas').toDataURL()")
    page.locator(".target").nth(1).click()
    assert page.evaluate("document.querySelector('canvas').toDataURL()") != before
    colour = "node => getComputedStyle(node).color"
    names = [page.locator(".target .name").nth(i).evaluate(colour) for i in range(2)]
    assert names[0] != names[1]
    square = page.locator(".kind.joining").evaluate(
        "node => getComputedStyle(node, '::before').backgroundColor"
    )
    assert square == names[1]


@pytest.mark.browser
def test_a_page_without_features_has_no_script_that_fails(open_feedback, make_feedback):
    page = open_feedback(make_feedback(layer_names=()))
    assert page.locator(".target").count() == 0
    assert page.get_by_text("No relevant feature of this class").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("shape", [(60, 90), (20, 600), (600, 20)])
def test_a_narrow_screen_never_scrolls_sideways(open_feedback, make_feedback, shape):
    feedback = make_feedback("x" * 80 + " " + "hay " * 30, shape, ("a/" * 60, "b" * 120), "n" * 120 + ".jpg")
    page = open_feedback(feedback, viewport={"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
