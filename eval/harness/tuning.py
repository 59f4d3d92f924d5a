"""Settings are chosen on the tune part of the images and reported on the others."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from gazeback.eval.data.selection import Part, part_of
from gazeback.models.errors import DataError

T = TypeVar("T")

LOCALIZED = 0.5
"""The intersection over union from which a box counts as right."""


def measured_part(part: Part, tunes: bool) -> Part:
    """The images that are measured so that a part can be reported.

    A task that tunes measures the tune part in any case.
    """
    return "all" if tunes and part != "tune" else part


def reported_part(part: Part) -> Literal["tune", "report"]:
    """The part that is reported, where settings are chosen: the tune part only where it is asked for."""
    return "tune" if part == "tune" else "report"


def split(images: Mapping[str, T], part: Part = "report") -> tuple[dict[str, T], dict[str, T]]:
    """The images by name on which settings are chosen, and those on which they are reported."""
    tune, reported = (
        {name: image for name, image in images.items() if part_of(name) == wanted}
        for wanted in ("tune", reported_part(part))
    )
    return tune, reported


def tuned(images: Mapping[str, T], part: Part = "report") -> tuple[dict[str, T], dict[str, T]]:
    """As `split`, neither of them empty. Raises DataError."""
    tune, reported = split(images, part)
    if not tune or not reported:
        raise DataError(
            f"{len(tune)} images of the tune part and {len(reported)} to report: settings are chosen on one "
            "part and reported on the other; raise the limit"
        )
    return tune, reported


def best(scores: Sequence[Any] | np.ndarray) -> int:
    """The place of the setting with the largest score, a number or a tuple; of equals the first."""
    return max(range(len(scores)), key=lambda place: (scores[place], -place))


def best_boxes(ious: Sequence[Sequence[float]] | np.ndarray) -> int:
    """The setting with which most images are localized; of equals the one with the largest mean IoU.

    Args:
        ious: float [images, settings], the intersection over union of each setting's box with the object that
            it fits best.
    """
    return best([(float((of >= LOCALIZED).mean()), float(of.mean())) for of in np.asarray(ious).T])
