"""Scores of captions: BLEU and ROUGE-L by hand, CIDEr-D against a literal twin, METEOR where it is and is
not."""

import math
from collections import Counter

import numpy as np
import pytest

from gazeback.eval.metrics import captions as caption_scores
from gazeback.eval.metrics.captions import BleuCounts, corpus_scores, installed_wordnet, meteors
from gazeback.eval.tasks.captions import typical_caption
from gazeback.models.errors import UserError


def said(*texts):
    return tuple(tuple(text.split()) for text in texts)


CAPTIONS = said("the cat sat on the mat", "a dog runs")
REFERENCES = [said("the cat is on the mat", "a cat on a mat"), said("a dog is running fast", "dogs run")]


def test_bleu_by_hand():
    # matches: the, cat, on, the, mat + a, dog of 6 + 3 words; the cat, on the, the mat + a dog of 5 + 2
    # pairs; on the mat of 4 + 1 triples; lengths 9 to 6 + 2, the closest references
    scores = corpus_scores(CAPTIONS, REFERENCES)
    assert scores["bleu_1"].mean == pytest.approx(7 / 9)
    assert scores["bleu_2"].mean == pytest.approx(math.sqrt(7 / 9 * 4 / 7))
    assert scores["bleu_3"].mean == pytest.approx((7 / 9 * 4 / 7 * 1 / 5) ** (1 / 3))
    assert scores["bleu_4"].mean == pytest.approx(0, abs=1e-3)


def test_bleu_punishes_short_captions():
    score = corpus_scores(said("a dog"), [said("a dog is there")])["bleu_1"]
    assert (score.mean, score.standard_error) == (pytest.approx(math.exp(1 - 4 / 2)), None)


def test_rouge_by_hand():
    # longest common subsequence "the cat on the mat", 5 of 6 and 5 of 6; "a dog", 2 of 3 and 2 of 5; the best
    # precision and recall count, beta is 1.2
    first = 5 / 6
    second = (1 + 1.44) * 2 / 3 * 2 / 5 / (2 / 5 + 1.44 * 2 / 3)
    scores = corpus_scores(CAPTIONS, REFERENCES)
    assert scores["rouge_l"].mean == pytest.approx((first + second) / 2)
    assert scores["rouge_l"].standard_error == pytest.approx(abs(first - second) / 2)


def ngrams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def literal_cider(captions, references):
    """CIDEr-D as in Vedantam et al. 2015, equations 1 to 5, n-gram by n-gram."""
    photos, sigma = len(captions), 6.0
    document = Counter()
    for of_photo in references:
        document.update({g for words in of_photo for n in range(1, 5) for g in ngrams(words, n)})
    scores = []
    for caption, of_photo in zip(captions, references, strict=True):
        total = 0.0
        for n in range(1, 5):
            for words in of_photo:
                c, r = ngrams(caption, n), ngrams(words, n)
                idf = {g: math.log(photos) - math.log(max(1, document[g])) for g in {**c, **r}}
                dot = sum(min(c[g], r[g]) * r[g] * idf[g] ** 2 for g in c)
                norm = math.sqrt(sum((c[g] * idf[g]) ** 2 for g in c) * sum((r[g] * idf[g]) ** 2 for g in r))
                cosine = dot / norm if norm else 0.0
                total += cosine * math.exp(-((len(caption) - len(words)) ** 2) / (2 * sigma**2))
        scores.append(10 * total / 4 / len(of_photo))
    return scores


def test_cider_equals_its_literal_twin():
    rng = np.random.default_rng(0)
    words = ["a", "dog", "cat", "man", "runs", "on", "the", "green", "grass"]
    captions = [tuple(rng.choice(words, rng.integers(4, 9))) for _ in range(5)]
    references = [[tuple(rng.choice(words, rng.integers(4, 9))) for _ in range(3)] for _ in range(5)]
    references[0][0] = captions[0]
    scores = corpus_scores(captions, references)
    assert scores["cider"].mean == pytest.approx(np.mean(literal_cider(captions, references)), rel=1e-6)


def test_the_error_of_bleu_leaves_out_one_photo_at_a_time():
    captions, references = (*CAPTIONS, *said("a cat")), [*REFERENCES, said("the cat sat", "a cat")]
    without = [
        corpus_scores(captions[:i] + captions[i + 1 :], references[:i] + references[i + 1 :])["bleu_2"].mean
        for i in range(3)
    ]
    np.testing.assert_allclose(BleuCounts.of(captions, references).without_each()[:, 1], without)
    error = math.sqrt(2 / 3 * sum((one - np.mean(without)) ** 2 for one in without))
    assert corpus_scores(captions, references)["bleu_2"].standard_error == pytest.approx(error)


class NoSynonyms:
    @staticmethod
    def synsets(word):
        return []


def test_meteor_by_hand(monkeypatch):
    # "a dog runs" on "a dog run": three matches by form and stem in one chunk: 1 - 0.5 / 27
    score = meteors(said("a dog runs"), [said("a dog run", "cats")], NoSynonyms)
    assert score == pytest.approx([1 - 0.5 * (1 / 3) ** 3])
    monkeypatch.setattr(caption_scores, "installed_wordnet", lambda: NoSynonyms)
    assert corpus_scores(said("a dog runs"), [said("a dog run")])["meteor"].n == 1


def test_meteor_is_never_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    assert installed_wordnet() is None
    assert corpus_scores(CAPTIONS, REFERENCES)["meteor"] is None


def test_without_the_scorers(monkeypatch):
    monkeypatch.setattr("gazeback.models.training.scores.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the COCO scorers: pip install pycocoevalcap"):
        corpus_scores(CAPTIONS, REFERENCES)


def test_captions_without_references():
    with pytest.raises(ValueError, match="got 2 and 1"):
        corpus_scores(CAPTIONS, REFERENCES[:1])


def literal_typical(photos):
    """The mean CIDEr of every caption on the captions of every other photo."""
    document = Counter()
    for of_photo in photos:
        document.update({g for words in of_photo for n in range(1, 5) for g in ngrams(words, n)})

    def vector(words, n):
        return {g: k * math.log(len(photos) / document[g]) for g, k in ngrams(words, n).items()}

    def cosine(x, y):
        norm = math.sqrt(sum(v**2 for v in x.values()) * sum(v**2 for v in y.values()))
        return sum(v * y.get(g, 0) for g, v in x.items()) / norm if norm else 0.0

    best, found = -1.0, None
    for own, of_photo in enumerate(photos):
        for caption in of_photo:
            score = sum(
                cosine(vector(caption, n), vector(words, n)) / len(other)
                for i, other in enumerate(photos)
                for words in other
                for n in range(1, 5)
                if i != own
            )
            if score > best + 1e-12:
                best, found = score, caption
    return found


def test_the_typical_caption_equals_its_literal_twin():
    rng = np.random.default_rng(1)
    words = ["a", "dog", "cat", "man", "runs", "on", "the", "green", "grass", "two"]
    for _ in range(5):
        photos = [
            [tuple(rng.choice(words, rng.integers(3, 8))) for _ in range(rng.integers(1, 4))]
            for _ in range(6)
        ]
        assert typical_caption(photos) == literal_typical(photos)


def test_the_typical_caption_of_one_photo():
    assert typical_caption([said("a dog", "a cat")]) == ("a", "dog")
