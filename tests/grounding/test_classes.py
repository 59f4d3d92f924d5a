"""`trace_photo` on a classifier of colours, where it is plain to see which pixels a class comes from."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gazeback.cnn_trace import TraceError, trace
from gazeback.grounding import methods, trace_photo
from gazeback.grounding.classes import parse_neuron
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.errors import UserError


@pytest.fixture
def brightness(monkeypatch):
    """Registers a method without points, whose map is the input's channel of the class."""

    def explain(model, images, target):
        return images[..., target] - 0.5

    entry = SimpleNamespace(name="brightness", load=lambda: explain)
    monkeypatch.setattr(methods, "entry_points", lambda group: [entry])


def inside(points, rows, columns):
    points = np.asarray(points)
    return (
        (points[:, 0] >= rows[0])
        & (points[:, 0] < rows[1])
        & (points[:, 1] >= columns[0])
        & (points[:, 1] < columns[1])
    )


RED, BLUE = ((4, 20), (8, 40)), ((32, 44), (72, 88))


@pytest.mark.parametrize("method", ["evidence", "fixations"])
def test_each_class_comes_from_its_own_pixels_of_the_photo(colour_classifier, patches, method):
    traced = trace_photo(colour_classifier, patches, methods=[method], top=2)
    assert [one.name for one in traced.predictions] == ["red, crimson", "blue"]
    assert traced.predictions[0].probability > traced.predictions[1].probability
    assert [target.name for target in traced.targets] == ["red, crimson", "blue"]
    for target, area in zip(traced.targets, (RED, BLUE), strict=True):
        (found,) = target.explanations
        assert found.method == method
        assert found.fixations.shape == (48, 96)
        assert len(found.fixations)
        assert inside(found.fixations.points, *area).all()
        heat = found.heat(96)
        assert inside([np.unravel_index(heat.argmax(), heat.shape)], *area).all()


def test_the_weights_are_those_of_the_trace(colour_classifier, patches):
    traced = trace_photo(colour_classifier, patches, top=1, share=0.3)
    (expected,) = trace(colour_classifier.model, traced.prepared.pixels, [0], share=0.3)[0]
    np.testing.assert_allclose(
        np.sort(traced.targets[0].explanations[0].fixations.weights), np.sort(expected.weights)
    )


def test_asked_classes_come_before_the_probable_ones_and_none_twice(colour_classifier, patches):
    traced = trace_photo(colour_classifier, patches, ["Blue", 1], top=2)
    assert [target.name for target in traced.targets] == ["blue", "green", "red, crimson"]
    assert [target.neuron for target in traced.targets] == [(2,), (1,), (0,)]
    assert sum(target.value for target in traced.targets) == pytest.approx(1, abs=1e-5)


def test_a_method_without_points_has_a_map_on_the_photo(colour_classifier, patches, brightness):
    traced = trace_photo(colour_classifier, patches, methods=["brightness", "evidence"], top=2)
    for target, (rows, columns) in zip(traced.targets, (RED, BLUE), strict=True):
        found = target.explanations[0]
        assert found.fixations is None
        heat = found.heat(96)
        assert heat.shape == (48, 96)
        assert heat[slice(*rows), slice(*columns)].mean() > 200
        assert heat.sum() < 1.6 * heat[slice(*rows), slice(*columns)].sum()
        x, y, width, height = found.box((48, 96))
        assert [x, y, x + width, y + height] == pytest.approx(
            [columns[0], rows[0], columns[1], rows[1]], abs=5
        )


