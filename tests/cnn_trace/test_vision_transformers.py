"""Vision transformers as classifiers: evidence per patch, exact to the tokens of the patches; the command."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers, ops
from PIL import Image
from twins import nets
from twins.exact import assert_exact, assert_recorded

from gazeback.cnn_trace import trace
from gazeback.cnn_trace.tracer import METHODS
from gazeback.grounding import trace_photo
from gazeback.models.classifiers.keras_files import of_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "vision_transformer.py"
SIDE, PATCH, WIDTH = 24, 6, 8


class Patches(layers.Layer):
    def __init__(self, patch_size, **k):
        super().__init__(**k)
        self.patch_size = patch_size

    def call(self, images):
        input_shape = ops.shape(images)
        batch_size, height, width, channels = input_shape
        n_h, n_w = height // self.patch_size, width // self.patch_size
        patches = keras.ops.image.extract_patches(images, size=self.patch_size)
        return ops.reshape(patches, (batch_size, n_h * n_w, self.patch_size * self.patch_size * channels))


class PatchEncoder(layers.Layer):
    def __init__(self, num_patches, projection_dim, **k):
        super().__init__(**k)
        self.num_patches = num_patches
        self.projection = layers.Dense(units=projection_dim)
        self.position_embedding = layers.Embedding(input_dim=num_patches, output_dim=projection_dim)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(start=0, stop=self.num_patches, step=1), axis=0)
        return self.projection(patch) + self.position_embedding(positions)


class ClassToken(layers.Layer):
    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="class_token")

    def call(self, x):
        return ops.concatenate([ops.tile(self.token, (ops.shape(x)[0], 1, 1)), x], axis=1)


class Positions(layers.Layer):
    def build(self, shape):
        self.positions = self.add_weight(shape=(1, *shape[1:]), name="positions")

    def call(self, x):
        return x + self.positions


def mlp(x, units):
    for u in units:
        x = layers.Dropout(0.1)(layers.Dense(u, activation=keras.activations.gelu)(x))
    return x


def block(x):
    x1 = layers.LayerNormalization(epsilon=1e-6)(x)
    a = layers.MultiHeadAttention(num_heads=2, key_dim=4, dropout=0.1)(x1, x1)
    x2 = layers.Add()([a, x])
    x3 = layers.LayerNormalization(epsilon=1e-6)(x2)
    return layers.Add()([mlp(x3, [16, WIDTH]), x2])


def example():
    image = keras.Input((SIDE, SIDE, 3))
    x = PatchEncoder(16, WIDTH)(Patches(PATCH)(layers.Rescaling(2.0)(image)))
    for _ in range(2):
        x = block(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(3)(mlp(x, [16])))


def token(dist=False):
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(WIDTH, PATCH, PATCH, name="patch")(image)
    x = layers.Reshape((-1, WIDTH))(x)
    x = Positions()(ClassToken()(x))
    for _ in range(2):
        x = block(x)
    x = layers.LayerNormalization()(x)
    return keras.Model(image, layers.Dense(3)(x[:, 0]))


KINDS = {"Keras example": example, "class token": token}


@pytest.fixture(params=KINDS)
def model(request, rng):
    return nets.randomise(KINDS[request.param](), rng)


def test_what_is_opened_computes_the_same_and_sums_are_exact(model, rng):
    images = nets.images(rng, 3, model)
    assert_recorded(model, images)
    assert_exact(model, images, rng)


def test_evidence_lies_on_a_grid_of_patches(model, rng):
    images = nets.images(rng, 2, model)
    for fixations in trace(model, images, 1):
        assert fixations.net.shape == (SIDE // PATCH, SIDE // PATCH)
        rows, columns = np.nonzero(fixations.net > 0)
        seen = set(zip(*(fixations.points // PATCH).T.tolist(), strict=True))
        assert seen <= set(zip(rows.tolist(), columns.tolist(), strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_points(model, rng, method):
    found = trace(model, nets.images(rng, 2, model), 1, method=method)
    assert all(len(fixations.points) for fixations in found)


def test_a_photo_is_traced(model):
    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    traced = trace_photo(of_model(model, "vit", "unit", "squeeze"), pixels, [2], ["evidence", "occlusion"])
    assert 2 in [target.neuron[0] for target in traced.targets]
    (evidence, occlusion) = traced.targets[0].explanations
    assert evidence.fixations.shape == (30, 40)
    assert occlusion.map.max() > 0


def test_the_command_traces_a_function_of_ones_own(tmp_path, monkeypatch):
    from gazeback.grounding.commands.main import gazeback

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(
        tmp_path / "p.png"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "my_vit", sys.modules[__name__])
    result = CliRunner().invoke(gazeback, ["trace", "p.png", "--model", "my_vit:example", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["targets"][0]["methods"]["evidence"]["points"]


@pytest.fixture(scope="module")
def example_of_scenes():
    """What examples/vision_transformer.py defines."""
    return SimpleNamespace(**runpy.run_path(str(EXAMPLE)))


@pytest.fixture(scope="module")
def trained(example_of_scenes):
    """A network that the example trained."""
    here = example_of_scenes
    yield here.trained(0, here.scenes(here.TRAINING, 1500))
    keras.backend.clear_session()


def test_the_examples_table_has_a_row_for_each_method_and_a_column_for_each_network(example_of_scenes):
    here = example_of_scenes
    untrained, few = here.vision_transformer(), here.scenes(here.FRESH, 2)
    asked = ["evidence", here.EVIDENCE_PER_PATCH, "chefer", here.GRADIENT_PER_PATCH]
    lines = here.table([untrained, untrained], few, asked).split("\n")
    assert [line.count("|") for line in lines] == [6] * 6
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {method}" for method in asked]


@pytest.mark.slow
def test_evidence_points_at_the_thing_of_the_class_at_least_as_often_as_attention(example_of_scenes, trained):
    here = example_of_scenes
    fresh = here.scenes(here.FRESH, 100)
    assert here.accuracy(trained, fresh) >= 0.95
    asked = ["evidence", *here.OF_ATTENTION, *here.OF_GRADIENTS]
    lies = {method: here.points(method, trained, fresh).mean(axis=0) for method in asked}
    own, other = lies.pop("evidence")
    assert own >= max(0.95, *(of_method[0] for of_method in lies.values())), lies
    assert other <= 0.02
