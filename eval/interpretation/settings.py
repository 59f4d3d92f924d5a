"""Settings of `gazeback interpret`, checked before TensorFlow is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.interpretation import class_folder, relevant
from gazeback.grounding.workers import HERE, Workers
from gazeback.models.errors import DataError, UserError
from gazeback.models.writing import check_output

RESPONSES, RELEVANT, ABLATION, CURVES = "responses", "relevant.json", "ablation.json", "ablation.png"

CAPTIONER = "captioner"


@dataclass(frozen=True)
class Settings:
    """Settings of `gazeback interpret`: model, data, method and output."""

    model: str
    weights: str | None
    data: Path
    out: Path
    mu: float | None
    scale: str
    variant: str
    limit: int | None
    words: str | None
    json_path: Path | None
    workers: Workers = HERE

    def check(self) -> None:
        """Check the settings before the work starts. Raises UserError."""
        if self.mu is not None and not (np.isfinite(self.mu) and self.mu > 0):
            raise UserError(f"--mu {self.mu:g}: expected a positive number; the paper takes 10")
        check_output(self.json_path, "--json", ".json")
        self.workers.check()
        if not self.data.is_dir():
            raise DataError(f"no folder {self.data}; {class_folder.LAYOUT}")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write to {self.out}: {error.strerror}") from None

    @property
    def is_about_words(self) -> bool:
        """Whether the model is a captioner: it has this name, or is a file and the data has captions."""
        return self.model == CAPTIONER or (
            self.model.endswith(".keras") and (self.data / "captions_train.json").is_file()
        )

    def as_json(self) -> dict[str, Any]:
        """The settings that the figures depend on, besides the model."""
        mu = relevant.MU[self.scale] if self.mu is None else self.mu
        return {"mu": mu, "scale": self.scale, "limit": self.limit, "split": class_folder.SPLIT_RULE}
