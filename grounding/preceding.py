"""Measure how much earlier words matter to a word, in other ways than by their exact contributions.

A package registers a measure as an entry point of the group "gazeback.preceding". It is a function
``measure(captioner, image, word_ids)``, with ``image`` float32 ``[size, size, 3]`` and ``word_ids`` the
caption without start and end. It returns float ``[n, n]``: row j, column k < j is how much word k matters to
word j, signed.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

import numpy as np

from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.errors import UserError

GROUP = "gazeback.preceding"
REMOVAL = "removal"

Measure = Callable[[CaptionGenerator, np.ndarray, Sequence[int]], np.ndarray]


def removal(captioner: CaptionGenerator, features: np.ndarray, word_ids: Sequence[int]) -> np.ndarray:
    """Compute how many nats each word's log-probability drops when an earlier word is left out of the
    caption.

    The words after the one that is left out move up by one step. All captions with one word less run through
    the language half as one batch.

    Args:
        captioner: the caption generator.
        features: the photo's last map, float32 ``[1, h, w, C]``.
        word_ids: the caption without start and end.

    Returns:
        float64 ``[n, n]``: row j, column k < j is log p(word j | words before) - log p(word j | words before
        without word k), positive if word k helps; 0 elsewhere.
    """
    ids = np.array(word_ids)
    n, start = len(ids), captioner.vocabulary.start
    drops = np.zeros((n, n))
    if n < 2:
        return drops
    whole = captioner.log_probabilities(features, np.array([[start, *ids[:-1]]]))[0]
    before = whole[np.arange(n), ids].astype(np.float64)
    shorter = np.stack([np.delete(ids, k) for k in range(n - 1)])
    inputs = np.column_stack([np.full(n - 1, start), shorter[:, :-1]])
    after = captioner.log_probabilities(np.repeat(features, n - 1, axis=0), inputs)
    for k in range(n - 1):  # without word k, word j > k is at index j - 1
        steps = np.arange(k, n - 1)
        drops[k + 1 :, k] = before[k + 1 :] - after[k, steps, ids[k + 1 :]]
    return drops


def measured(
    captioner: CaptionGenerator, image: np.ndarray, features: np.ndarray, word_ids: Sequence[int]
) -> dict[str, np.ndarray]:
    """Compute every measure by name, float ``[n, n]`` each: `removal` first, then the registered ones.

    Raises:
        UserError: a registered one cannot be loaded, or returns something else.
    """
    found = {REMOVAL: removal(captioner, features, word_ids)}
    shape = (len(word_ids),) * 2
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        values = np.asarray(_loaded(entry)(captioner, image, word_ids), np.float64)
        if values.shape != shape:
            raise UserError(
                f"measure {entry.name!r} of the words before: expected values {list(shape)}, "
                f"got {list(values.shape)}"
            )
        found[entry.name] = values
    return found


def _loaded(entry: EntryPoint) -> Measure:
    try:
        measure: Measure = entry.load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"measure {entry.name!r} of the words before cannot be loaded ({error})") from None
    return measure
