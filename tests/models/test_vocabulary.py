import pytest

from gazeback.models.vocabulary import Vocabulary, tokenize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man's T-shirt , in (bright) red .", "a man 's t-shirt in bright red"),
        ("Two dogs run. They bark!", "two dogs run they bark"),
        ('He says "hello," then leaves...', "he says hello then leaves"),
        ("A man\u2019s hat", "a man 's hat"),
        ("black-and-white photo - of 2 cats", "black-and-white photo of 2 cats"),
        ("  ...  ", ""),
    ],
)
def test_tokenize(text, words):
    assert tokenize(text) == words.split()


def test_vocabulary_keeps_frequent_words_in_order():
    captions = [["a", "dog"], ["a", "cat"], ["a", "dog"], ["the", "bat"], ["the", "bat"]]
    vocabulary = Vocabulary.from_captions(captions, min_count=2)
    assert vocabulary.words == ("<start>", "<end>", "<unknown>", "a", "bat", "dog", "the")
    assert vocabulary.encode(["the", "cat", "<end>"]) == [6, vocabulary.unknown, vocabulary.unknown]
    assert vocabulary.decode([3, 5]) == ["a", "dog"]
    assert "dog" in vocabulary
    assert "cat" not in vocabulary
    assert "<end>" not in vocabulary
    assert len(vocabulary) == 7


def test_words_that_hardly_a_caption_says_twice():
    captions = ["a dog and a dog", *["a cat and a dog"] * 20, "a a cat cat"]
    captions = [caption.split() for caption in captions]
    vocabulary = Vocabulary.from_captions(captions, 1)
    assert vocabulary.decode(vocabulary.said_once(captions)) == ["cat", "dog", "and"]


def test_encode_and_decode_are_inverse():
    vocabulary = Vocabulary.from_captions([["a", "b", "c"]], min_count=1)
    assert vocabulary.decode(vocabulary.encode(["c", "a", "b"])) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b", "c"), "starts with <start>"),
        (("<start>", "<end>", "<unknown>", "a", "a"), "'a' comes twice"),
    ],
)
def test_a_wrong_word_list_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(words)
