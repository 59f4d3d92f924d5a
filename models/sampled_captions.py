"""How often a captioner says a word when it writes captions at random.

Each caption is drawn word by word from the captioner's own probabilities. The captions of beam search are
all variants of the best one; drawn captions differ as those of several people do.
"""

from collections.abc import Sequence

import numpy as np

from gazeback.models.caption_generator import CaptionGenerator

DRAWN = 32
"""The number of captions that are drawn."""

LONGEST = 12
"""The number of words after which a drawn caption ends; few go on, and every step takes the same time."""


def expected_mentions(
    captioner: CaptionGenerator,
    features: np.ndarray,
    groups: Sequence[np.ndarray],
    drawn: int = DRAWN,
    seed: int = 0,
) -> np.ndarray:
    """Estimate how often a caption drawn at random says a word of each group, such as "dog" or "dogs".

    A drawn caption does not count as the words that it says, but as the probabilities that it had for them,
    step by step. That has the same expectation and varies less.

    Args:
        captioner: the caption generator.
        features: one photo's last map, float32 ``[1, h, w, C]``.
        groups: numbers of words.
        drawn: the number of captions that are drawn, with random numbers of this ``seed``.

    Returns:
        float64 ``[groups]``, in mentions per caption.
    """
    steps, vocabulary, random = captioner._steps, captioner.vocabulary, np.random.default_rng(seed)
    log_p, state = steps.step(steps.start(features), np.array([vocabulary.start]))
    log_p, state = (np.repeat(log_p, drawn, axis=0), tuple(np.repeat(part, drawn, axis=0) for part in state))
    unsaid = [word for word in (vocabulary.start, *captioner.unsaid) if word >= 0]
    mentions = np.zeros(len(groups))
    longest = min(LONGEST, captioner.max_words)
    for length in range(1, longest + 1):
        p = np.exp(log_p)
        p[:, unsaid] = 0
        mentions += [p[:, group].sum() for group in groups]
        until = p.cumsum(axis=1, dtype=np.float64)
        words = (until < random.random((len(p), 1)) * until[:, -1:]).sum(axis=1)
        going = words != vocabulary.end
        if not going.any() or length == longest:
            break
        log_p, state = steps.step(tuple(part[going] for part in state), words[going])
    return mentions / drawn
