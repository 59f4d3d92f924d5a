"""What a training run on sketches depends on; imports nothing heavy, the command line shows the defaults."""

from dataclasses import dataclass
from typing import Any

# The networks' sizes: what two processor cores train in a quarter of an hour on 2000 sketches.
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
# How a sketch lies in the input: see ``classifiers.strokes.Strokes``; views have up to ``MOST_DILATIONS``.
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
