"""Write feedback as figure, page and JSON, in the style of the pages of traced photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gazeback.eval.harness.run import tracked
from gazeback.eval.interpretation.average_images import average_patches
from gazeback.eval.interpretation.contact_sheet import (
    KIND_COLOURS,
    KIND_NAMES,
    draw_legend,
    feature_title,
    fitting,
    write_contact_sheets,
)
from gazeback.eval.interpretation.feedback import METHODS, Feedback, ShownFeature
from gazeback.eval.interpretation.forward import Network
from gazeback.eval.interpretation.relevant import RelevantFeatures
from gazeback.grounding.output.colours import blended, look_of
from gazeback.grounding.output.drawing import (
    INK,
    draw_bar,
    panel_picture,
    titled_sheet,
    write,
)
from gazeback.grounding.output.figure import write_methods
from gazeback.grounding.output.page import (
    MAP_LONGEST,
    PHOTO_LONGEST,
    bar_width,
    explanation_data,
    jpeg_uri,
    render,
)
from gazeback.grounding.output.panels import MARGIN, arrange_matrix
from gazeback.grounding.output.results import explanation_to_json, number
from gazeback.grounding.output.sheet import Sheet
from gazeback.grounding.output.text import facts, probability_text, short, synonyms
from gazeback.models.writing import json_text, write_atomically, writing_to

AVERAGES, FEEDBACK = "averages", "feedback"

TOP = 7
"""The number of average images of a class."""

SHOWN = 6
"""The number of photos whose predictions are explained."""


def write_averages(network: Network, photos: Sequence[Path], relevant: RelevantFeatures, out: Path) -> None:
    """Write a contact sheet of each class into `out`/averages. Raises UserError."""
    averages = average_patches(
        network.model, network.preprocess, photos, relevant, last=network.last, top=TOP
    )
    write_contact_sheets(averages, out / AVERAGES)


def write_feedbacks(photos: Sequence[Path], explain: Callable[[Path], Feedback], out: Path) -> None:
    """Write a page, a figure and a JSON file of each of the first photos into `out`/feedback. Raises
    UserError."""
    shown = photos[:SHOWN]
    for path in tracked(shown, len(shown), "feedback"):
        write_feedback(explain(path), out / FEEDBACK, f"{path.parent.name}-{path.stem}")


TEMPLATES = Path(__file__).with_name("templates")


def write_feedback(feedback: Feedback, folder: Path, stem: str) -> dict[str, Path]:
    """Write ``STEM.html``, ``STEM.png`` and ``STEM.json`` into a folder, which is made if it is missing.

    Raises:
        UserError: the folder cannot be written to.
    """
    paths = {kind: folder / f"{stem}.{kind}" for kind in ("html", "png", "json")}
    text = json_text(feedback_to_json(feedback))
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(paths["html"], feedback_html(feedback).encode("utf-8", errors="replace"))
        draw_feedback(feedback).write_png(paths["png"])
        write_atomically(paths["json"], text.encode("utf-8", errors="replace"))
    return paths


def answer_text(feedback: Feedback) -> str:
    """The class in few words, with its probability if the model gives one."""
    name = short(feedback.name)
    return name if feedback.probability is None else f"{name}, {probability_text(feedback.probability)}"


def draw_feedback(feedback: Feedback) -> Sheet:
    """Draw the photo with the prediction, and a column for each feature with a row for each method."""
    photo, look = feedback.photo, look_of(feedback.photo)
    panels = arrange_matrix(len(METHODS), len(feedback.features), photo.width / photo.height)
    sheet = titled_sheet(f"{photo.name}: {answer_text(feedback)}", panels)
    plain = panel_picture(photo, panels)
    sheet.place(plain, *panels.place(0))
    probability = "" if feedback.probability is None else probability_text(feedback.probability)
    note = f"answer of {feedback.model_name}"
    if not feedback.features:
        note += "\nthe photo has no relevant feature of the class"
    write(sheet, panels, 0, short(feedback.name), INK, probability, note)
    if feedback.probability is not None:
        draw_bar(sheet, panels, 0, feedback.probability)
    for index, shown in enumerate(feedback.features):
        cells = [panels.index(method, index) for method in range(len(METHODS))]
        for cell, explanation in zip(cells, shown.explanations, strict=True):
            sheet.place(blended(plain, explanation.heat(MAP_LONGEST), look), *panels.place(cell))
        colour, share = KIND_COLOURS[shown.kind], probability_text(shown.share)
        note = f"filter {shown.feature.filter}\n{fitting(shown.feature.layer, panels.width)}"
        write(sheet, panels, cells[0], f"layer {shown.number}", colour, share, note, cells[-1])
        draw_bar(sheet, panels, cells[-1], shown.share)
    if feedback.features:
        write_methods(sheet, panels, METHODS)
        kinds = {shown.kind for shown in feedback.features}
        draw_legend(sheet, kinds, MARGIN, panels.size[1] - 0.02)
    return sheet


def feedback_to_json(feedback: Feedback) -> dict[str, Any]:
    """Convert to a JSON-ready object; every coordinate is in pixels of the upright photo.

    Keys: ``photo`` (name), ``width``, ``height``, ``model``, ``class``, ``probability``, ``predictions``
    (``class``, ``index``, ``probability``, best first) and ``features``, the most relevant first: ``layer``,
    ``number`` (of the layer, from 1), ``kind``, ``filter``, ``weight``, ``response``, ``relevance``,
    ``share`` and ``methods``, as in the JSON of a traced photo.
    """
    photo = feedback.photo
    return {
        "photo": photo.name,
        "width": int(photo.width),
        "height": int(photo.height),
        "model": feedback.model_name,
        "class": feedback.name,
        "probability": None if feedback.probability is None else number(feedback.probability),
        "predictions": [
            {"class": one.name, "index": one.index, "probability": number(one.probability)}
            for one in feedback.predictions
        ],
        "features": [_feature_to_json(shown, (photo.height, photo.width)) for shown in feedback.features],
    }


def _feature_to_json(shown: ShownFeature, shape: tuple[int, int]) -> dict[str, Any]:
    return {
        "layer": shown.feature.layer,
        "number": shown.number,
        "kind": shown.kind,
        "filter": shown.feature.filter,
        "weight": number(shown.feature.weight),
        "response": number(shown.response),
        "relevance": number(shown.relevance),
        "share": number(shown.share),
        "methods": {one.method: explanation_to_json(one, one.region(shape)) for one in shown.explanations},
    }


def feedback_html(feedback: Feedback) -> str:
    """Build the whole page: photo, prediction, features, style and script in one file that needs no
    network."""
    photo = feedback.photo
    largest = max((shown.share for shown in feedback.features), default=1.0)
    return render(
        "feedback.html.j2",
        styles=("base.css", "stage.css", "classes.css", "feedback.css"),
        scripts=("shared.js", "overlay.js", "classes.js"),
        folder=TEMPLATES,
        feedback=feedback,
        methods=METHODS,
        answer=short(feedback.name),
        others=synonyms(feedback.name),
        probability="" if feedback.probability is None else probability_text(feedback.probability),
        predictions=[
            (short(one.name), probability_text(one.probability), bar_width(one.probability))
            for one in feedback.predictions
        ],
        features=[
            (
                shown,
                feature_title(shown.number, shown.feature.filter),
                probability_text(shown.share),
                bar_width(shown.share / largest),
            )
            for shown in feedback.features
        ],
        kinds=[
            (kind, KIND_NAMES[kind])
            for kind in KIND_COLOURS
            if kind in {shown.kind for shown in feedback.features}
        ],
        photo_uri=jpeg_uri(photo, PHOTO_LONGEST),
        ratio=photo.width / photo.height,
        drawing=look_of(photo).blend != "normal",
        payload=feedback_data(feedback),
    )


def feedback_data(feedback: Feedback) -> dict[str, Any]:
    """The data of the page's script, as for a traced photo, with the features as targets."""
    photo, look = feedback.photo, look_of(feedback.photo)
    return {
        "width": photo.width,
        "height": photo.height,
        "heat": look.stops,
        "blend": look.blend,
        "methods": list(METHODS),
        "targets": [
            {
                "text": feature_title(shown.number, shown.feature.filter),
                "verdict": _verdict(shown, feedback),
                "evidence": [
                    {
                        **explanation_data(one, one.region((photo.height, photo.width))),
                        "facts": facts(one, (photo.height, photo.width)),
                    }
                    for one in shown.explanations
                ],
            }
            for shown in feedback.features
        ],
    }


def _verdict(shown: ShownFeature, feedback: Feedback) -> str:
    share = probability_text(shown.share)
    return f"({shown.feature.layer}) contributes {share} of the evidence for {short(feedback.name)}."
