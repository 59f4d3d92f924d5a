"""The features that are relevant for a class: filters of layers, with weights that the µ-Lasso gave them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """One filter: the name of its layer, its place among the channels of the layer's output, its weight."""

    layer: str
    filter: int
    weight: float


@dataclass(frozen=True)
class RelevantFeatures:
    """The features of each class, the largest weight first.

    `layers` names all layers that were looked at, in the order of the network, with their numbers of
    channels.
    """

    classes: tuple[str, ...]
    layers: Mapping[str, int]
    features: Mapping[str, Sequence[Feature]]
    mu: float
    variant: str

    def of(self, name: str) -> Sequence[Feature]:
        """The features of a class by its name. Raises KeyError."""
        return self.features[name]
