"""Settings of `gazeback ground`, checked before TensorFlow is imported."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazeback.models import bundled
from gazeback.models.errors import ModelError, UserError
from gazeback.models.from_code import names_code

if TYPE_CHECKING:
    from gazeback.grounding.captions import Grounding
    from gazeback.models.caption_generator import CaptionGenerator
    from gazeback.models.photos import Photo


@dataclass(frozen=True)
class Settings:
    """Settings of `gazeback ground`; None is the default of `gazeback.grounding.ground`."""

    model: str | None = None
    caption: str | None = None
    method: str | None = None
    methods: str | None = None
    preceding: bool = False
    beam: int | None = None
    share: float | None = None
    looks: int | None = None

    def check(self) -> None:
        """Raise UserError for settings that cannot work, before anything is loaded."""
        if self.beam is not None and self.beam < 1:
            raise UserError(f"--beam: expected a width of 1 or more, got {self.beam}")
        if self.share is not None and not 0 < self.share <= 1:
            raise UserError(f"--share: expected a fraction above 0 and at most 1, got {self.share:g}")
        if self.looks not in (None, 1, 2):
            raise UserError(f"--looks: expected 1 or 2, got {self.looks}")
        if self.method is not None and self.methods is not None:
            raise UserError(
                "--method is one method and --methods are several to compare: give one of the two"
            )
        if self.caption is not None and not any(letter.isalnum() for letter in self.caption):
            raise UserError(f"--caption: expected at least one word, got {self.caption!r}")
        if self.model is not None:
            check_model(self.model)
        if self.method is not None:
            from gazeback.grounding.methods import check_traced  # brings TensorFlow: seconds

            check_traced(self.method)
        if self.methods is not None:
            from gazeback.grounding.captions import compared

            compared(self.named_methods)

    def __getstate__(self) -> dict[str, Any]:
        """Without the captioner: each worker loads its own."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def named_methods(self) -> tuple[str, ...]:
        """Split the value of --methods at its commas."""
        return tuple(name.strip() for name in (self.methods or "").split(",") if name.strip())

    def load(self) -> "CaptionGenerator":
        """Load the captioner, once. Raises UserError."""
        return self._captioner

    @cached_property
    def _captioner(self) -> "CaptionGenerator":
        from gazeback.models import load_captioner  # brings TensorFlow: seconds

        captioner: CaptionGenerator = load_captioner(self.model)
        return captioner

    def model_key(self) -> str:
        """What the captioner is, for a run that resumes: a bundled one by its name and the bundled files, so
        that it need not be loaded; any other by its contents."""
        from gazeback.models.contents import digest, files_digest

        name = self.model or bundled.DEFAULT
        if name in bundled.LOADERS:
            return f"{name} {files_digest(sorted(bundled.WEIGHTS.glob('*.npz')))}"
        return digest(self.load())

    def ground_batch(
        self, captioner: "CaptionGenerator", photos: "Sequence[Photo]"
    ) -> "Iterator[Grounding | UserError]":
        """Ground photos that the CNN reads at once; for one that cannot be grounded the error is yielded."""
        from gazeback.grounding.captions import ground_batch

        options = {name: getattr(self, name) for name in ("method", "beam", "share", "looks")}
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if self.methods is not None:
            given["methods"] = self.named_methods
        if self.preceding:
            given["preceding"] = True
        return ground_batch(captioner, photos, self.caption, **given)


def check_model(model: str) -> None:
    """Raise UserError at once for a missing file; the loader checks the content later."""
    path = Path(model)
    if path.is_file() or model in bundled.LOADERS or names_code(model):
        return
    problem = "a folder" if path.is_dir() else "not a regular file" if path.exists() else "no such file"
    raise ModelError(
        f"--model {model}: {problem}; give a FILE.keras made by `gazeback train captioner`, "
        "or leave the option out for the bundled captioner"
    )
