"""Choose settings on the tune part of the images, and report on the others."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from gazeback.eval.data.selection import Part, part_of
from gazeback.models.errors import DataError

T = TypeVar("T")

LOCALIZED = 0.5
"""The smallest intersection over union at which a box counts as right."""


def measured_part(part: Part, tunes: bool) -> Part:
    """The images that must be measured to report a part.

    A task that tunes always measures the tune part.
    """
    return "all" if tunes and part != "tune" else part


def reported_part(part: Part) -> Literal["tune", "report"]:
    """The part that is reported if settings are chosen: the tune part only if it is asked for."""
    return "tune" if part == "tune" else "report"


def split(images: Mapping[str, T], part: Part = "report") -> tuple[dict[str, T], dict[str, T]]:
    """Split images by name into those on which settings are chosen, and those that are reported."""
    tune, reported = (
        {name: image for name, image in images.items() if part_of(name) == wanted}
        for wanted in ("tune", reported_part(part))
    )
    return tune, reported


def tuned(images: Mapping[str, T], part: Part = "report") -> tuple[dict[str, T], dict[str, T]]:
    """Split images as `split` does; raises DataError if a part is empty."""
    tune, reported = split(images, part)
    if not tune or not reported:
        raise DataError(
            f"{len(tune)} images of the tune part and {len(reported)} to report: settings are chosen on one "
            "part and reported on the other; raise the limit"
        )
    return tune, reported


def best(scores: Sequence[Any] | np.ndarray) -> int:
    """Find the index of the setting with the largest score, a number or a tuple; if several are equal, the
    first."""
    return max(range(len(scores)), key=lambda place: (scores[place], -place))


def best_boxes(ious: Sequence[Sequence[float]] | np.ndarray) -> int:
    """Find the setting with which most images are localized; if several are equal, the one with the largest
    mean IoU.

    Args:
        ious: float [images, settings], the largest intersection over union of each setting's box with an
            object.
    """
    return best([(float((of >= LOCALIZED).mean()), float(of.mean())) for of in np.asarray(ious).T])
