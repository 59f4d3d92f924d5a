"""The caption that fits best if one must do for every photo."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from gazeback.eval.captions_data import Caption

ORDERS = 4


def typical_caption(photos: Sequence[Sequence[Caption]]) -> Caption:
    """Of all captions the one with the highest mean CIDEr (Vedantam et al. 2015, equations 1 to 3) as the
    caption of every other photo; of several, the first.

    CIDEr without the changes of CIDEr-D is a mean of cosines, so one product of matrices finds it.
    """
    captions = [caption for of_photo in photos for caption in of_photo]
    owner = np.repeat(np.arange(len(photos)), [len(of_photo) for of_photo in photos])
    # a photo's score is the mean over its captions
    weights = 1 / np.bincount(owner, minlength=len(photos))[owner]
    total = np.zeros(len(captions))
    for n in range(1, ORDERS + 1):
        vectors = _vectors([_ngrams(caption, n) for caption in captions], owner, len(photos))
        if vectors.shape[1] == 0:
            continue
        everywhere = np.asarray(vectors.T @ weights)
        of_owner = (
            csr_array((weights, (owner, np.arange(len(captions)))), (len(photos), len(captions))) @ vectors
        )
        itself = np.asarray(of_owner[owner].multiply(vectors).sum(axis=1)).ravel()
        total += vectors @ everywhere - itself
    return captions[int(np.argmax(total))]


def _ngrams(caption: Caption, n: int) -> Counter[Caption]:
    return Counter(tuple(caption[i : i + n]) for i in range(len(caption) - n + 1))


def _vectors(counts: Sequence[Counter[Caption]], owner: np.ndarray, photos: int) -> csr_array:
    """Unit vectors [captions, n-grams] of term frequency times inverse document frequency; a document is a
    photo."""
    number = {ngram: i for i, ngram in enumerate(dict.fromkeys(ngram for count in counts for ngram in count))}
    rows = np.repeat(np.arange(len(counts)), [len(count) for count in counts])
    columns = np.array([number[ngram] for count in counts for ngram in count], int)
    values = np.array([k for count in counts for k in count.values()], float)
    there = np.unique(np.stack([owner[rows], columns]), axis=1)[1]
    rarity = np.log(photos / np.maximum(np.bincount(there, minlength=len(number)), 1))
    found = csr_array((values * rarity[columns], (rows, columns)), (len(counts), len(number)))
    length = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    inverse = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    return csr_array(found.multiply(inverse[:, None]))
