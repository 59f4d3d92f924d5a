"""Training: learns, survives being killed, reads only sound data, and says the same thing for the same
seed.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gazeback.models import load_captioner, show_and_tell
from gazeback.models.errors import DataError, UserError
from gazeback.models.training import train_captioner as training
from gazeback.models.training.batches import EncodedCaptions
from gazeback.models.training.captions_folder import read_captions_folder, read_everyday, together
from gazeback.models.training.objective import cross_entropy
from gazeback.models.training.views import view
from gazeback.models.vocabulary import Vocabulary

SETTINGS = training.Settings(
    encoder="tiny",
    weights=None,
    min_count=1,
    embedding_size=8,
    units=12,
    dropout=0.1,
    views=3,
    epochs=3,
    learning_rate=0.03,
    fine_tune_epochs=2,
    refine_epochs=0,
    fine_tune_after="first_bn",
    captions_per_batch=8,
    seed=7,
)


FROZEN_ONLY = replace(SETTINGS, fine_tune_epochs=0)


@pytest.fixture
def tiny(monkeypatch, request):
    """Let training build the tiny encoder in place of a real one."""
    conftest = request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    monkeypatch.setattr(training, "build_encoder", conftest.tiny_encoder)


def silent(what, done, total, loss):
    pass


def weights(captioner):
    return [array for layer in captioner.model.layers for array in layer.get_weights()]


def test_it_learns_and_writes_a_captioner(tiny, captions_folder, tmp_path):
    losses = []

    def report(what, done, total, loss):
        if what == "dev":
            losses.append(loss)

    out = tmp_path / "colours.keras"
    trained = training.train_captioner(captions_folder, out, SETTINGS, report)
    assert len(losses) == 5
    assert losses[-1] < losses[0] < np.log(len(trained.vocabulary)) * 1.1
    loaded = load_captioner(out)
    for a, b in zip(weights(trained), weights(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    photos = [view(path, 0, 16, 0) for path in sorted((captions_folder / "train").iterdir())]
    np.testing.assert_allclose(
        loaded.mean_features, loaded.features(np.stack(photos)).mean(axis=(0, 1, 2)), rtol=5e-3
    )


@pytest.mark.slow
def test_the_logits_have_the_temperature_with_the_lowest_dev_loss(tiny, captions_folder, tmp_path):
    run = training.Run(captions_folder, tmp_path, FROZEN_ONLY)
    views = run.activations(silent)
    run.phase(FROZEN_ONLY.plans()[0], views, silent)
    run.calibrate(views)
    words = run.model.get_layer(show_and_tell.WORD_LOGITS)
    best = words.get_weights()
    words.set_weights([array * 1.5 for array in best])
    assert run.calibrate(views) == pytest.approx(1.5, abs=0.03)
    for array, again in zip(best, words.get_weights(), strict=True):
        np.testing.assert_allclose(again, array, rtol=0.03)


def test_fine_tuning_changes_only_what_lies_behind_the_layer(tiny, captions_folder, tmp_path):
    def encoder_after(settings, name):
        captioner = training.train_captioner(captions_folder, tmp_path / name, settings, silent)
        return {layer.name: layer.get_weights() for layer in captioner.model.layers}

    frozen = encoder_after(FROZEN_ONLY, "frozen.keras")
    tuned = encoder_after(SETTINGS, "tuned.keras")
    for name in ("first", "first_bn"):
        for a, b in zip(frozen[name], tuned[name], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(frozen["last"][0], tuned["last"][0])


STOPS = [(3, 2), (2, 1)]  # (epochs of the phase, epoch): within each phase


@pytest.mark.slow
def test_stopped_in_either_phase_it_goes_on_and_ends_the_same(tiny, captions_folder, tmp_path):
    whole = training.train_captioner(captions_folder, tmp_path / "whole.keras", SETTINGS, silent)
    epochs = []

    def stopping(what, done, total, loss):
        if what == "dev":
            epochs.append((total, done))
            if (total, done) in STOPS:
                raise KeyboardInterrupt

    for _ in range(len(STOPS)):
        with pytest.raises(KeyboardInterrupt):
            training.train_captioner(captions_folder, tmp_path / "parts.keras", SETTINGS, stopping)
        assert not (tmp_path / "parts.keras").exists()
    parts = training.train_captioner(captions_folder, tmp_path / "parts.keras", SETTINGS, stopping)
    assert epochs == [(3, 1), (3, 2), (3, 3), (2, 1), (2, 2)]
    for a, b in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from conftest import tiny_encoder
from test_training import FROZEN_ONLY, training
training.build_encoder = tiny_encoder
def report(what, done, total, loss):
    if what == "frozen" and done > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)
training.train_captioner(sys.argv[1], sys.argv[2], FROZEN_ONLY, report)
"""


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_it_goes_on(tiny, captions_folder, tmp_path):
    out = tmp_path / "killed.keras"
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(captions_folder), str(out), str(here)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    killed = subprocess.run(command, capture_output=True, text=True, env=quiet)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    epochs = []
    training.train_captioner(
        captions_folder,
        out,
        FROZEN_ONLY,
        lambda what, done, *_: epochs.append(done) if what == "dev" else None,
    )
    assert epochs[0] == 2
    whole = training.train_captioner(captions_folder, tmp_path / "whole.keras", FROZEN_ONLY, silent)
    for a, b in zip(weights(load_captioner(out)), weights(whole), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_refining_never_ends_worse_than_it_began(tiny, captions_folder, tmp_path):
    """A restart at a rate that ruins everything leaves the weights as they were."""
    run = training.Run(captions_folder, tmp_path, replace(SETTINGS, refine_epochs=1))
    views = run.activations(silent)
    before = [array.copy() for layer in run.model.layers for array in layer.get_weights()]
    ruinous = replace(run.settings.plans()[-1], learning_rate=50.0)
    standing = run.phase(ruinous, views, silent)
    assert standing.best_epoch == 0
    after = [array for layer in run.model.layers for array in layer.get_weights()]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_settings_start_again(tiny, captions_folder, tmp_path):
    epochs = []
    for seed in (1, 2):
        settings = replace(FROZEN_ONLY, seed=seed, epochs=2)
        training.train_captioner(
            captions_folder,
            tmp_path / "x.keras",
            settings,
            lambda what, done, *_: epochs.append(done) if what == "dev" else None,
        )
    assert epochs == [1, 2, 1, 2]


def test_other_photos_and_captions_of_the_same_number_start_again(tiny, captions_folder, tmp_path):
    settings = replace(FROZEN_ONLY, epochs=2, patience=9)
    epochs = []

    def trained():
        epochs.clear()
        training.train_captioner(
            captions_folder, tmp_path / "x.keras", settings, lambda what, *_: epochs.append(what)
        )
        return epochs.count("dev")

    assert [trained(), trained()] == [2, 0]
    photo = captions_folder / "train" / "0.png"
    Image.fromarray(255 - np.asarray(Image.open(photo))).save(photo)
    assert trained() == 2
    file = captions_folder / "captions_train.json"
    file.write_text(file.read_text().replace("all of it is", "it is all", 1))
    assert trained() == 2


def test_it_stops_early_and_keeps_the_best_epoch(tiny, captions_folder, tmp_path):
    settings = replace(FROZEN_ONLY, epochs=60, learning_rate=0.1, patience=1)
    losses = []
    training.train_captioner(
        captions_folder,
        tmp_path / "x.keras",
        settings,
        lambda what, done, total, loss: losses.append(loss) if what == "dev" else None,
    )
    assert len(losses) < 60
    assert int(np.argmin(losses)) == len(losses) - 2


def test_unknown_fine_tuning_layers_are_refused(tiny, captions_folder, tmp_path):
    for layer, message in [
        ("none", "has no layer 'none'"),
        (None, "for the encoder tiny give --fine-tune-after LAYER, or --fine-tune-epochs 0"),
    ]:
        settings = replace(SETTINGS, fine_tune_after=layer)
        with pytest.raises(UserError, match=message):
            training.train_captioner(captions_folder, tmp_path / "x.keras", settings, silent)


def test_batches_hold_every_caption_once(captions_folder):
    train, _ = read_captions_folder(captions_folder)
    vocabulary = Vocabulary.from_captions([c for captions in train.captions for c in captions], min_count=1)
    captions = EncodedCaptions.of(train, vocabulary, max_words=20)
    random = np.random.default_rng(0)
    for batches in (captions.by_length(5), captions.by_length(5, random)):
        seen = []
        for batch in batches:
            for row, words, targets, weights_ in zip(
                batch.rows, batch.words, batch.targets, batch.weights, strict=True
            ):
                steps = int(weights_.sum())
                assert words[0] == vocabulary.start
                np.testing.assert_array_equal(words[1:steps], targets[: steps - 1])
                assert targets[steps - 1] == vocabulary.end
                assert not weights_[steps:].any()
                seen.append((int(batch.photos[row]), tuple(vocabulary.decode(targets[: steps - 1]))))
        expected = [(i, caption) for i, captions_ in enumerate(train.captions) for caption in captions_]
        assert sorted(seen) == sorted(expected)


def test_a_long_caption_is_cut_and_learns_no_end(captions_folder):
    train, _ = read_captions_folder(captions_folder)
    vocabulary = Vocabulary.from_captions([c for captions in train.captions for c in captions], min_count=1)
    captions = EncodedCaptions.of(train, vocabulary, max_words=3)
    assert {len(words) for words in captions.words} == {4, 5} - {5}
    assert all(vocabulary.end not in words for words in captions.words)


def test_cross_entropy_by_hand():
    logits = tf.math.log([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]])
    targets, loss_weights = tf.constant([[0, 1]]), tf.constant([[1.0, 0.0]])
    assert float(cross_entropy(logits, targets, loss_weights, 0.0)) == pytest.approx(np.log(2))
    smoothed = 0.9 * np.log(2) + 0.1 * (np.log(2) + 2 * np.log(4)) / 3
    assert float(cross_entropy(logits, targets, loss_weights, 0.1)) == pytest.approx(smoothed)


