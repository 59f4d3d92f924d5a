"""The features that are relevant for a class: filters of layers, with weights that the µ-Lasso gave them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """One filter: the name of its layer, its place among the channels of the layer's output, its weight.

    The weight is for ``(response - mean) / deviation``: 0 and 1 where the responses are not standardised.
    """

    layer: str
    filter: int
    weight: float
    mean: float = 0.0
    deviation: float = 1.0

    def relevance(self, response: float) -> float:
        """r = w x of a photo's response (Oramas et al. 2019, section 3.2); no unit."""
        return self.weight * (response - self.mean) / self.deviation


@dataclass(frozen=True)
class RelevantFeatures:
    """The features of each class, the largest weight first.

    `layers` names all layers that were looked at, in the order of the network, with their numbers of
    channels. `scale`: one of `gazeback.eval.interpretation.relevant.SCALES`.
    """

    classes: tuple[str, ...]
    layers: Mapping[str, int]
    features: Mapping[str, Sequence[Feature]]
    mu: float
    variant: str
    scale: str = "layer"

    def of(self, name: str) -> Sequence[Feature]:
        """The features of a class by its name. Raises KeyError."""
        return self.features[name]
