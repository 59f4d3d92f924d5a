"""BLEU and CIDEr on values that can be computed by hand."""

import pytest

from gazeback.models.errors import UserError
from gazeback.models.training import scores
from gazeback.models.training.scores import caption_scores

pytest.importorskip("pycocoevalcap")


def test_a_perfect_caption():
    truth = [["A dog runs in the grass ."], ["two men sit on a bench"], ["a red car on a road"]]
    perfect = caption_scores([texts[0] for texts in truth], truth)
    assert [perfect[f"bleu_{n}"] for n in (1, 2, 3, 4)] == pytest.approx([1, 1, 1, 1], abs=1e-6)
    assert perfect["cider"] == pytest.approx(10, rel=1e-6)
    assert (perfect["distinct_captions"], perfect["distinct_words"]) == (3, 14)


def test_bleu_by_hand():
    """4 words of which 3 are right, 3 pairs of which 2 are; the reference is one word longer."""
    result = caption_scores(["a dog runs fast"], [["a dog runs in grass"]])
    brevity = 2.718281828 ** (1 - 5 / 4)
    assert result["bleu_1"] == pytest.approx(brevity * 3 / 4, rel=1e-6)
    assert result["bleu_2"] == pytest.approx(brevity * (3 / 4 * 2 / 3) ** 0.5, rel=1e-6)


def test_wrong_use(monkeypatch):
    with pytest.raises(ValueError, match="as many candidates as reference lists; got 1, 2"):
        caption_scores(["a"], [["a"], ["b"]])
    monkeypatch.setattr(scores, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install pycocoevalcap"):
        caption_scores(["a"], [["a"]])
