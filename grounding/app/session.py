"""What the app does for a question of one user; nothing here knows Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import Any

from gazeback.grounding.captions import Grounding, ground
from gazeback.grounding.methods import is_traced
from gazeback.grounding.output.page import write_page
from gazeback.grounding.output.results import write_json
from gazeback.models import bundled, load_captioner
from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.errors import PhotoError, UserError
from gazeback.models.photos import load_photo

MOST_PIXELS = 40_000_000

MOST_METHODS = 4
"""As many methods as the page shows beside each other without becoming small."""


@dataclass(frozen=True)
class Question:
    """What a user asks: a photo's file, and how to explain it. An empty caption is generated."""

    photo: str
    caption: str
    captioner: str
    methods: tuple[str, ...]
    looks: int


class Captioners:
    """Captioners by name, each loaded when it is first asked; they answer one question at a time.

    Args:
        names: files or functions as after ``--model``; the bundled ones follow them.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(dict.fromkeys([*names, *bundled.LOADERS]))
        self._loaded: dict[str, CaptionGenerator] = {}
        self._lock = Lock()

    def explain(self, question: Question) -> Grounding:
        """Answer a question.

        Raises:
            UserError: a photo, caption, captioner or method that does not fit.
        """
        if not question.methods:
            raise UserError("choose at least one method")
        if len(question.methods) > MOST_METHODS:
            raise UserError(f"choose at most {MOST_METHODS} methods, got {len(question.methods)}")
        if question.captioner not in self.names:
            raise UserError(f"there is no captioner {question.captioner!r}; choose one of the list")
        try:
            photo = load_photo(question.photo, MOST_PIXELS)
        except PhotoError as error:  # a visitor need not know the server's folders
            raise PhotoError(str(error).replace(str(question.photo), Path(question.photo).name)) from None
        options: dict[str, Any] = {}
        if question.looks != 1 and any(map(is_traced, question.methods)):
            options["looks"] = question.looks
        with self._lock:
            captioner = self._load(question.captioner)
            caption = question.caption.strip() or None
            return ground(captioner, photo, caption, methods=question.methods, **options)

    def _load(self, name: str) -> CaptionGenerator:
        if name not in self._loaded:
            self._loaded[name] = load_captioner(name)
        return self._loaded[name]


def write_downloads(grounding: Grounding, folder: Path) -> tuple[str, str]:
    """Write page and JSON into a new folder inside ``folder``; returns their paths."""
    stem, place = Path(grounding.photo.name).stem or "photo", Path(mkdtemp(dir=folder))
    page = write_page(grounding, place / f"{stem}.html")
    return str(page), str(write_json(grounding, place / f"{stem}.json"))


def replaced(caption_words: Sequence[str], position: int, text: str) -> str:
    """The caption with one of its words replaced."""
    return " ".join([*caption_words[:position], text.strip(), *caption_words[position + 1 :]])