def test_a_map_without_anything_has_no_box(colour_classifier, patches, brightness):
    traced = trace_photo(colour_classifier, patches // 3, ["green"], ["brightness"], top=1)
    found = traced.targets[0].explanations[0]
    assert found.box((48, 96)) is None
    assert not found.heat(50).any()


def test_starts_from_the_strongest_neuron_of_a_layer_or_a_named_one(colour_classifier, patches):
    traced = trace_photo(colour_classifier, patches, [None, 2, (9, 10, 2)], layer="pool")
    strongest, channel, named = traced.targets
    assert [one.layer for one in traced.targets] == ["pool"] * 3
    assert strongest.neuron[2] == 0
    assert channel.neuron[2] == 2
    assert (named.name, named.neuron) == ("pool[9, 10, 2]", (9, 10, 2))
    assert strongest.value == pytest.approx(1, abs=0.05)
    for target, area in zip(traced.targets, (RED, BLUE, BLUE), strict=True):
        assert inside(target.explanations[0].fixations.points, *area).all()
    (default,) = trace_photo(colour_classifier, patches, layer="pool").targets
    assert default.neuron == strongest.neuron
    (vector,) = trace_photo(colour_classifier, patches, [2], layer="mean").targets
    assert vector.neuron == (2,)


def test_only_traced_methods_start_from_a_layer(colour_classifier, patches, brightness):
    with pytest.raises(
        UserError, match="method 'brightness' explains classes only; it cannot start from layer 'pool'"
    ):
        trace_photo(colour_classifier, patches, methods=["brightness"], layer="pool")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"top": 0}, UserError, "top: expected 1 class or more, got 0"),
        ({"methods": ["magic"]}, UserError, "expected one or more of evidence, .*got 'magic'"),
        ({"targets": ["purple"]}, UserError, "no class 'purple' among 3, 0 to 2"),
        ({"targets": [3], "layer": "pool"}, TraceError, "target 3 is out of range: 'pool' has 3 channels"),
        ({"targets": [(12, 0, 0)], "layer": "pool"}, TraceError, r"\(12, 0, 0\) is out of range: 'pool'"),
        ({"layer": "poll"}, TraceError, "no layer 'poll'; close names: pool"),
        ({"share": 2}, TraceError, "share must be above 0 and at most 1"),
    ],
)
def test_mistakes_are_told(colour_classifier, patches, options, kind, message):
    with pytest.raises(kind, match=message):
        trace_photo(colour_classifier, patches, **options)


@pytest.mark.parametrize(("text", "neuron"), [("17", 17), ("3,4,17", (3, 4, 17)), (" 3, 4 ,17", (3, 4, 17))])
def test_neurons_as_they_are_written(text, neuron):
    assert parse_neuron(text) == neuron


@pytest.mark.parametrize("text", ["", "cat", "-1", "1.5", "1,,2"])
def test_what_is_no_neuron_is_told(text):
    with pytest.raises(
        UserError, match=r"a neuron is a channel \(17\) or row,column,channel \(3,4,17\), got"
    ):
        parse_neuron(text)


def test_evidence_of_a_drawing_lies_on_the_drawing(colour_classifier):
    pixels = np.full((200, 160, 3), 255, np.uint8)
    pixels[120:180, 20:50] = (
        0  # a filled block at the lower left, which the classifier sees cut out and large
    )
    preprocess = Preprocessing(24, 24, 3, placement="sketch", margin=2)
    classifier = Classifier(_block_model(), ("left edge", "other"), preprocess, "blocks")
    traced = trace_photo(classifier, pixels, ["left edge"], top=1)
    found = traced.targets[0].explanations[0]
    heat = found.heat(160)
    row, column = np.unravel_index(heat.argmax(), heat.shape) / np.divide(heat.shape, (200, 160))
    assert 115 < row < 185
    assert abs(column - 20) < 10


def _block_model():
    """Class 0: ink with nothing to its left."""
    import keras

    image = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(2, 3, padding="same", activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(x))
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    kernel[1, 1, :, 0], kernel[1, 0, :, 0] = 1, -1
    model.set_weights([kernel, np.zeros(2), np.eye(2, dtype=np.float32), np.zeros(2)])
    return model


def test_figure_of_layers_shows_where_the_walk_passed(colour_classifier, patches):
    traced = trace_photo(colour_classifier, patches, top=1)
    figure = traced.plot_layers(["colours", "pool"])
    assert [axis.get_title().split(":")[0] for axis in figure.axes] == ["colours", "pool"]
    for axis in figure.axes:
        columns, rows = np.asarray(axis.collections[0].get_offsets()).T
        assert inside(np.column_stack([rows, columns]), (2, 22), (4, 44)).all()


def test_figure_of_layers_needs_a_walk_and_a_layer_that_it_passed(colour_classifier, patches, brightness):
    with pytest.raises(UserError, match="only a traced method has them, not brightness"):
        trace_photo(colour_classifier, patches, methods=["brightness"], top=1).plot_layers(["pool"])
    traced = trace_photo(colour_classifier, patches, top=1)
    with pytest.raises(TraceError, match="layer 'mean' has no places"):
        traced.plot_layers(["mean"])


def test_saves_page_figure_json_and_layers(colour_classifier, patches, tmp_path):
    Image.fromarray(patches).save(tmp_path / "two patches.png")
    traced = trace_photo(colour_classifier, tmp_path / "two patches.png", top=2)
    paths = traced.save(tmp_path / "out", layers=["pool"])
    assert {kind: path.name for kind, path in paths.items()} == {
        "html": "two patches.html", "png": "two patches.png", "json": "two patches.json",
        "layers": "two patches-layers.png",
    }  # fmt: skip
    assert all(path.stat().st_size > 500 for path in paths.values())
    result = json.loads(paths["json"].read_text())
    assert [one["class"] for one in result["targets"]] == ["red, crimson", "blue"]
