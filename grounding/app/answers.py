"""What the app answers when a user changes something on a side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from gazeback.cnn_trace import TraceError
from gazeback.grounding.app.session import Captioners, Question, replaced, write_downloads
from gazeback.grounding.captions import Grounding
from gazeback.grounding.output.notebook import framed
from gazeback.models.errors import UserError

DROP = '<p class="empty">Drop a photo above.</p>'

MISTAKE = Markup('<p class="mistake" role="alert">{}</p>')


@dataclass(frozen=True)
class Shown:
    """What a side shows: a caption, by which captioner, and for each word the other words that were likely.

    ``generated``: the caption, if nobody wrote it.
    """

    words: tuple[str, ...] = ()
    likely: tuple[tuple[str, ...], ...] = ()
    generated: str = ""
    caption: str = ""
    captioner: str = ""


@dataclass(frozen=True)
class Answers:
    """The answers of one side: new values for `Side.answer`, in its order.

    Args:
        folder: for the files to download.
        second: whether this is the side that is only shown when two are compared.
    """

    captioners: Captioners
    folder: Path
    second: bool

    def explain(
        self, file: str | None, comparing: bool, caption: str | None, captioner: str, methods: list[str],
        looks: int, shown: Shown,
    ) -> list[Any]:  # fmt: skip
        """Explain the caption; one that is empty is generated."""
        if self.second and not comparing:
            return [gr.skip()] * 7
        caption = caption or ""  # a field that nobody has touched has no text at all
        if file is None:
            return _told(DROP, caption)
        try:
            grounding = self.captioners.explain(
                Question(file, caption, captioner, tuple(methods), int(looks))
            )
        except (UserError, TraceError) as error:
            return _told(MISTAKE.format(str(error)), caption)
        except MemoryError:
            return _told(MISTAKE.format("There is not enough memory: take a smaller photo."), caption)
        written = caption.strip() and caption != shown.generated
        return self._shown(grounding, "" if written else grounding.caption, captioner)

    def afresh(self, file: str | None, comparing: bool, caption: str | None, *rest: Any) -> list[Any]:
        """Explain another photo: the caption of the one before it is generated anew."""
        shown: Shown = rest[-1]
        return self.explain(file, comparing, "" if caption == shown.caption else caption, *rest)

    def by_another(self, file: str | None, comparing: bool, caption: str | None, *rest: Any) -> list[Any]:
        """Ask another captioner: a caption that the last one generated is generated anew."""
        shown: Shown = rest[-1]
        if rest[0] == shown.captioner:  # Gradio may tell one choice twice, then with the caption of before
            return [gr.skip()] * 7
        return self.explain(file, comparing, "" if caption == shown.generated else caption, *rest)

    def with_word(
        self, position: int | None, text: str | None, file: str | None, comparing: bool, _: str, *rest: Any
    ) -> list[Any]:
        """Explain the caption with one of its words replaced."""
        shown: Shown = rest[-1]
        if position is None or not text:
            return [gr.skip()] * 7
        return self.explain(file, comparing, replaced(shown.words, position, text), *rest)

    def _shown(self, grounding: Grounding, generated: str, captioner: str) -> list[Any]:
        words = tuple(word.text for word in grounding.words)
        likely = tuple(tuple(text for text, _ in word.runners_up) for word in grounding.words)
        downloads = write_downloads(grounding, self.folder)
        return [
            framed(grounding),
            grounding.caption,
            gr.update(choices=list(words), value=None),
            gr.update(choices=[], value=None),
            *(gr.update(value=path, interactive=True) for path in downloads),
            Shown(words, likely, generated, grounding.caption, captioner),
        ]


def alternatives(position: int | None, shown: Shown) -> Any:
    """The words that were likely in the place of a word."""
    return gr.update(choices=[] if position is None else list(shown.likely[position]), value=None)


def _told(message: str, caption: str) -> list[Any]:
    """An answer without a result: a sentence, and nothing to download."""
    nothing = gr.update(choices=[], value=None)
    download = gr.update(value=None, interactive=False)
    return [str(message), caption, nothing, nothing, download, download, Shown()]
