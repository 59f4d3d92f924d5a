"""Parts of the geometry of rules: the locations that units see."""

from __future__ import annotations

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.step import Step

# Where the units of some consecutive places look: for rows, then columns, the first and the last place of
# another tensor, int [places] each. Places beyond the map count on.
Interval = tuple[np.ndarray, np.ndarray]

Field = tuple[Interval, ...]


class SeesEverything(Exception):
    """Raised if every unit sees the whole map."""


class ActsAlike(Exception):
    """Raised if an input acts equally at all locations, as the factor of a squeeze-and-excitation block does.

    Attributes:
        in_place: the locations of the same input that units also see one by one; None: none.
    """

    def __init__(self, in_place: Field | None = None) -> None:
        super().__init__()
        self.in_place = in_place


def undefined(step: Step, why: str) -> TraceError:
    """The error for a layer after which units have no receptive field."""
    kind = type(step.call.operation).__name__
    return TraceError(
        f"layer {step.call.name!r} of class {kind} {why}: the units behind it have no receptive field; "
        "choose a layer before it"
    )


def in_place(step: Step, tensor: Tensor, field: Field) -> Field:
    """Each unit sees its own location."""
    inner, outer = step.places(tensor), step.places(step.output)
    if inner == outer:
        return field
    if set(inner) == {1}:
        raise ActsAlike
    raise undefined(step, "joins maps along their height or width")


def shifted(field: Field, by: list[int]) -> Field:
    """Shift by a number of rows and columns."""
    return tuple((first + shift, last + shift) for (first, last), shift in zip(field, by, strict=True))