def test_views(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(view(path, 0, 16, 0), pixels)
    np.testing.assert_array_equal(view(path, 1, 16, 0), pixels[:, ::-1])
    crop = view(path, 2, 16, 0)
    assert crop.shape == (16, 16, 3)
    np.testing.assert_array_equal(crop, view(path, 2, 16, 0))
    assert not np.array_equal(crop, view(path, 2, 16, 1))


def broken_folders(folder: Path):
    """(what is done to the folder, what the error says)"""
    captions = folder / "captions_train.json"
    content = json.loads(captions.read_text())

    def write(value):
        captions.write_text(value if isinstance(value, str) else json.dumps(value))

    yield lambda: write("{"), r"captions_train\.json: not JSON"
    yield lambda: write([1]), r"captions_train\.json: not COCO's captions format"
    yield lambda: write(content | {"images": content["images"][1:]}), "a caption of image 0, which is not in"
    yield lambda: write(content | {"annotations": []}), "holds no captions"
    yield lambda: (write(content), (folder / "train" / "3.png").unlink()), r"3\.png: named in captions_train"
    yield lambda: captions.unlink(), "found no train split"


def test_broken_data_is_named(captions_folder):
    for damage, message in broken_folders(captions_folder):
        damage()
        with pytest.raises(DataError, match=message):
            read_captions_folder(captions_folder)
    with pytest.raises(DataError, match="expected a folder with"):
        read_captions_folder(captions_folder / "none")


def test_a_second_folder_is_learned_from_without_every_tenth_photo(captions_folder):
    train, _ = read_captions_folder(captions_folder)
    everyday, apart = read_everyday(captions_folder)
    assert apart.photos == train.photos[9:10]
    assert everyday.photos == train.photos[:9] + train.photos[10:]
    one_each = replace(everyday, captions=tuple(captions[:1] for captions in everyday.captions))
    both = together(train, one_each)
    assert both.photos == train.photos + everyday.photos
    assert both.captions[: len(train)] == train.captions
    assert both.captions[len(train) :] == tuple(captions[:1] * 2 for captions in everyday.captions)


def test_a_captioner_s_encoder_can_be_learned_from(tiny, captions_folder, tmp_path):
    first = training.train_captioner(captions_folder, tmp_path / "a.keras", SETTINGS, silent)
    plain = replace(FROZEN_ONLY, encoder=str(tmp_path / "a.keras"), every_word=False)
    second = training.train_captioner(captions_folder, tmp_path / "b.keras", plain, silent)
    assert show_and_tell.at_every_word(first.model)
    assert not show_and_tell.at_every_word(second.model)
    for name in ("first", "last"):
        for a, b in zip(
            first.model.get_layer(name).get_weights(), second.model.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_coco_layout(captions_folder):
    annotations = captions_folder / "annotations"
    annotations.mkdir()
    for split, name in (("train", "train2017"), ("dev", "val2017")):
        (captions_folder / f"captions_{split}.json").rename(annotations / f"captions_{name}.json")
        (captions_folder / split).rename(captions_folder / name)
    train, dev = read_captions_folder(captions_folder)
    assert (len(train), len(dev)) == (12, 4)
    assert train.captions[0] == (("a", "red", "photo"), ("all", "of", "it", "is", "red"))


def test_keras_dropout_seeds_are_part_of_the_checkpoint(tiny_captioner):
    """Otherwise a resumed run would draw other dropout masks than the uninterrupted one."""
    from gazeback.models.training.objective import Trainee

    model = tiny_captioner.model
    photos = keras.Model(model.get_layer("last").output, show_and_tell.of_photo(model))
    trainee = Trainee(photos, show_and_tell.decoder(model))
    assert sum("seed" in variable.path for variable in trainee.variables) >= 4
    assert isinstance(trainee.trainable[0], keras.Variable)
