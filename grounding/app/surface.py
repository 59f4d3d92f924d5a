"""The surface of the app: a photo, and one or two sides that each explain a caption of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from gazeback.grounding.app.answers import DROP, Answers, Shown, alternatives
from gazeback.grounding.app.session import MOST_METHODS, Captioners
from gazeback.grounding.methods import known_methods
from gazeback.models.photos import bundled_photo

DEFAULT_METHODS = ["evidence"]

ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "explain"}


@dataclass
class Side:
    """The parts of one side, left or right."""

    column: gr.Column
    captioner: gr.Dropdown
    methods: gr.Dropdown
    looks: gr.Radio
    caption: gr.Textbox
    word: gr.Dropdown
    instead: gr.Dropdown
    result: gr.HTML
    page: gr.DownloadButton
    numbers: gr.DownloadButton
    shown: gr.State = field(default_factory=lambda: gr.State(Shown()))

    @property
    def asked(self) -> list[Any]:
        return [self.caption, self.captioner, self.methods, self.looks, self.shown]

    @property
    def answer(self) -> list[Any]:
        return [
            self.result, self.caption, self.word, self.instead, self.page, self.numbers, self.shown,
        ]  # fmt: skip


def build(captioners: Captioners, folder: Path) -> gr.Blocks:
    """Build the app. Files to download are written into ``folder``."""
    with gr.Blocks(title="gazeback", analytics_enabled=False, delete_cache=(600, 3600)) as app:
        gr.HTML('<h1 class="mark">gazeback</h1><p>Which pixels does each word of a caption come from?</p>')
        with gr.Row():
            photo = gr.File(label="Photo", file_types=["image"], height=110, elem_id="photo", scale=3)
            with gr.Column(scale=1, min_width=200):
                example = gr.Button("Example photo", size="sm", elem_id="example")
                compare = gr.Checkbox(label="Compare two captions or captioners", elem_id="compare")
        with gr.Row(equal_height=False):
            sides = [_side(captioners, "left", True), _side(captioners, "right", False)]
        example_shown = example.click(lambda: str(bundled_photo()), outputs=photo, api_visibility="private")
        for side, second in zip(sides, (False, True), strict=True):
            answers = Answers(captioners, folder, second)
            _connect(side, answers, photo, compare, example_shown)
        compare.input(lambda on: gr.update(visible=on), compare, sides[1].column)
    return app


def _side(captioners: Captioners, name: str, visible: bool) -> Side:
    def named(part: str) -> str:
        return f"{name}-{part}"

    with gr.Column(visible=visible, min_width=320, elem_id=name) as column:
        with gr.Row():
            caption = gr.Textbox(
                label="Caption", placeholder="Empty: the captioner writes it", submit_btn="Explain",
                max_length=2000, elem_id=named("caption"), scale=3, min_width=480,
            )  # fmt: skip
            word = gr.Dropdown(
                [], label="Change the word", type="index", elem_id=named("word"), min_width=130
            )
            instead = gr.Dropdown(
                [], label="to", allow_custom_value=True, elem_id=named("instead"), min_width=130
            )
        with gr.Accordion("Captioner and method", open=False, elem_id=named("how")):
            captioner = gr.Dropdown(
                list(captioners.names), value=captioners.names[0], label="Captioner",
                elem_id=named("captioner"),
            )  # fmt: skip
            methods = gr.Dropdown(
                list(known_methods()), value=DEFAULT_METHODS, multiselect=True, label="Methods",
                max_choices=MOST_METHODS, elem_id=named("methods"),
            )  # fmt: skip
            looks = gr.Radio(
                [1, 2], value=1, label="Looks", info="2: also at twice the size; slower, finer",
                elem_id=named("looks"),
            )  # fmt: skip
        result = gr.HTML(DROP, elem_id=named("result"))
        with gr.Row():
            page = gr.DownloadButton("Page (HTML)", size="sm", interactive=False, elem_id=named("page"))
            numbers = gr.DownloadButton(
                "Numbers (JSON)", size="sm", interactive=False, elem_id=named("numbers")
            )
    return Side(column, captioner, methods, looks, caption, word, instead, result, page, numbers)


def _connect(side: Side, answers: Answers, photo: gr.File, compare: gr.Checkbox, example: Any) -> None:
    """Say what happens when a user changes something that a side depends on."""
    asked, answer = [photo, compare, *side.asked], side.answer
    how: dict[str, Any] = {"show_progress_on": side.result, "api_visibility": "private", **ONE_AT_A_TIME}
    for new_photo in (photo.upload, photo.clear, example.then):
        new_photo(answers.afresh, asked, answer, **how)
    for changed in (side.caption.submit, side.methods.input, side.looks.input):
        changed(answers.explain, asked, answer, **how)
    side.captioner.input(answers.by_another, asked, answer, **how)
    side.word.input(alternatives, [side.word, side.shown], side.instead, api_visibility="private")
    side.instead.input(answers.with_word, [side.word, side.instead, *asked], answer, **how)
    if answers.second:
        compare.input(answers.explain, asked, answer, **how)
