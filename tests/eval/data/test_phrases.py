import json
from collections import Counter

import numpy as np
import pytest

from gazeback.eval.data.image import Phrase, Sentence, Words
from gazeback.eval.data.phrases import PhraseData, phrase_mask
from gazeback.eval.subjects.captioner import model_input
from gazeback.models.errors import DataError, PhotoError
from gazeback.models.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("<start>", "<end>", "<unknown>", "a", "dog", "man", "'s", "hat", "cup"))


def words_of(text: str) -> Words:
    return Words.of(Sentence(tuple(text.split()), ()), VOCABULARY)


def phrase(text: str, first: int) -> Phrase:
    return Phrase(text, first, first + len(text.split()), ("other",), ())


def test_positions_follow_the_tokens_where_punctuation_vanishes():
    words = words_of("A dog , a man 's hat .")
    assert words.words == ("a", "dog", "a", "man", "'s", "hat")
    assert words.token_of == (0, 1, 3, 4, 5, 6)
    assert words.last_known(phrase("a man 's hat", 3), VOCABULARY.unknown) == 5


def test_the_last_word_in_the_vocabulary_is_asked():
    words = words_of("a dog zebra and zebra")
    assert words.last_known(phrase("a dog zebra", 0), VOCABULARY.unknown) == 1
    assert words.last_known(phrase("zebra", 4), VOCABULARY.unknown) is None


def test_a_phrase_of_punctuation_has_no_word():
    assert words_of("a ! dog").last_known(phrase("!", 1), VOCABULARY.unknown) is None


def test_what_cannot_be_used_is_counted(data_folder):
    data = PhraseData(data_folder, "dev")
    assert sorted(data.names()) == ["1_a.png", "2_b.png", "3_c.png"]
    assert len(data) == len(list(data)) == 3
    assert data.skipped == {"duplicated image": 1, "missing image": 1}


def test_photos_come_at_the_models_size_with_their_scale(data_folder):
    image = next(image for image in PhraseData(data_folder, "dev") if image.file_name == "1_a.png")
    pixels, scale = model_input(image.path, 64)
    assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.float32)
    assert scale == (2.0, 2.0)


def test_a_photo_that_is_none(data_folder):
    with pytest.raises(PhotoError, match=r"3_c\.png"):
        model_input(data_folder / "dev" / "3_c.png", 64)


def test_a_limit_counts_images(data_folder):
    assert len(PhraseData(data_folder, "dev", limit=2)) <= 2


def test_other_annotations_are_other_data(data_folder):
    before = PhraseData(data_folder, "dev").digest
    path = data_folder / "phrases_dev.json"
    assert PhraseData(data_folder, "dev").digest == before
    path.write_text(path.read_text() + " ")
    assert PhraseData(data_folder, "dev").digest != before


def test_no_photo_is_there(data_folder):
    for path in (data_folder / "dev").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="none of the 4 photos is there"):
        PhraseData(data_folder, "dev")


def test_boxes_are_scaled_to_the_input():
    boxed = Phrase("dog", 0, 1, ("animals",), ((0.0, 0.0, 2.0, 1.0),))
    mask = phrase_mask(boxed, (2.0, 3.0), 8, Counter())
    assert mask is not None
    assert np.argwhere(mask).max(axis=0).tolist() == [2, 3]
    assert mask.sum() == 12


def test_boxes_that_cover_nothing_are_counted():
    skipped: Counter[str] = Counter()
    outside = Phrase("dog", 0, 1, ("animals",), ((90.0, 0.0, 5.0, 5.0), (1.0, 1.0, 0.0, 4.0)))
    assert phrase_mask(outside, (1.0, 1.0), 8, skipped) is None
    assert phrase_mask(phrase("dog", 0), (1.0, 1.0), 8, skipped) is None
    assert skipped == {"box outside the photo or too thin": 2, "phrase without a box": 1}


def test_one_good_box_is_enough():
    skipped: Counter[str] = Counter()
    boxed = Phrase("dog", 0, 1, ("animals",), ((90.0, 0.0, 5.0, 5.0), (0.0, 0.0, 1.0, 1.0)))
    mask = phrase_mask(boxed, (1.0, 1.0), 8, skipped)
    assert mask is not None
    assert mask.sum() == 1
    assert skipped == {"box outside the photo or too thin": 1}


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match=r"no such data folder: .*nowhere"):
        PhraseData(tmp_path / "nowhere", "dev")


def test_a_wrong_split_names_the_right_ones(data_folder):
    with pytest.raises(DataError, match=r"no phrases_test.json in .*: its splits are dev"):
        PhraseData(data_folder, "test")


def test_a_folder_without_phrases(tmp_path):
    with pytest.raises(DataError, match=r"it has no phrases_SPLIT.json"):
        PhraseData(tmp_path, "dev")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not JSON"),
        ("{}", "not a list of images with file_name and sentences.*: expected a list, got an object"),
        ('[{"file_name": 3}]', r"\[0\].file_name: expected text, got a whole number"),
        ("[]", "no image in the all part"),
        (
            '[{"file_name": "x.png", "sentences": [{"phrases": []}]}]',
            r"\[0\].sentences\[0\]: 'sentence' is missing",
        ),
        (
            '[{"file_name": "x.png", "sentences": [{"sentence": "a", "phrases": 7}]}]',
            "phrases: expected a list",
        ),
    ],
)
def test_a_wrong_format_is_one_clear_line(tmp_path, content, message):
    (tmp_path / "phrases_dev.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        PhraseData(tmp_path, "dev")
    assert "\n" not in str(caught.value)


def test_a_box_of_three_numbers(tmp_path):
    broken = {"first_word": 0, "phrase": "a", "types": [], "boxes": [[1, 2, 3]]}
    entry = {"file_name": "x.png", "sentences": [{"sentence": "a", "phrases": [broken]}]}
    (tmp_path / "phrases_dev.json").write_text(json.dumps([entry]))
    with pytest.raises(DataError, match=r"boxes\[0\]: expected a list of length 4"):
        PhraseData(tmp_path, "dev")
