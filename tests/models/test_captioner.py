"""The captioner: its language half equals the whole model, its files come back whole, broken ones are
named.
"""

import json
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest

from gazeback.models import show_and_tell
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.errors import ModelError
from gazeback.models.language_half import PrefixSteps, ShowAndTellSteps

WORDS = np.array([[0, 3, 4, 8], [0, 5, 5, 2], [0, 7, 3, 6]])


def whole_model(captioner, images, words):
    """log p(next word) ``[n, T, V]`` by the functional model from pixels to logits."""
    logits = captioner.model([images, words.astype(np.int32)])
    return np.array(keras.ops.log_softmax(logits))[:, 1:]


def other_architecture(captioner):
    """The same captioner with a GRU, which the NumPy steps do not know."""
    encoder = captioner.model.get_layer("last").output
    words = keras.Input((None,), dtype="int32", name="words")
    x = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(encoder))
    x = keras.layers.Reshape((1, 5))(x)
    x = keras.layers.Concatenate(axis=1)([x, keras.layers.Embedding(9, 5)(words)])
    x = keras.layers.GRU(6, return_sequences=True)(x)
    model = keras.Model([captioner.model.inputs[0], words], keras.layers.Dense(9)(x))
    return Captioner(model, captioner.vocabulary, captioner.mean_features, "last", "other")


def test_log_probabilities_equal_the_whole_model(tiny_captioner, images):
    expected = whole_model(tiny_captioner, images, WORDS)
    features = tiny_captioner.features(images)
    assert features.shape == (3, 4, 4, 8)
    assert isinstance(tiny_captioner._steps, ShowAndTellSteps)
    np.testing.assert_allclose(tiny_captioner.log_probabilities(features, WORDS), expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(expected).sum(-1), 1, atol=1e-5)
    pooled = features.mean((1, 2))
    np.testing.assert_allclose(tiny_captioner.log_probabilities(pooled, WORDS), expected, atol=1e-5)


def test_another_architecture_runs_through_keras(tiny_captioner, images):
    other = other_architecture(tiny_captioner)
    assert isinstance(other._steps, PrefixSteps)
    expected, features = whole_model(other, images, WORDS), other.features(images)
    np.testing.assert_allclose(other.log_probabilities(features, WORDS), expected, atol=1e-5)
    np.testing.assert_allclose(other.log_probabilities(features.mean((1, 2)), WORDS), expected, atol=1e-5)
    assert len(other.generate(images, beam=2, max_words=4)) == 3


@pytest.mark.parametrize("change", [{"go_backwards": True}, {"activation": "relu"}, {"use_bias": False}])
def test_numpy_steps_are_for_the_plain_lstm_only(tiny_captioner, change):
    config = tiny_captioner.model.get_layer("lstm").get_config() | change
    by_name = {layer.name: layer for layer in tiny_captioner.model.layers}
    by_name["lstm"] = keras.layers.LSTM.from_config(config)
    fake = type("Model", (), {"layers": list(by_name.values())})
    assert ShowAndTellSteps.of(fake) is None


def test_generated_captions_carry_their_own_log_probabilities(tiny_captioner, images):
    for image, caption in zip(images, tiny_captioner.generate(images, beam=3, max_words=6), strict=True):
        ids = [tiny_captioner.vocabulary.start, *caption.ids, tiny_captioner.vocabulary.end]
        log_p = whole_model(tiny_captioner, image[None], np.array([ids[:-1]]))[0]
        np.testing.assert_allclose(caption.logprobs, log_p[np.arange(len(ids) - 1), ids[1:]], atol=1e-4)
        assert caption.logprob == pytest.approx(sum(caption.logprobs))
        assert caption.words == tuple(tiny_captioner.vocabulary.decode(caption.ids))
        assert str(caption) == " ".join(caption.words)
        assert "<unknown>" not in caption.words


def test_words_of_once_are_said_once(tiny_captioner, images):
    every = tuple(range(3, len(tiny_captioner.vocabulary)))
    for caption in replace(tiny_captioner, once=every).generate(images, max_words=5):
        assert len(set(caption.ids)) == len(caption.ids)


def test_a_beam_of_one_is_greedy_search(tiny_captioner, images):
    for image, (caption,) in zip(
        images, tiny_captioner.search(tiny_captioner.features(images), beam=1, max_words=6), strict=True
    ):
        ids = [tiny_captioner.vocabulary.start, *caption.ids]
        best = whole_model(tiny_captioner, image[None], np.array([ids]))[0].argmax(axis=-1).tolist()
        assert best[: len(caption.ids)] == list(caption.ids)
        assert len(caption.ids) == 6 or best[-1] == tiny_captioner.vocabulary.end


