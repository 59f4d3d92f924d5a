"""Score captions against those of people, photo by photo and for a corpus, with standard errors.

BLEU (Papineni et al. 2002), ROUGE-L (Lin 2004) and CIDEr-D (Vedantam et al. 2015) are those of the COCO
evaluation code (`pycocoevalcap`), on captions that are tokenised as the captioner's own. The published tool
chain differs only in the tokeniser, which is a Java program. METEOR is that of nltk, with the weights of
Banerjee and Lavie (2005), not those of the Java program. It needs WordNet, which is never downloaded.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gazeback.eval.data.image import Caption
from gazeback.eval.metrics.statistics import Summary, grouped_mean, jackknife
from gazeback.models.training.scores import check_scorers

ORDERS = 4

BLEU = tuple(f"bleu_{n}" for n in range(1, ORDERS + 1))

ROUGE, CIDER, METEOR = "rouge_l", "cider", "meteor"

TINY, SMALL = 1e-15, 1e-9  # as in the COCO code, to avoid a division by 0


@dataclass(frozen=True, eq=False)
class BleuCounts:
    """The counts that BLEU is computed from, a row for each photo.

    They are the matching and all n-grams of the caption [photos, 4], and the lengths of the caption and of
    the reference that is closest in length [photos]."""

    matches: np.ndarray
    total: np.ndarray
    length: np.ndarray
    reference_length: np.ndarray

    @classmethod
    def of(cls, captions: Sequence[Caption], references: Sequence[Sequence[Caption]]) -> "BleuCounts":
        from pycocoevalcap.bleu.bleu_scorer import BleuScorer

        scorer = BleuScorer(n=ORDERS)
        for caption, of_photo in zip(captions, references, strict=True):
            scorer += (" ".join(caption), [" ".join(words) for words in of_photo])
        counts = scorer.ctest
        closest = [min((abs(n - c["testlen"]), n) for n in c["reflen"])[1] for c in counts]
        matches, total, length = (
            np.array([c[key] for c in counts], float) for key in ("correct", "guess", "testlen")
        )
        return cls(matches, total, length, np.array(closest, float))

    def scores(self) -> np.ndarray:
        """BLEU-1 to BLEU-4 of the corpus, float [4]."""
        return _bleu(*(array.sum(axis=0) for array in self._arrays()))

    def without_each(self) -> np.ndarray:
        """BLEU-1 to BLEU-4 of the corpus without each photo, float [photos, 4]."""
        return _bleu(*(array.sum(axis=0) - array for array in self._arrays()))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.matches, self.total, self.length, self.reference_length


def _bleu(matches: np.ndarray, total: np.ndarray, length: Any, reference_length: Any) -> np.ndarray:
    precision = np.cumprod((matches + TINY) / (total + SMALL), axis=-1) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (np.asarray(length) + TINY) / (np.asarray(reference_length) + SMALL)
    penalty = np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1)
    return np.asarray(precision * penalty[..., None])


def corpus_scores(
    captions: Sequence[Caption], references: Sequence[Sequence[Caption]]
) -> dict[str, Summary | None]:
    """Compute `bleu_1` to `bleu_4`, `rouge_l`, `cider` (1.0 is printed as 100 in COCO's tables), and
    `meteor`.

    The arguments are one caption for each photo, and that photo's references. `meteor` is None if WordNet is
    not installed. The standard error of BLEU is found by leaving out one photo at a time. The other scores
    are means over photos, with the standard error of a mean. CIDEr-D weights n-grams by their rarity in these
    references. Raises UserError if the scorers are not installed.
    """
    check_scorers()
    if len(captions) != len(references) or not captions:
        raise ValueError(f"expected captions with references; got {len(captions)} and {len(references)}")
    counts = BleuCounts.of(captions, references)
    bleu = zip(BLEU, counts.scores().tolist(), counts.without_each().T, strict=True)
    scores: dict[str, Summary | None] = {name: jackknife(score, without) for name, score, without in bleu}
    scores |= {name: _over_photos(values) for name, values in _by_photo(captions, references).items()}
    wordnet = installed_wordnet()
    scores[METEOR] = None if wordnet is None else _over_photos(meteors(captions, references, wordnet))
    return scores


def _by_photo(captions: Sequence[Caption], references: Sequence[Sequence[Caption]]) -> dict[str, np.ndarray]:
    """Compute ROUGE-L and CIDEr-D, float [photos]."""
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    candidates = {i: [" ".join(caption)] for i, caption in enumerate(captions)}
    truth = {i: [" ".join(words) for words in of_photo] for i, of_photo in enumerate(references)}
    with contextlib.redirect_stdout(io.StringIO()):  # the scorers print progress
        rouge = Rouge().compute_score(truth, candidates)[1]
        cider = Cider().compute_score(truth, candidates)[1]
    return {ROUGE: np.asarray(rouge, float), CIDER: np.asarray(cider, float)}


def installed_wordnet() -> Any:
    """WordNet of nltk, or None if its data is not on this machine."""
    import nltk
    from nltk.corpus import wordnet

    for name in ("corpora/wordnet", "corpora/wordnet.zip"):
        with contextlib.suppress(LookupError):
            nltk.data.find(name)
            return wordnet
    return None


def meteors(captions: Sequence[Caption], references: Sequence[Sequence[Caption]], wordnet: Any) -> np.ndarray:
    """Compute METEOR of each photo's caption with the best reference, float [photos]."""
    from nltk.translate.meteor_score import meteor_score

    pairs = zip(captions, references, strict=True)
    return np.array([meteor_score(list(map(list, r)), list(c), wordnet=wordnet) for c, r in pairs], float)


def _over_photos(values: np.ndarray) -> Summary:
    return grouped_mean(dict(enumerate(values.tolist())))
