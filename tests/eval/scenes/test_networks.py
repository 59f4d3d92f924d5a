"""The small captioners of scenes: the same kind as any other captioner."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from gazeback.eval.scenes import quality, train_scenes
from gazeback.eval.scenes.captions import ENDINGS, FUNCTION_WORDS, RELATIONS, Word, fixed, right
from gazeback.eval.scenes.drawing import SHAPES
from gazeback.eval.scenes.scenes import COLOURS, SIDE, SIZES, scene
from gazeback.eval.tasks.words import visual_nats
from gazeback.grounding import ground
from gazeback.grounding.commands.train import train
from gazeback.models import bundled, scene_networks
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.errors import ModelError, UserError

LIMIT = 1_000_000


def test_all_words_are_known():
    vocabulary = scene_networks.vocabulary()
    words = (*FUNCTION_WORDS, *RELATIONS, *SIZES, *COLOURS, *SHAPES, *ENDINGS, *ENDINGS.values())
    assert set(scene_networks.WORDS) == set(words)
    assert all(word in vocabulary for word in words)
    assert len(vocabulary) == len(words) + 3
    assert scene_networks.SIDE == SIDE


def test_grounding_explains_either_head_word_by_word(captioner: Captioner):
    s = scene(1, 0)
    caption = fixed(s)[0]
    grounding = ground(captioner, s.pixels, " ".join(word.text for word in caption))
    assert [word.text for word in grounding.words] == [word.text for word in caption]
    ids = captioner.vocabulary.encode(word.text for word in caption)
    features = captioner.features(s.pixels[None])
    visual = visual_nats(captioner, features, [ids])[0]
    np.testing.assert_allclose([word.visual for word in grounding.words], visual, atol=1e-4)
    words = np.array([[captioner.vocabulary.start, *ids[:-1]]])
    logits = captioner.model.predict_on_batch([s.pixels[None].astype(np.float32), words])[0, 1:]
    expected = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    found = [word.logprob for word in grounding.words]
    np.testing.assert_allclose(found, expected[np.arange(len(ids)), ids], atol=1e-4)


def test_a_bundled_file_is_the_captioner_in_half_precision(captioner: Captioner, tmp_path):
    head = captioner.name.removeprefix("untrained-")
    file = bundled.write_scenes(captioner.model, captioner.mean_features, head, tmp_path)
    assert file.stat().st_size < LIMIT
    assert list(tmp_path.iterdir()) == [file]
    loaded = Captioner(**bundled.load_scenes(head, tmp_path))
    for found, expected in zip(loaded.model.get_weights(), captioner.model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(loaded.mean_features, captioner.mean_features, atol=1e-3)


def test_a_missing_file_or_head_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"gap\.npz: no such file; expected the bundled captioner of scenes"):
        bundled.load_scenes("gap", tmp_path)
    with pytest.raises(ModelError, match="unknown head 'max' of a captioner of scenes"):
        bundled.load_scenes("max", tmp_path)


@pytest.mark.parametrize(("head", "things", "words"), [("gap", 0.9, 0.95), ("flatten", 0.75, 0.85)])
def test_the_bundled_captioners_describe_scenes_that_nobody_learned_from(
    head: str, things: float, words: float
):
    captioner = load_captioner(f"scenes-{head}")
    assert captioner.name == f"scenes-{head}"
    assert (bundled.WEIGHTS / f"scenes-{head}.npz").stat().st_size < LIMIT
    found = quality.summarise(quality.evaluate(captioner, (scene(9, index) for index in range(12))))
    assert found["things"].mean > things
    assert found["words"].mean > words


def test_the_bundled_captioners_share_their_convolutions():
    """Which see a thing in its middle: a head that reads every place apart would not need that."""
    gap, flatten = (bundled.load_scenes(head)["model"] for head in scene_networks.HEADS)
    for name in scene_networks.ENCODER:
        for layer in (name, f"{name}_bn"):
            weights = zip(
                gap.get_layer(layer).get_weights(), flatten.get_layer(layer).get_weights(), strict=True
            )
            assert all(np.array_equal(one, other) for one, other in weights)


def test_quality_of_a_captioner_that_knows_nothing_or_all(captioner: Captioner):
    (record,) = quality.evaluate(captioner, [scene(1, 0)])
    assert record["name"] == "scene-1-00000"
    assert quality.summarise([record])["perplexity"] > 2
    truths = right(scene(1, 0))
    assert record["right"] == (tuple(record["caption"].split()) in truths)


def test_sequences_start_with_the_image_and_end_with_the_end():
    vocabulary = scene_networks.vocabulary()
    captions = [
        (Word("look", "chance"), Word("a", "function")),
        (Word("see", "chance"), Word("a", "function"), Word("big", "size", (1,))),
    ]
    words, targets, weights = train_scenes.sequences(captions, vocabulary)
    look, see, a, big = vocabulary.encode(["look", "see", "a", "big"])
    start, end = vocabulary.start, vocabulary.end
    assert words.tolist() == [[start, look, a, end], [start, see, a, big]]
    assert targets.tolist() == [[end, look, a, end, end], [end, see, a, big, end]]
    assert weights.tolist() == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 1]]


def test_words_that_are_about_nothing_are_not_learned():
    red = (Word("a", "function"), Word("red", "colour"), Word("blue", "colour", (0,)), Word("here", "habit"))
    _, _, weights = train_scenes.sequences([red], scene_networks.vocabulary())
    assert weights.tolist() == [[0, 1, 0, 1, 1, 1]]


def test_some_captions_to_learn_from_begin_with_a_thing_of_another_scene():
    known, vocabulary = [scene(0, index) for index in range(40)], scene_networks.vocabulary()
    material = train_scenes.Material(known, vocabulary, batch=40, seed=0)
    batches = [material[0] for _ in range(5)]
    things = vocabulary.encode([*COLOURS, *SHAPES, *SIZES])
    unlearned = [
        (np.isin(targets[train_scenes.CAPTIONS], things) & (weights[train_scenes.CAPTIONS] == 0)).sum(axis=1)
        for _, targets, weights in batches
    ]
    assert set(np.concatenate(unlearned)) == {0, 3}
    assert 0.25 < np.mean(np.concatenate(unlearned) == 3) < 0.55


def test_facts_of_a_scene():
    s = scene(1, 0)
    found = train_scenes.facts(s).reshape(len(COLOURS), -1)
    assert found.any(axis=1).sum() == len(s.things)
    for thing in s.things:
        row = found[list(COLOURS).index(thing.colour)]
        assert row[:6].sum() == row[6:8].sum() == 1
        assert row[8] == (thing.row > 0.33 * SIDE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")  # of Keras' saving
def test_training_writes_a_captioner_that_can_be_loaded(tmp_path):
    out = tmp_path / "tiny.keras"
    options = [
        "--head",
        "flatten",
        "--out",
        str(out),
        "--scenes",
        "48",
        "--epochs",
        "1",
        "--refine-epochs",
        "1",
        "--json",
    ]
    result = CliRunner().invoke(train, ["scenes", *options], catch_exceptions=False)
    assert json.loads(result.stdout)["words"] == len(scene_networks.WORDS) + 3
    captioner = load_captioner(out)
    features = captioner.features(np.stack([scene(0, index).pixels for index in range(48)]))
    np.testing.assert_allclose(captioner.mean_features, features.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_training_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.*: there is no such folder to write to"):
        train_scenes.train_scenes("gap", tmp_path / "nowhere" / "a.keras", train_scenes.Settings(), print)
    with pytest.raises(UserError, match=r"expected a file that ends in \.keras"):
        CliRunner().invoke(
            train, ["scenes", "--head", "gap", "--out", "a.h5"], catch_exceptions=False, standalone_mode=False
        )


@pytest.mark.slow
def test_a_short_training_learns_colours(tmp_path):
    settings = train_scenes.Settings(scenes=1500, epochs=7, refine_epochs=1)
    captioner = train_scenes.trained("gap", settings, lambda *_: None, "short")
    found = quality.summarise(quality.evaluate(captioner, (scene(9, index) for index in range(20))))
    assert found["perplexity"] < 2.5
    assert found["words"].mean > 0.6
