"""``ground``: exact bookkeeping for every word, evidence in photo pixels, clear errors."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gazeback.cnn_trace import TraceError
from gazeback.grounding import ground, word_evidence
from gazeback.grounding.captions import ground_batch, preceding_contributions
from gazeback.grounding.commands.terminal import print_grounding
from gazeback.grounding.output.results import to_json
from gazeback.models.captioner import Captioner
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo

CAPTION = "a red and blue photo"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_each_word_adds_up_exactly(captioner: Captioner, photo: np.ndarray) -> None:
    grounding = ground(captioner, photo, CAPTION)
    assert [word.text for word in grounding.words] == CAPTION.split()
    for j, word in enumerate(grounding.words):
        assert word.logprob == word.visual + word.language
        assert word.visual_share == max(0.0, 1 - np.exp(-word.visual))
        assert len(word.preceding) == j
        assert word.known
        assert word.text not in dict(word.runners_up)
        assert word.fixations.shape == (40, 60)


@pytest.mark.parametrize(
    "how", [{}, {"methods": ("across",)}, {"looks": 2, "beam": 2}], ids=["traced", "a map", "two looks"]
)
def test_photos_in_a_batch_are_grounded_as_one_by_one(captioner: Captioner, register, how) -> None:
    register(across=lambda model, images, target: np.asarray(images[0], np.float32)[..., 0] / 255)
    rng = np.random.default_rng(3)
    photos = [Photo(rng.integers(0, 256, (40, 50 + i, 3), dtype=np.uint8), f"{i}") for i in range(5)]
    batch = [to_json(found) for found in ground_batch(captioner, photos, **how)]
    for found, photo in zip(batch, photos, strict=True):
        assert_same(found, to_json(ground(captioner, photo, **how)))
    assert len({json.dumps(one["words"]) for one in batch}) == len(photos)


def assert_same(one, other) -> None:
    """Equal, but for the last digits of floats: some processors round otherwise in a batch."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        assert_same(list(one.values()), list(other.values()))
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=2e-5, abs=1e-5)
    else:
        assert one == other


def test_a_photo_that_cannot_be_grounded_does_not_stop_its_batch(captioner: Captioner, photo) -> None:
    photos = [Photo(photo, "a"), Photo(photo, "b")]
    errors = list(ground_batch(captioner, photos, "!"))
    assert [type(error) for error in errors] == [UserError, UserError]


def test_the_scores_are_those_of_the_model(captioner: Captioner, photo: np.ndarray) -> None:
    grounding = ground(captioner, photo, CAPTION)
    ids = captioner.vocabulary.encode(CAPTION.split())
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    words = np.array([[captioner.vocabulary.start, *ids]], np.int32)
    logits = np.asarray(captioner.model({"image": small[None], "words": words}))[0, 1:]
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = logprobs[np.arange(len(ids)), ids]
    np.testing.assert_allclose([word.logprob for word in grounding.words], expected, atol=1e-5)
    total = expected.sum() + logprobs[-1, captioner.vocabulary.end]
    assert grounding.logprob == pytest.approx(total, abs=1e-5)


def test_language_is_what_the_mean_picture_would_say(captioner: Captioner, photo: np.ndarray) -> None:
    grounding = ground(captioner, photo, CAPTION)
    ids = captioner.vocabulary.encode(CAPTION.split())
    words = np.array([[captioner.vocabulary.start, *ids]], np.int32)
    mean = captioner.log_probabilities(captioner.mean_features[None], words)[0]
    expected = mean[np.arange(len(ids)), ids]
    np.testing.assert_allclose([word.language for word in grounding.words], expected, atol=1e-6)


