"""What `gazeback interpret` draws: average images of every class, and what some photos' answers came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gazeback.eval.interpretation.average_images import average_patches
from gazeback.eval.interpretation.contact_sheet import write_contact_sheets
from gazeback.eval.interpretation.features import RelevantFeatures
from gazeback.eval.interpretation.feedback import Feedback
from gazeback.eval.interpretation.network import Network
from gazeback.eval.results import tracked

AVERAGES, FEEDBACK = "averages", "feedback"
TOP = 7
"""Average images of a class."""
SHOWN = 6
"""Photos whose answers are explained."""


def write_averages(network: Network, photos: Sequence[Path], relevant: RelevantFeatures, out: Path) -> None:
    """A contact sheet of each class in `out`/averages. Raises UserError."""
    averages = average_patches(
        network.model, network.preprocess, photos, relevant, last=network.last, top=TOP
    )
    write_contact_sheets(averages, out / AVERAGES)


def write_feedback(photos: Sequence[Path], explain: Callable[[Path], Feedback], out: Path) -> None:
    """A page, a figure and a JSON file of each of the first photos in `out`/feedback. Raises UserError."""
    shown = photos[:SHOWN]
    for path in tracked(shown, len(shown), "feedback"):
        explain(path).save(out / FEEDBACK, f"{path.parent.name}-{path.stem}")
