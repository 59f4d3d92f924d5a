"""A wrapped captioner in a file: the same numbers when it is loaded, or one line on what stays out."""

import keras
import numpy as np
import pytest
from keras import layers
from twins.own_captioners import (
    CHANNELS,
    IDS,
    INDEX,
    KINDS,
    SIDE,
    START,
    attention_by_steps,
    merge,
    photo,
    scaled,
)
from twins.published_captioners import PUBLISHED

from gazeback.grounding import ground
from gazeback.models import load_captioner, wrap_captioner
from gazeback.models.errors import ModelError

STORED = (
    "merge", "merge, joined", "init-inject", "subclassed, one argument", "cell by steps, own zeros",
)  # fmt: skip
MORE = ("decoder model with states", "two features")


def wrapped(own, **more):
    arguments = own.arguments | {"preprocess": scaled, "mean": [photo(8)]} | more
    return wrap_captioner(**arguments, tokenizer=INDEX)


def check_loaded(mine, path):
    mine.save(path)
    again = load_captioner(path)
    images = np.stack([photo(i) for i in range(2)]).astype(np.float32)
    words = np.array([[START, *IDS]] * 2)
    expected = mine.log_probabilities(mine.features(images), words)
    np.testing.assert_allclose(again.log_probabilities(again.features(images), words), expected, atol=1e-5)
    np.testing.assert_array_equal(again.mean_features, mine.mean_features)
    assert (again.name, again.vocabulary, again.limit) == (mine.name, mine.vocabulary, mine.limit)
    assert (again.features_layer is None) == (mine.features_layer is None)
    one, two = (ground(captioner, photo(3), "a red dog") for captioner in (mine, again))
    for a, b in zip(one.words, two.words, strict=True):
        assert a.visual == pytest.approx(b.visual, abs=1e-4)
        np.testing.assert_allclose(a.preceding, b.preceding, atol=1e-3)


@pytest.mark.parametrize("kind", [*STORED, *MORE])
def test_it_is_loaded_as_it_was_saved(kind, tmp_path):
    check_loaded(wrapped((KINDS | PUBLISHED)[kind]()), tmp_path / "mine.keras")


@pytest.mark.parametrize("name", ["vgg16", "inception_v3", "mobilenet_v3", None])
def test_preprocessing_is_stored_as_numbers(name, tmp_path):
    mine = wrapped(merge(), preprocess=name)
    mine.save(tmp_path / "mine.keras")
    again = load_captioner(tmp_path / "mine.keras")
    pixels = photo(1)[None].astype(np.float32)
    np.testing.assert_allclose(again.model_input(pixels), mine.model_input(pixels), atol=1e-4)


class Project(layers.Layer):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.dense = layers.Dense(CHANNELS)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)


def test_layers_of_ones_own_are_stored_where_keras_knows_them(tmp_path):
    own = merge()
    vectors = own.arguments["encoder"]
    encoder = keras.Model(vectors.input, Project()(vectors.output))
    mine = wrapped(own, encoder=encoder, name="theirs")
    with pytest.raises(ModelError, match=r"theirs: cannot be saved: its part Project is code .*; register"):
        mine.save(tmp_path / "mine.keras")
    assert list(tmp_path.iterdir()) == []
    with keras.saving.custom_object_scope({"Project": Project}):
        check_loaded(mine, tmp_path / "mine.keras")


def test_what_a_file_cannot_hold_is_one_line(tmp_path):
    mine = wrapped(merge(), preprocess=lambda x: (x / 255) ** 2)
    with pytest.raises(ModelError, match=r"preprocess: it does more than scale and shift .* --model package"):
        mine.save(tmp_path / "mine.keras")
    with pytest.raises(ModelError, match=r"mine.h5: a captioner is stored in a file that ends in .keras"):
        wrapped(merge()).save(tmp_path / "mine.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["about", "matrix"])
def test_a_broken_file_is_told(content, tmp_path):
    import io
    import zipfile

    path = tmp_path / "mine.keras"
    wrapped(merge()).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    arrays = dict(np.load(io.BytesIO(members["wrapped.npz"])))
    arrays[content] = np.array('{"name": 3}') if content == "about" else np.full((3, 3), np.nan)
    member = io.BytesIO()
    np.savez_compressed(member, **arrays)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (members | {"wrapped.npz": member.getvalue()}).items():
            archive.writestr(name, data)
    message = "not a captioner: name: expected text" if content == "about" else "numbers are not finite"
    with pytest.raises(ModelError, match=message):
        load_captioner(path)


def test_steps_for_one_image_are_searched_row_by_row(tmp_path):
    mine = wrapped(attention_by_steps())
    mine.save(tmp_path / "mine.keras")
    again = load_captioner(tmp_path / "mine.keras")
    features = mine.features(np.stack([photo(i) for i in range(2)]).astype(np.float32))
    assert features.shape[1:3] == (5, 5)
    assert mine.image_size == again.image_size == SIDE
    found = again.search(features, beam=3, max_words=4)
    expected = mine.search(features, beam=3, max_words=4)
    assert [[c.ids for c in row] for row in found] == [[c.ids for c in row] for row in expected]