def test_decoder_shares_the_captioners_layers(tiny_captioner, images):
    model = tiny_captioner.model
    decoder = show_and_tell.decoder(model)
    of_photo = keras.Model(model.inputs[0], show_and_tell.of_photo(model))(images)
    logits = decoder([*keras.tree.flatten(of_photo), keras.ops.convert_to_tensor(WORDS)])
    np.testing.assert_allclose(logits, model([images, WORDS]), atol=1e-5)
    assert decoder.get_layer("lstm") is tiny_captioner.model.get_layer("lstm")


def test_saved_and_loaded_it_is_the_same(tiny_captioner, images, tmp_path):
    path = tmp_path / "tiny.keras"
    tiny_captioner = replace(tiny_captioner, once=(4, 5))
    tiny_captioner.save(path)
    loaded = load_captioner(path)
    assert loaded.once == (4, 5)
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.keras"]
    assert loaded.vocabulary == tiny_captioner.vocabulary
    assert (loaded.name, loaded.features_layer, loaded.image_size) == ("tiny", "last", 16)
    np.testing.assert_array_equal(loaded.mean_features, tiny_captioner.mean_features)
    np.testing.assert_allclose(
        whole_model(loaded, images, WORDS), whole_model(tiny_captioner, images, WORDS), atol=1e-5
    )
    assert keras.models.load_model(path, compile=False).output.shape == (None, None, 9)


def test_wrong_shapes_are_refused(tiny_captioner, images):
    with pytest.raises(ValueError, match=r"expected images of shape \[n, 16, 16, 3\], got \(3, 15, 16, 3\)"):
        tiny_captioner.features(images[:, :15])
    with pytest.raises(ValueError, match=r"expected words \[n, T\] for 2 images, got shape \(3, 4\)"):
        tiny_captioner.log_probabilities(np.zeros((2, 8)), WORDS)
    with pytest.raises(ValueError, match=r"expected feature maps .* got shape \(3, 8, 1\)"):
        tiny_captioner.log_probabilities(np.zeros((3, 8, 1)), WORDS)
    with pytest.raises(ModelError, match=r"ends in \.keras"):
        tiny_captioner.save("captioner.h5")


def rewrite(path, change):
    """Replace the captioner member of a saved file by what ``change`` makes of its contents."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda members: members.pop("gazeback.npz"), "not a captioner; expected a .keras file trained by"),
        (lambda members: members.update({"gazeback.npz": b"zero"}), "gazeback.npz: no complete zip archive"),
        (lambda members: members.update({"config.json": b"{}"}), "Keras cannot load it"),
        (lambda members: members.update({"model.weights.h5": b"zero"}), "Keras cannot load it"),
        (lambda members: members.pop("config.json"), "a zip archive without config.json"),
    ],
)
def test_broken_files_are_named_in_one_line(tiny_captioner, tmp_path, change, message):
    path = tmp_path / "broken.keras"
    tiny_captioner.save(path)
    rewrite(path, change)
    with pytest.raises(ModelError, match=message) as error:
        load_captioner(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_vocabulary_that_does_not_fit_is_named(tiny_captioner, tmp_path):
    smaller = type(tiny_captioner.vocabulary)(tiny_captioner.vocabulary.words[:-1])
    broken = Captioner(tiny_captioner.model, smaller, tiny_captioner.mean_features, "last", "tiny")
    broken.save(tmp_path / "x.keras")
    with pytest.raises(ModelError, match=r"8 words and mean features of shape .* for a model with 9 words"):
        load_captioner(tmp_path / "x.keras")


def test_files_that_are_no_captioners(tmp_path):
    text = tmp_path / "text.keras"
    text.write_text("not a zip")
    empty = tmp_path / "empty.keras"
    empty.touch()
    for path, message in [
        (tmp_path / "none.keras", "no such file"),
        (tmp_path, "a folder; expected"),
        (text, "no complete zip archive"),
        (empty, "no complete zip archive"),
    ]:
        with pytest.raises(ModelError, match=message):
            load_captioner(path)


def test_a_file_with_python_code_is_refused(tiny_captioner, tmp_path):
    """Keras' safe mode: a Lambda layer's code is never run."""
    path = tmp_path / "lambda.keras"
    tiny_captioner.save(path)

    def put_code(members):
        config = json.loads(members["config.json"])
        layer = next(x for x in config["config"]["layers"] if x["name"] == "feature_dropout")
        code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
        layer.update(class_name="Lambda", config={"name": "feature_dropout", "function": code})
        members["config.json"] = json.dumps(config).encode()

    rewrite(path, put_code)
    with pytest.raises(ModelError, match="Keras cannot load it"):
        load_captioner(path)
