"""Settings of a training run on sketches. Keras is not imported, so the command line can show them fast."""

from dataclasses import dataclass
from typing import Any

# Sizes that two processor cores train in a quarter of an hour on 2000 sketches.
OPTIONS: dict[str, dict[str, Any]] = {
    "sketch_densenet": {"image_size": 96},
    "sketch_a_net": {
        "image_size": 113,
        "width": 0.5,
        "first_kernel": 7,
        "first_stride": 2,
        "normalised": True,
        "dropout": 0.3,
    },
}
# How a sketch is fitted into the input, see ``classifiers.strokes.Strokes``; views have up to
# ``MOST_DILATIONS``.
DILATIONS, MOST_DILATIONS, MARGIN = 1, 2, 4


@dataclass(frozen=True)
class Settings:
    """The options of ``gazeback train sketch``."""

    network: str = "sketch_densenet"
    epochs: int = 50
    batch: int = 32
    learning_rate: float = 2e-3
    patience: int = 20
    seed: int = 0
