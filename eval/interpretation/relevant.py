"""Learn the features that are relevant for a class with the µ-Lasso, and write and read them.

A feature is relevant if its weight is above 0: its response is evidence for the class. A weight below 0 is
evidence for other classes, so these filters are not among the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gazeback.eval.interpretation.forward import Forward
from gazeback.eval.interpretation.lasso import Rows, solve
from gazeback.eval.interpretation.layers import CONVOLUTION, ONLY_CONV, VARIANTS, FilterLayer
from gazeback.eval.interpretation.responses import Responses, Standardised
from gazeback.models.errors import DataError, UserError
from gazeback.models.reading import Known, read_json
from gazeback.models.writing import json_text, write_atomically


@dataclass(frozen=True)
class Feature:
    """One filter: the name of its layer, its index among the channels of the layer's output, its weight.

    The weight is for ``(response - mean) / deviation``; mean and deviation are 0 and 1 if the responses are
    not standardised.
    """

    layer: str
    filter: int
    weight: float
    mean: float = 0.0
    deviation: float = 1.0

    def relevance(self, response: float) -> float:
        """The relevance r = w x of a photo's response (Oramas et al. 2019, section 3.2); no unit."""
        return self.weight * (response - self.mean) / self.deviation


@dataclass(frozen=True)
class RelevantFeatures:
    """The features of each class, the largest weight first.

    `layers` are all layers that were used, in the order of the network, with their numbers of channels.
    `scale`: one of `gazeback.eval.interpretation.relevant.SCALES`.
    """

    classes: tuple[str, ...]
    layers: Mapping[str, int]
    features: Mapping[str, Sequence[Feature]]
    mu: float
    variant: str
    scale: str = "layer"

    def of(self, name: str) -> Sequence[Feature]:
        """Return the features of a class by its name. Raises KeyError."""
        return self.features[name]


MU = {"layer": 10.0, "filter": 1.0}
"""The default mu for each scale of the responses; that of "layer" is the paper's (section 4)."""

SCALES = tuple(MU)
"""The scales of responses. "layer": fractions of their layer's sum, as published. "filter": these, also
standardised filter by filter. In wide layers the fractions are small, and standardised filters need no more
weight there.
"""

SMALLEST = 1e-6
"""A weight below this fraction of mu is treated as 0."""

FORMAT = "gazeback relevant features 2"


def learn(
    responses: Rows,
    labels: np.ndarray,
    classes: Sequence[str],
    layers: Sequence[FilterLayer],
    variant: str,
    mu: float | None = None,
    scale: str = "layer",
) -> RelevantFeatures:
    """The relevant features of each class.

    Args:
        responses: float [n, D], the columns in the order of `layers`.
        labels: bool [n, classes]; an image may have several classes.
        scale: one of `SCALES`; `mu`: by default the value for the scale.

    Raises:
        UserError: a class has no image, mu is not positive, there are fewer images than classes, or a
            response is not finite; an unknown scale.
    """
    if scale not in SCALES:
        raise UserError(f"unknown scale {scale!r}; expected {' or '.join(SCALES)}")
    empty = [name for name, count in zip(classes, labels.sum(axis=0), strict=True) if not count]
    if empty:
        raise UserError(f"class {empty[0]!r} has no image: nothing can be learned about it; leave it out")
    mu = MU[scale] if mu is None else mu
    columns = responses.shape[1]
    mean, deviation = np.zeros(columns), np.ones(columns)
    if scale == "filter":
        responses = Standardised.of(responses)
        mean, deviation = responses.mean, responses.deviation
    weights = solve(responses, labels, mu).weights
    names = [(layer.name, channel) for layer in layers for channel in range(layer.channels)]
    features = {
        name: tuple(
            Feature(
                layer=names[column][0],
                filter=names[column][1],
                weight=float(weights[column, number]),
                mean=float(mean[column]),
                deviation=float(deviation[column]),
            )
            for column in np.argsort(-weights[:, number], kind="stable")
            if weights[column, number] > SMALLEST * mu
        )
        for number, name in enumerate(classes)
    }
    sizes = {layer.name: layer.channels for layer in layers}
    return RelevantFeatures(tuple(classes), sizes, features, mu, variant, scale)


