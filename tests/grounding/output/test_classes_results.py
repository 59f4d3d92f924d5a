import json

import numpy as np
import pytest

from gazeback.cnn_trace.fixations import Fixations
from gazeback.grounding.explanation import Explanation
from gazeback.grounding.output.results import to_json, write_json
from gazeback.grounding.output.text import (
    facts,
    probability_text,
    short,
    synonyms,
    target_verdict,
    value_text,
)


def test_holds_the_fields_of_the_contract(make_traced):
    result = to_json(make_traced())
    assert list(result) == ["photo", "width", "height", "model", "predictions", "targets"]
    assert (result["photo"], result["width"], result["height"]) == ("cat.jpg", 90, 60)
    assert result["predictions"][1] == {"class": "lynx", "index": 1, "probability": 0.3}
    target = result["targets"][0]
    assert {name: target[name] for name in ("class", "index", "probability")} == {
        "class": "tabby, tabby cat", "index": 0, "probability": 0.6,
    }  # fmt: skip
    assert list(target["methods"]) == ["evidence", "grad-cam"]


def test_points_and_box_are_in_photo_pixels(make_traced):
    traced = make_traced()
    found = to_json(traced)["targets"][0]["methods"]["evidence"]
    fixations = traced.targets[0].explanations[0].fixations
    np.testing.assert_array_equal(np.array(found["points"])[:, :2], fixations.points)
    np.testing.assert_allclose(np.array(found["points"])[:, 2], fixations.weights, rtol=1e-5)
    assert found["box"] == fixations.box()
    assert "map" not in found


def test_a_method_without_points_has_a_map_and_a_box(make_traced):
    found = to_json(make_traced())["targets"][1]["methods"]["grad-cam"]
    assert found["points"] == []
    heat = np.array(found["map"])
    assert heat.shape == (30, 45)
    assert np.unravel_index(heat.argmax(), heat.shape) == (21, 22)
    assert heat.max() == 1
    x, y, width, height = found["box"]
    assert x <= 45 <= x + width
    assert y <= 43 <= y + height


def test_a_neuron_has_a_layer_and_an_activation(make_traced):
    target = to_json(make_traced(["conv[0, 0, 7]"], layer="conv"))["targets"][0]
    assert {name: target[name] for name in target if name != "methods"} == {
        "layer": "conv", "neuron": [0, 0, 7], "activation": 0.6,
    }  # fmt: skip


def test_no_evidence_is_no_box(make_traced):
    found = to_json(make_traced(methods=["nothing"]))["targets"][0]["methods"]["nothing"]
    assert found == {"points": [], "box": None}


def test_the_file_equals_the_object_and_odd_names_do_not_stop_it(make_traced, tmp_path):
    traced = make_traced(["häst", "</script>"], photo_name="bad\udcff.jpg")
    written = json.loads(write_json(traced, tmp_path / "out.json").read_text(encoding="utf-8"))
    assert written == to_json(traced) | {"photo": "bad?.jpg"}


def test_names_are_split_at_the_first_comma_but_neurons_are_not():
    assert (short("tabby, tabby cat"), synonyms("tabby, tabby cat")) == ("tabby", "tabby cat")
    assert (short("hay"), synonyms("hay")) == ("hay", "")
    assert short("conv[1, 2, 3]") == "conv[1, 2, 3]"


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.734, "73 %"),
        (0.0123, "1.2 %"),
        (0.0996, "10 %"),
        (1e-5, "< 0.1 %"),
        (0, "0.0 %"),
        (np.nan, "\u2013 %"),
    ],
)
def test_probabilities_as_text(probability, text):
    assert probability_text(probability) == text.replace(" ", "\u00a0")


def test_what_is_said_of_targets_and_explanations(make_traced):
    target = make_traced(methods=["evidence", "grad-cam", "nothing"]).targets[0]
    count = len(target.explanations[0].fixations)
    found = [facts(one, (60, 90)) for one in target.explanations]
    assert found[0].startswith(f"{count} points, box ")
    assert found[1].startswith("heat map only, box ")
    assert found[2] == "no evidence"
    assert target_verdict(target, "vgg16") == "is 60\u00a0% likely, says vgg16."
    neuron = make_traced(["conv[0, 0, 7]"], layer="conv").targets[0]
    assert value_text(neuron) == "activation 0.6"
    assert target_verdict(neuron, "vgg16") == "has the activation 0.6 in vgg16."


def test_points_on_a_coarse_grid_are_said_to_be_so():
    places = np.indices((7, 5)).reshape(2, -1).T
    explanation = Explanation("fixations", Fixations(30 * places[3:] + 11, np.ones(32), (224, 224)))
    assert facts(explanation, (224, 224)).startswith("32 points on a 7 \u00d7 5 grid, box ")
    scattered = np.random.default_rng(0).permutation(224 * 224)[:32]
    apart = np.stack(np.unravel_index(np.sort(scattered), (224, 224)), axis=1)
    all_pixels = np.indices((60, 60)).reshape(2, -1).T
    for points in (places[:8] * 30, apart, all_pixels):
        assert Explanation("top", Fixations(points, np.ones(len(points)), (224, 224))).grid is None
