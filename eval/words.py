"""Which words need the picture? `evaluate words`: the visual share by kind of word in ground-truth sentences.

The share is the counterfactual one: `visual = log p(word | photo, words before) - log p(word | mean picture,
words before)` in nats, and `visual_share = max(0, 1 - exp(-visual))`. Words that the captioner does not know
are left out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gazeback.eval.metrics import Mean
from gazeback.eval.phrases_data import PhraseData, PhraseImage, Sentence, Words
from gazeback.eval.teacher_forcing import teacher_forced
from gazeback.models.captioner import Captioner
from gazeback.models.vocabulary import tokenize

FUNCTION_WORDS = frozenset({"a", "the", "in", "of", "with", "and", "is", "on"})
COLOURS = frozenset(
    tokenize(
        "red orange yellow green blue purple pink brown black white gray grey tan blond blonde golden silver"
    )
)
PRONOUNS = frozenset(
    tokenize(
        "i you he him his she her hers it its we us they them their one ones another other others each some "
        "something someone somebody that this these those which who whom what himself herself itself "
        "themselves"
    )
)
KINDS = ("function words", "nouns", "colours", "other words")

WordShares = dict[str, list[tuple[float, float]]]
"""Of each kind of word in a photo's sentences: (visual in nats, visual share) per word."""


def evaluate(captioner: Captioner, data: PhraseData) -> Iterator[tuple[PhraseImage, WordShares] | None]:
    """Every photo with the visual shares of its words, one at a time; None for one that had to be skipped."""
    for loaded in data.photos(captioner.image_size):
        if loaded is None:
            yield None
            continue
        image, pixels, _ = loaded
        sentences = [(s, Words.of(s, captioner.vocabulary)) for s in image.sentences]
        sentences = [(sentence, words) for sentence, words in sentences if words.ids]
        shares: WordShares = {kind: [] for kind in KINDS}
        if sentences:
            features = np.asarray(captioner.features(pixels[None]))
            visuals = visual_nats(captioner, features, [words.ids for _, words in sentences])
            for (sentence, words), visual in zip(sentences, visuals, strict=True):
                _sort_by_kind(sentence, words, visual, captioner.vocabulary.unknown, shares, data.skipped)
        yield image, shares


def visual_nats(
    captioner: Captioner, features: np.ndarray, captions: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """What the photo adds to each word's log probability, in nats: one float array [words] per caption.

    `features` float32 [1, h, w, C] is one photo's last map; captions are ids without start and end, of any
    lengths.
    """
    inputs = teacher_forced(captioner.vocabulary, captions)
    mean = np.broadcast_to(captioner.mean_features, features.shape)
    pictures = np.repeat(np.concatenate([features, mean]), len(captions), axis=0)
    photo, without = np.split(captioner.log_probabilities(pictures, np.tile(inputs, (2, 1))), 2)
    added = photo - without
    return [added[i, np.arange(len(ids)), list(ids)] for i, ids in enumerate(captions)]


def visual_share(visual: np.ndarray) -> np.ndarray:
    """The share 0..1 of a word's probability that the picture brought, from nats."""
    return 1 - np.exp(-np.maximum(visual, 0))


def summarise(shares_of_images: Mapping[str, WordShares]) -> dict[str, Any]:
    """Per kind of word, means of the share and of the nats; the photos are the groups of the standard
    errors."""
    table: dict[str, Any] = {}
    for kind in KINDS:
        share, nats = Mean(), Mean()
        for image, shares in shares_of_images.items():
            nats.update([visual for visual, _ in shares[kind]], group=image)
            share.update([value for _, value in shares[kind]], group=image)
        table[kind] = {"visual_share": share.summary().as_json(), "visual": nats.summary().as_json()}
    return table


def kinds_of(sentence: Sentence, words: Words) -> list[str]:
    """The kind of each word; nouns are the last words of phrases of a visual type, save colours and
    pronouns."""
    heads = {
        max(
            (p for p, token in enumerate(words.token_of) if phrase.first <= token < phrase.last), default=None
        )
        for phrase in sentence.phrases
        if "notvisual" not in phrase.types
    }
    return [_kind(word, position in heads) for position, word in enumerate(words.words)]


def _kind(word: str, heads_phrase: bool) -> str:
    if word in FUNCTION_WORDS:
        return "function words"
    if word in COLOURS:
        return "colours"
    return "nouns" if heads_phrase and word not in PRONOUNS else "other words"


def _sort_by_kind(
    sentence: Sentence,
    words: Words,
    visual: np.ndarray,
    unknown: int,
    shares: WordShares,
    skipped: Counter[str],
) -> None:
    values = zip(visual.tolist(), visual_share(visual).tolist(), strict=True)
    for kind, word_id, value in zip(kinds_of(sentence, words), words.ids, values, strict=True):
        if word_id == unknown:
            skipped["unknown word"] += 1
        else:
            shares[kind].append(value)