def save(path: Path, *relevant: RelevantFeatures) -> Path:
    """Write relevant features, one set for each variant, as JSON; a temporary file is renamed.

    Raises:
        UserError: the file cannot be written.
    """
    content = {"format": FORMAT, "variants": [_as_json(one) for one in relevant]}
    try:
        return write_atomically(path, (json_text(content, indent=1) + "\n").encode(errors="replace"))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def load(path: Path, variant: str | None = None) -> RelevantFeatures:
    """Read relevant features: those of a variant, or the first in the file.

    Raises:
        DataError: the file is missing, is in another format, or does not hold the variant.
    """
    expected = f"what `gazeback interpret` wrote, {FORMAT!r}"
    content = read_json(path, _Content, expected)
    if content.format != FORMAT:
        raise DataError(f"{path}: the format is {content.format[:40]!r}; expected {expected}")
    found = [_checked(one, path) for one in content.variants]
    wanted = [one for one in found if variant in (None, one.variant)]
    if not wanted:
        raise DataError(f"{path} holds no features of the variant {variant!r}")
    return wanted[0]


def _as_json(relevant: RelevantFeatures) -> dict[str, Any]:
    return {
        "variant": relevant.variant,
        "mu": relevant.mu,
        "scale": relevant.scale,
        "classes": list(relevant.classes),
        "layers": [[name, channels] for name, channels in relevant.layers.items()],
        "features": {
            name: [[f.layer, f.filter, f.weight, f.mean, f.deviation] for f in features]
            for name, features in relevant.features.items()
        },
    }


class _Variant(Known):
    classes: list[str]
    layers: list[tuple[str, int]]
    features: dict[str, list[tuple[str, int, float, float, Annotated[float, Meta(gt=0)]]]]
    mu: float
    variant: str
    scale: str


class _Content(Known):
    format: str
    variants: list[_Variant]


def _checked(content: _Variant, path: Path) -> RelevantFeatures:
    layers = dict(content.layers)
    missing = [name for name in content.classes if name not in content.features]
    features = {
        name: tuple(Feature(*one) for one in found)
        for name, found in content.features.items()
        if name in content.classes
    }
    wrong = [f for of in features.values() for f in of if not 0 <= f.filter < layers.get(f.layer, 0)]
    if missing or wrong or content.variant not in VARIANTS or content.scale not in SCALES:
        told = (
            f"class {missing[0]!r} has no features" if missing
            else f"layer {wrong[0].layer!r} has no filter {wrong[0].filter}" if wrong
            else f"the variant is {content.variant!r}, the scale {content.scale!r}"
        )  # fmt: skip
        raise DataError(f"{path}: {told}; expected what `gazeback interpret` wrote")
    classes = tuple(content.classes)
    return RelevantFeatures(classes, layers, features, content.mu, content.variant, content.scale)


def learn_both(
    responses: Responses,
    rows: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    forward: Forward,
    mu: float | None,
    scale: str = "layer",
) -> list[RelevantFeatures]:
    """Learn the relevant features of each variant, from chosen rows with labels bool [rows, classes]."""
    found = []
    for variant in VARIANTS:
        layers = [one for one in forward.layers if variant != ONLY_CONV or one.kind == CONVOLUTION]
        if not layers:
            raise UserError(f"the model has no convolution: there is nothing for the variant {variant!r}")
        columns = np.concatenate([np.arange(forward.filters)[forward.offsets[one.name]] for one in layers])
        chosen = responses.of(rows, columns)
        found.append(learn(chosen, labels, classes, layers, variant, mu, scale))
    return found
