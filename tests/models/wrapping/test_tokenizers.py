"""Every kind of tokenizer gives the same words; special words anywhere or nowhere."""

import json
from types import SimpleNamespace

import keras
import pytest
from twins.own_captioners import INDEX, WORDS

from gazeback.models.caption_generator import NO_WORD
from gazeback.models.errors import ModelError, UserError
from gazeback.models.wrapping.tokenizers import read, words_of

SPECIAL = {"start": "startseq", "end": "endseq", "unknown": None, "pad": 0}


def keras_tokenizer(**config):
    return {"class_name": "Tokenizer", "config": {"word_index": json.dumps(INDEX), **config}}


def vectorization():
    layer = keras.layers.TextVectorization(max_tokens=20)
    layer.set_vocabulary(list(WORDS))
    return layer


@pytest.mark.parametrize(
    "tokenizer",
    [
        INDEX,
        {number: word for word, number in INDEX.items()},
        ["", *WORDS],
        [None, *WORDS],
        keras_tokenizer(),
        json.dumps(keras_tokenizer()),
        SimpleNamespace(word_index=INDEX, num_words=None, oov_token=None),
    ],
)
def test_kinds_of_tokenizers_number_alike(tokenizer):
    words = words_of(read(tokenizer), len(WORDS) + 1, **SPECIAL)
    assert words.words == ("", *WORDS)
    assert (words.start, words.end, words.unknown, words.pad) == (1, 2, NO_WORD, 0)
    assert words.encode(["a", "dog"]) == [INDEX["a"], INDEX["dog"]]
    assert words.decode([INDEX["cat"]]) == ["cat"]
    assert "dog" in words
    assert "startseq" not in words


def test_a_tokenizer_in_a_file(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(keras_tokenizer()))
    assert read(path) == read(str(path)) == read(INDEX)


@pytest.mark.parametrize("scores", [len(WORDS) + 2, 20])
def test_text_vectorization_has_padding_and_an_unknown_word(scores):
    words = words_of(read(vectorization()), scores, **SPECIAL)
    assert words.words[:3] == ("", "[UNK]", "startseq")
    assert (words.unknown, len(words)) == (1, scores)
    assert words.encode(["zebra"]) == [1]


def test_string_lookup():
    layer = keras.layers.StringLookup(vocabulary=list(WORDS))
    words = words_of(read(layer), len(WORDS) + 1, **SPECIAL)
    assert (words.words[0], words.unknown) == ("[UNK]", 0)


def test_a_tokenizer_that_keeps_its_most_frequent_words():
    words = words_of(read(keras_tokenizer(num_words=5, oov_token="a")), 5, **SPECIAL)
    assert words.words == ("", *WORDS[:4])
    assert words.encode(["runs"]) == [INDEX["a"]]


def test_special_words_stand_anywhere_or_nowhere():
    given = {"start": 4, "end": None, "unknown": "oov", "pad": "pad"}
    words = words_of(read(["a", "oov", "dog", "pad", "go"]), 5, **given)
    assert (words.start, words.end, words.unknown, words.pad) == (4, NO_WORD, 1, 3)


def test_captions_are_split_as_the_vocabulary_knows_their_words():
    tokenizer = ["", "startseq", "endseq", "t-shirt", "a", "man's", "black", "white"]
    words = words_of(read(tokenizer), 8, **SPECIAL)
    assert words.tokenize("A man's t-shirt, black-white!") == ["a", "man's", "t-shirt", "black", "white"]
    assert words.tokenize("startseq a (zebra) endseq") == ["a", "zebra"]
    assert words.tokenize(" .. ") == []


def test_a_word_that_nobody_knows_is_told_with_close_ones():
    words = words_of(read(INDEX), len(WORDS) + 1, **SPECIAL)
    with pytest.raises(UserError, match=r"'dogs' is none of the captioner's 9 words, .*close words: dog"):
        words.encode(["dogs"])


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (3, "tokenizer: expected a dict of words to numbers, a list of words, .*; got a int"),
        ({}, "tokenizer: an empty dict"),
        ({"a": "x", "b": 1}, "a dict that is not of words to numbers"),
        ({"a": 1, "b": 1}, "two words have the same number"),
        ("none.json", "none.json: no such file"),
        ("{", "tokenizer: not JSON"),
        ({"config": {}}, 'its JSON has no "word_index"'),
        (keras.layers.TextVectorization(), "has no words yet; call its adapt or set_vocabulary first"),
    ],
)
def test_what_is_no_tokenizer(tokenizer, message):
    with pytest.raises(ModelError, match=message):
        read(tokenizer)


@pytest.mark.parametrize(
    ("scores", "special", "message"),
    [
        (
            50,
            {},
            "scores 50 words and the tokenizer numbers 10 .* pass the tokenizer that it was trained with",
        ),
        (6, {}, "scores 6 words and the tokenizer numbers 10"),
        (10, {"start": "<start>"}, "start: the tokenizer has no word '<start>' .*close: 'startseq'.*or None"),
        (10, {"end": "stop"}, "end: the tokenizer has no word 'stop'"),
        (10, {"unknown": 70}, "unknown: no word has the number 70; there are 10, from 0"),
    ],
)
def test_a_tokenizer_that_does_not_fit(scores, special, message):
    with pytest.raises(ModelError, match=message):
        words_of(read(INDEX), scores, **(SPECIAL | special))
