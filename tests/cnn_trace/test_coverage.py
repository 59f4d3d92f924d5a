"""Every family of networks is traced by each method, and docs/coverage.md tells what the rule table holds."""

import runpy
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from twins import nets
from twins.receptive_fields import maps_before, receptive_field

from gazeback.cnn_trace import trace, walk

ROOT = Path(__file__).parent.parent.parent
PAGE = runpy.run_path(str(ROOT / "examples" / "coverage.py"))
# The others take several seconds each.
QUICK = ("ResNet-RS", "RegNet", "MobileNet v2", "MobileNet v3", "DenseNet")
FAMILIES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PAGE["FAMILIES"]]

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module", params=FAMILIES)
def network(request):
    """A small network of a family with random weights of both signs, and a random image for it."""
    rng = np.random.default_rng(7)
    model = nets.randomise(PAGE["FAMILIES"][request.param][1](), rng)
    yield model, rng.uniform(-1, 1, (1, *model.input_shape[1:])).astype("float32")
    keras.backend.clear_session()


@pytest.fixture
def visits(monkeypatch):
    """How often the walk visited each call's output; it must not come back to one that it has left."""
    counted, rule_of = Counter(), walk.walk_rule

    def counting(call):
        rule = rule_of(call)

        def visit(step, evidence, selection):
            counted[step.output] += 1
            found = rule(step, evidence, selection)
            assert not [tensor for tensor, _ in found if tensor in counted]
            return found

        return visit

    monkeypatch.setattr(walk, "walk_rule", counting)
    return counted


@pytest.mark.parametrize("method", PAGE["METHODS"])
def test_an_answer_is_traced_to_pixels(network, method, visits):
    model, image = network
    found = trace(model, image, method=method)[0]
    assert set(visits.values()) == {1}
    assert_sound(found, method, [(0, side - 1) for side in model.input_shape[1:3]])
    if method == "evidence":
        assert found.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("location", ["same", "argmax"])
def test_a_neuron_in_the_middle_stays_in_its_receptive_field(network, location, visits):
    model, image = network
    tensor, place, field = middle_neuron(model)
    layer = tensor._keras_history.operation.name
    for channel in range(0, tensor.shape[3], max(1, tensor.shape[3] // 3)):
        visits.clear()
        found = trace(model, image, (*place, channel), layer=layer, method="fixations", location=location)[0]
        assert set(visits.values()) == {1}
        assert_sound(found, "fixations", field)


def middle_neuron(model):
    """A place of a deep map whose neurons see less than 60 % of the image, and what it sees."""
    maps = [x for x in maps_before(model.outputs[0]) if x.shape[1] > 1]
    image = np.prod(model.input_shape[1:3])
    for depth in np.linspace(0.7, 0.05, 14):
        tensor = maps[int(len(maps) * depth)]
        place = tensor.shape[1] // 2, tensor.shape[2] // 3
        (top, bottom), (left, right) = field = receptive_field(model, tensor, *place)
        if (bottom - top + 1) * (right - left + 1) < 0.6 * image:
            return tensor, place, field
    raise AssertionError("every map sees the whole image")


def assert_sound(found, method, field):
    assert len(found) > 0
    assert np.isfinite(found.weights).all()
    assert (found.weights > 0).all()
    for axis, (first, last) in enumerate(field):
        assert found.points[:, axis].min() >= first
        assert found.points[:, axis].max() <= last


def test_nothing_outside_the_receptive_field_reaches_a_neuron():
    rng = np.random.default_rng(7)
    model = nets.randomise(PAGE["FAMILIES"]["MobileNet v2"][1](), rng)
    tensor, place, ((top, bottom), (left, right)) = middle_neuron(model)
    image, other = rng.uniform(-1, 1, (2, *model.input_shape[1:])).astype("float32")
    other[top : bottom + 1, left : right + 1] = image[top : bottom + 1, left : right + 1]
    values = np.asarray(keras.Model(model.inputs[0], tensor)(np.stack([image, other])))
    np.testing.assert_allclose(*values[:, place[0], place[1]], rtol=1e-4, atol=1e-5)
    assert not np.allclose(values[0], values[1], rtol=1e-2)


def test_the_page_lists_the_rules():
    page = (ROOT / "docs" / "coverage.md").read_text()
    tables = PAGE["rule_tables"]()
    assert page.startswith(PAGE["HEADER"])
    assert tables in page, "run: python examples/coverage.py > docs/coverage.md"


def test_the_page_lists_the_families():
    page = (ROOT / "docs" / "coverage.md").read_text()
    for family in PAGE["FAMILIES"]:
        assert f"| {family} | " in page
    row = PAGE["family_table"](["RegNet"]).splitlines()[-1]
    assert row in page


def test_every_network_of_keras_applications_belongs_to_a_listed_family():
    families = ["VGG", "ResNet", "DenseNet", "Inception", "Xception", "MobileNet", "NASNet"]
    families += ["EfficientNet", "ConvNeXt", "RegNet"]
    for network in (name for name in dir(keras.applications) if name[0].isupper()):
        assert any(network.startswith(family) for family in families), network
    for family in families:
        assert any(listed.startswith(family) for listed in PAGE["FAMILIES"]), family
