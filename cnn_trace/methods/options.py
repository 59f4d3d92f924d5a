"""The methods by name, and their options."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.methods.discernible import DiscernibleNeurons
from gazeback.cnn_trace.methods.spread import Spread
from gazeback.cnn_trace.methods.top import TopContributors
from gazeback.cnn_trace.methods.walk import WeightedFixations
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.targets import CONTRASTS

# The selection of each method, and the options that it takes.
SELECTIONS: dict[str, tuple[type[CNNFixations], tuple[str, ...]]] = {
    "evidence": (Spread, ("neurons", "share")),
    "fixations": (CNNFixations, ("location", "fc_to_spatial")),
    "top": (TopContributors, ("top",)),
    "discernible": (DiscernibleNeurons, ("top_k", "alphas")),
    "walk": (WeightedFixations, ("location", "fc_to_spatial", "share")),
}

METHODS = tuple(SELECTIONS)

FINER = 1
"""The number of finer maps that narrow the heat map of evidence: chosen on training photos."""

MOST_FINER = 8


@dataclass(frozen=True)
class Options:
    """Options of a trace. None is the method's default.

    Attributes:
        method: ``"evidence"`` (ours), ``"walk"`` (ours, one contributor of each neuron), ``"fixations"``
            (*CNN Fixations*, IEEE TIP 2018), ``"top"`` (*How You See Me*, 2018) or ``"discernible"``
            (*Layer-wise selected discernible neurons*, 2020).
        location: the location in a window where the walk continues: ``"same"`` (its centre) or ``"argmax"``;
            for "walk" and "fixations" only, by default "same".
        fc_to_spatial: the inputs that a dense layer over a flattened map keeps: ``"argmax"`` or ``"all"``;
            for the same methods.
        share: evidence, walk: the fraction of the net relevance whose neurons are followed, the strongest
            first, in (0, 1]; by default 1 and 0.6.
        neurons: evidence: the number of neurons of a tensor that carry the weights of an image, or ``"all"``.
        reference: evidence, walk: the map of the average picture that is subtracted: None (zero), a vector
            ``[channels]`` or a map ``[height, width, channels]``.
        handoff: the same: the layer at whose map the head ends; by default the last map.
        contrast: the same: None explains a class's logit; the others explain this logit minus those of the
            other classes: ``"mean"``, their mean; ``"likely"``, weighted by probability; ``"strongest"``, the
            largest one.
        others: evidence: the share of the other questions' mean evidence on the same image that is subtracted
            (:func:`gazeback.cnn_trace.fixations.against_others`), at least 0. None is 0.5 for the words of a
            caption, and 0 for classes.
        finer: evidence: the number of finer maps before the last one that narrow the heat map; 0 is faster.
            None is 1.
        looks: evidence: 2 traces the answer to the image at twice the size, too, where the head averages the
            last map.
        top: top: the number of contributors that a dense neuron keeps.
        top_k: discernible: the number of candidates that each neuron keeps.
        alphas: discernible: the weights of the score, (succeeding, current, preceding).
    """

    method: str = "evidence"
    location: Any = None
    fc_to_spatial: Any = None
    share: float | None = None
    neurons: Any = None
    reference: np.ndarray | None = None
    handoff: str | None = None
    contrast: str | None = None
    others: float | None = None
    finer: int | None = None
    looks: int = 1
    top: int | None = None
    top_k: int | None = None
    alphas: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise TraceError(f"unknown method {self.method!r}; choose one of {', '.join(METHODS)}")
        if self.contrast not in (None, *CONTRASTS):
            raise TraceError(f"contrast must be None or one of {', '.join(CONTRASTS)}, got {self.contrast!r}")
        if self.others is not None and self.method != "evidence":
            raise TraceError(f'others is an option of method "evidence", not of {self.method!r}')
        if self.finer is not None and self.method != "evidence":
            raise TraceError(f'finer is an option of method "evidence", not of {self.method!r}')
        if self.finer is not None and self.finer not in range(MOST_FINER + 1):
            raise TraceError(f"finer must be a number of maps from 0 to {MOST_FINER}, got {self.finer!r}")
        if self.looks not in (1, 2) or (self.looks == 2 and self.method != "evidence"):
            raise TraceError(f'looks must be 1, or 2 with method "evidence"; got {self.looks!r}')
        if self.others is not None and not self.others >= 0:
            raise TraceError(f"others must be 0 or more, got {self.others!r}")
        if self.contrast and not self.has_head:
            raise TraceError(f'contrast is an option of method "evidence", not of {self.method!r}')
        _ = self.selection

    @classmethod
    def of(cls, **given: Any) -> Options:
        """Make options of a user's keywords. Raises TraceError for one that there is not, or a wrong kind of
        value."""
        known = [one.name for one in fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise TraceError(f"there is no option {unknown[0]!r}; the options are {', '.join(known)}")
        try:
            if given.get("reference") is not None:
                given["reference"] = np.asarray(given["reference"], np.float32)
            return cls(**given)
        except TraceError:
            raise
        except (TypeError, ValueError) as error:
            shown = ", ".join(f"{name}={value!r}"[:60] for name, value in given.items())
            raise TraceError(f"an option has a wrong kind of value ({error}): {shown}") from None

    @property
    def narrowing(self) -> int:
        """The number of finer maps that narrow the heat map."""
        if self.method != "evidence":
            return 0
        return FINER if self.finer is None else self.finer

    @property
    def has_head(self) -> bool:
        """Whether answers are decomposed exactly down to the last map."""
        return self.method in ("evidence", "walk")

    @property
    def selection(self) -> CNNFixations:
        """The selection that the walk uses."""
        kind, names = SELECTIONS[self.method]
        given = {name: getattr(self, name) for names_ in SELECTIONS.values() for name in names_[1]}
        given = {name: value for name, value in given.items() if value is not None}
        foreign = [name for name in given if name not in names]
        if foreign:
            raise TraceError(
                f"method {self.method!r} has no option {foreign[0]!r}; it takes {', '.join(names)}"
            )
        return kind(**given)
