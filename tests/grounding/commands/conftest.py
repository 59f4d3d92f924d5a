"""A stand-in for the captioner and for `ground`, so that the command's own work is tested in milliseconds."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import gazeback.grounding
import gazeback.models
from gazeback.cnn_trace import Fixations
from gazeback.grounding import captions
from gazeback.grounding.captions import GroundedWord
from gazeback.grounding.commands.main import gazeback as group
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo

KNOWN = {"a", "dog", "in", "the", "park"}


class Stage:
    """What the stand-ins were asked: the models loaded, and per photo (name, caption, options)."""

    def __init__(self) -> None:
        self.loaded: list[Any] = []
        self.grounded: list[tuple[str, str | None, dict[str, Any]]] = []
        self.caption = "a dog in the park"

    def load_captioner(self, source: Any = None) -> str:
        self.loaded.append(source)
        return "captioner"

    def ground(self, captioner: Any, photo: Photo, caption: str | None = None, **options: Any) -> Any:
        assert captioner == "captioner"
        self.grounded.append((photo.name, caption, options))
        text = caption or self.caption
        words = tuple(self._word(word, index, photo) for index, word in enumerate(text.split()))
        return SimpleNamespace(
            kind="words",
            photo=photo, caption=text, logprob=-3.0, words=words, method="evidence", model_name="stand-in",
            methods=("evidence",),
        )  # fmt: skip

    def ground_batch(
        self, captioner: Any, photos: list[Photo], caption: str | None = None, **options: Any
    ) -> Iterator[Any]:
        for photo in photos:
            try:
                yield gazeback.grounding.ground(captioner, photo, caption, **options)
            except UserError as error:
                yield error

    def _word(self, text: str, index: int, photo: Photo) -> Any:
        shape = (photo.height, photo.width)
        points = np.array([[photo.height // 2, photo.width // 2]])
        word = SimpleNamespace(
            text=text, known=text in KNOWN, logprob=-0.5, visual=0.5 if index % 2 else -0.1,
            language=-1.0 if index % 2 else -0.4, visual_share=0.39 if index % 2 else 0.0,
            preceding=(0.1,) * index, runners_up=(("cat", 0.25),),
            fixations=Fixations(points, np.ones(1), shape), maps={}, preceding_by={}, support=None,
        )  # fmt: skip
        word.explanations = partial(GroundedWord.explanations, word)
        return word


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(gazeback.models, "load_captioner", stage.load_captioner, raising=False)
    monkeypatch.setattr(gazeback.grounding, "ground", stage.ground, raising=False)
    monkeypatch.setattr(captions, "ground_batch", stage.ground_batch)
    return stage


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `gazeback ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(group, [str(argument) for argument in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "dog.jpg"
    Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(path)
    return path