def test_a_photo_like_the_mean_picture_adds_nothing(captioner: Captioner, photo: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    mean = captioner.features(small[None]).mean(axis=(0, 1, 2))
    same = Captioner(captioner.model, captioner.vocabulary, mean, "last", "same")
    for word in ground(same, photo, CAPTION).words:
        assert word.visual == pytest.approx(0, abs=1e-5)


def test_without_a_mean_picture_nothing_is_said_about_language(
    captioner: Captioner, photo: np.ndarray, tmp_path, capsys
) -> None:
    meanless = Captioner(captioner.model, captioner.vocabulary, None, "last", "meanless")
    grounding, measured = ground(meanless, photo, CAPTION), ground(captioner, photo, CAPTION)
    for word, other in zip(grounding.words, measured.words, strict=True):
        assert word.visual is word.language is word.visual_share is None
        assert word.logprob == pytest.approx(other.logprob, abs=1e-6)
        assert word.preceding == pytest.approx(other.preceding, abs=1e-5)
    paths = grounding.save(tmp_path)
    page = paths["html"].read_text()
    assert page.count("Visual share: not measured, as the captioner has no average picture.") == 5
    assert 'class="word habit' not in page
    (written,) = {word["visual_share"] for word in json.loads(paths["json"].read_text())["words"]}
    assert written is None
    print_grounding(grounding, paths["html"])
    printed = capsys.readouterr().out
    assert printed.count("not measured") == 5
    assert "language habit" not in printed


def test_a_generated_caption_is_the_one_that_beam_search_finds(
    captioner: Captioner, photo: np.ndarray
) -> None:
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    best = captioner.generate(small[None], beam=4)[0]
    grounding = ground(captioner, photo, beam=4)
    assert grounding.caption == " ".join(best.words)
    assert grounding.logprob == pytest.approx(best.logprob, abs=1e-4)


def test_points_of_the_photo_are_points_of_the_input(captioner: Captioner, photo: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    ids = captioner.vocabulary.encode(CAPTION.split())
    inside = word_evidence(captioner, small, ids, positions=[1])[0]
    on_photo = ground(captioner, photo, CAPTION).words[1].fixations
    expected = np.rint((inside.points + 0.5) * [40 / 16, 60 / 16] - 0.5)
    np.testing.assert_array_equal(on_photo.points, expected)
    np.testing.assert_allclose(on_photo.weights, inside.weights)


def test_words_asked_together_and_alone_have_the_same_evidence(captioner: Captioner) -> None:
    image = np.random.default_rng(2).uniform(0, 255, (16, 16, 3))
    ids = captioner.vocabulary.encode(CAPTION.split())
    for method in ("evidence", "fixations"):
        together = word_evidence(captioner, image, ids, method=method)
        for j, fixations in enumerate(together):
            alone = word_evidence(captioner, image, ids, positions=[j], method=method)[0]
            np.testing.assert_array_equal(alone.points, fixations.points)
            np.testing.assert_allclose(alone.weights, fixations.weights, rtol=1e-5)


def test_unknown_words_are_explained_and_marked(captioner: Captioner, photo: np.ndarray) -> None:
    words = ground(captioner, photo, "A red Zeppelin!").words
    assert [(word.text, word.known) for word in words] == [("a", True), ("red", True), ("zeppelin", False)]


@pytest.mark.parametrize("caption", ["", "  ", "?!"])
def test_a_caption_without_words_is_refused(captioner: Captioner, photo: np.ndarray, caption: str) -> None:
    with pytest.raises(UserError, match="has no words; give at least one word"):
        ground(captioner, photo, caption)


def test_bad_settings_are_refused(captioner: Captioner, photo: np.ndarray) -> None:
    with pytest.raises(UserError, match="beam must be at least 1, got 0"):
        ground(captioner, photo, beam=0)
    with pytest.raises(TraceError, match="unknown method 'lime'; choose one of evidence, fixations"):
        ground(captioner, photo, CAPTION, method="lime")
    with pytest.raises(TraceError, match="share must be above 0 and at most 1, got 0"):
        ground(captioner, photo, CAPTION, share=0)


def across(model, images, target):
    """A registered method: every word's map is the columns, weighted by the word's number."""
    photos, words = images
    assert words.shape == (len(photos), 5)
    columns = np.linspace(0, 1, photos.shape[2])
    return np.stack([np.tile(word * columns, (photos.shape[1], 1)) for _, word in target])


def test_several_methods_are_compared_word_by_word(captioner: Captioner, photo: np.ndarray, register) -> None:
    register(across=across)
    alone = ground(captioner, photo, CAPTION, method="fixations")
    exact = ground(captioner, photo, CAPTION)
    compared = ground(captioner, photo, CAPTION, methods=("across", "fixations", "evidence"))
    assert (compared.method, compared.methods) == ("fixations", ("across", "fixations", "evidence"))
    for one, other, word in zip(compared.words, alone.words, exact.words, strict=True):
        np.testing.assert_array_equal(one.fixations.points, other.fixations.points)
        np.testing.assert_array_equal(one.maps["evidence"].fixations.points, word.fixations.points)
        assert set(one.maps) == {"across", "evidence"}
        found = one.explanations(compared.methods)
        assert [explanation.method for explanation in found] == ["across", "fixations", "evidence"]
        assert found[0].fixations is None
        assert found[0].map.shape == (40, 60)
        assert found[0].map[:, -1].min() > 0.9 > 0.1 > found[0].map[:, 0].max()
        assert one.preceding == word.preceding, "the contributions come from the method that is exact"
    assert compared.logprob == exact.logprob
    assert exact.methods == ("evidence",)
    assert exact.words[0].maps == exact.words[0].preceding_by == {}


def test_methods_to_compare_are_checked(captioner: Captioner, photo: np.ndarray, register) -> None:
    register(across=across)
    with pytest.raises(UserError, match=r"methods: expected one or more of evidence, .*got 'magic'"):
        ground(captioner, photo, CAPTION, methods=["evidence", "magic"])
    message = r"share: an option of evidence, fixations, .*; name one of them beside across"
    with pytest.raises(UserError, match=message):
        ground(captioner, photo, CAPTION, methods=["across"], share=0.3)


def test_methods_that_need_no_rules_explain_alone(captioner: Captioner, photo: np.ndarray, register) -> None:
    register(across=across)
    found = ground(captioner, photo, CAPTION, methods=["across"])
    exact = ground(captioner, photo, CAPTION)
    assert (found.method, found.methods) == ("across", ("across",))
    for word, expected in zip(found.words, exact.words, strict=True):
        assert word.fixations is None
        (one,) = word.explanations(found.methods)
        assert one.map is not None
        assert (word.logprob, word.visual) == (expected.logprob, expected.visual)


def test_contributions_of_several_captions(captioner: Captioner, photo: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    captions = [captioner.vocabulary.encode(text.split()) for text in (CAPTION, "a blue")]
    found = preceding_contributions(captioner, small, captions)
    assert [values.shape for values in found] == [(5, 5), (2, 2)]
    for j, word in enumerate(ground(captioner, photo, CAPTION).words):
        np.testing.assert_allclose(found[0][j, :j], word.preceding, atol=1e-5)
        assert not found[0][j, j:].any()


def test_other_measures_of_the_words_before(captioner: Captioner, photo: np.ndarray, monkeypatch) -> None:
    monkeypatch.setattr("gazeback.grounding.preceding.entry_points", lambda group: [])
    words = ground(captioner, photo, CAPTION, preceding=True).words
    assert [len(word.preceding_by["removal"]) for word in words] == [0, 1, 2, 3, 4]
    ids = captioner.vocabulary.encode(["a", "red"])
    small = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    features, start = captioner.features(small[None]), captioner.vocabulary.start
    with_a = captioner.log_probabilities(features, np.array([[start, ids[0]]]))[0, 1, ids[1]]
    without = captioner.log_probabilities(features, np.array([[start]]))[0, 0, ids[1]]
    assert words[1].preceding_by["removal"] == (pytest.approx(with_a - without, abs=1e-5),)


def test_a_second_look_keeps_finer_net_maps_and_leaves_other_methods_alone(captioner, photo):
    one = ground(captioner, photo, CAPTION)
    two = ground(captioner, photo, CAPTION, methods=["evidence", "walk"], looks=2)
    assert {word.fixations.net.shape for word in one.words} == {
        word.fixations.net.shape for word in two.words
    }
    assert two.methods == ("evidence", "walk")


def test_a_second_look_reads_the_photo_itself_at_twice_the_size(captioner, photo):
    one, two = (ground(captioner, photo, CAPTION, looks=looks, finer=0) for looks in (1, 2))
    for first, second in zip(one.words, two.words, strict=True):
        assert first.preceding == pytest.approx(second.preceding)
        assert first.logprob == second.logprob
        if len(first.fixations) and len(second.fixations):
            sides = np.array([word.fixations.net.shape for word in (first, second)])
            assert (sides[1] >= sides[0] * 2 - 1).all()
            assert second.fixations.weights.sum() == pytest.approx(1)


class EveryWord:
    """A support that holds for every content word of the tiny captioner."""

    stems, frequency = np.arange(8), np.full(8, 0.5)

    def __call__(self, cues):
        return np.full(len(cues["logprob"]), 0.25)


def test_only_generated_words_have_a_support(make_captioner):
    captioner = make_captioner(16)
    captioner.support = EveryWord()
    photo = Photo(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8), "x.png")
    captioner.search = lambda features, **_: [[SimpleNamespace(words=("a", "red", "photo"))]]
    assert [word.support for word in ground(captioner, photo).words] == [None, 0.25, 0.25]
    given = ground(captioner, photo, "a red photo")
    assert [word.support for word in given.words] == [None, None, None]
