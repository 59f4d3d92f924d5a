"""Contact sheets: the average images of a class, each above the patches with the filter's largest
responses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from gazeback.eval.interpretation.average_images import EXAMPLES, AverageImage
from gazeback.eval.interpretation.layers import CONVOLUTION, DENSE, JOINING, POOLING
from gazeback.grounding.output.drawing import INK, SOFT, titled_sheet
from gazeback.grounding.output.files import unique_stems
from gazeback.grounding.output.panels import MARGIN, Panels
from gazeback.grounding.output.sheet import Sheet, Text, resized
from gazeback.grounding.output.text import short
from gazeback.models.writing import writing_to

KIND_COLOURS = {CONVOLUTION: "#2563c9", POOLING: "#0b7a5f", JOINING: "#a8560f", DENSE: "#a3265a"}

KIND_NAMES = {CONVOLUTION: "convolution", POOLING: "pooling", JOINING: "joined paths", DENSE: "dense"}


def feature_title(number: int, filter_number: int) -> str:
    """``layer 12 · filter 34``."""
    return f"layer {number} · filter {filter_number}"


def fitting(layer: str, width: float) -> str:
    """Fit a layer's name in small type into a width in inches; of a long path the end is kept."""
    letters = max(8, int(width * 16))
    return layer if len(layer) <= letters else "…" + layer[1 - letters :]


def draw_legend(sheet: Sheet, kinds: Iterable[str], left: float, bottom: float) -> None:
    """Draw the colours of some kinds of layers in one line; left and bottom in inches."""
    for kind in (kind for kind in KIND_COLOURS if kind in set(kinds)):
        text, colour = f"\u25a0 {KIND_NAMES[kind]}", KIND_COLOURS[kind]
        sheet.write(Text(text, left, bottom, 8.5, colour, anchor="lm"))
        left += 0.35 + 0.075 * len(KIND_NAMES[kind])


COLUMNS = 7

SIDE, GAP = 1.75, 0.06  # inches: a picture, and the gap to its examples

FULL, MOST = 160, 2.5  # the range of levels after raising the contrast, and the largest factor

LONGEST = 80  # letters of a class's name in a file name


def write_contact_sheets(averages: Mapping[str, Sequence[AverageImage]], folder: Path) -> dict[str, Path]:
    """Write ``CLASS.png`` for each class into a folder, which is made if it is missing; returns the paths.

    Raises:
        UserError: the folder cannot be written to.
    """
    # a class may have any name, also ../x
    names = [re.sub(r"[^\w -]+", "-", short(name))[:LONGEST] + ".png" for name in averages]
    paths = {name: folder / f"{stem}.png" for name, stem in zip(averages, unique_stems(names), strict=True)}
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            draw_contact_sheet(name, averages[name]).write_png(path)
    return paths


def draw_contact_sheet(name: str, averages: Sequence[AverageImage]) -> Sheet:
    """Draw the average images of a class in the given order, each with layer, filter, weight and best
    patches.

    The contrast of a mean is raised, and its note gives the factor.
    """
    columns = max(1, min(COLUMNS, len(averages)))
    panels = Panels(max(1, -(-len(averages) // columns)), columns, SIDE, SIDE + GAP + _example_side())
    sheet = titled_sheet(name, panels)
    for index, average in enumerate(averages):
        left, bottom = panels.place(index)
        shown, factor = raised(average.pixels)
        _place(sheet, shown, left, bottom + _example_side() + GAP, SIDE, KIND_COLOURS[average.kind])
        for place, example in enumerate(average.examples):
            across = left + place * (_example_side() + GAP)
            _place(sheet, example, across, bottom, _example_side())
        _write(sheet, panels, index, average, factor)
    draw_legend(sheet, {average.kind for average in averages}, MARGIN, panels.size[1] - 0.02)
    return sheet


def raised(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Raise the contrast of a picture around its mean, equally in all colours; returns it and the factor."""
    low, high = np.percentile(pixels, (1, 99))
    factor = float(np.clip(FULL / max(high - low, 1), 1, MOST))
    mean = pixels.mean(axis=(0, 1))
    return np.rint(np.clip(mean + factor * (pixels - mean), 0, 255)).astype(np.uint8), factor


def _example_side() -> float:
    return (SIDE - (EXAMPLES - 1) * GAP) / EXAMPLES


def _place(
    sheet: Sheet, pixels: np.ndarray, left: float, bottom: float, side: float, frame: str | None = None
) -> None:
    """Place a picture in the middle of a square, with a frame of some colour around it; in inches."""
    scale = side / max(pixels.shape[:2])
    height, width = (scale * cells for cells in pixels.shape[:2])
    left, bottom = left + (side - width) / 2, bottom + (side - height) / 2
    sheet.place(resized(pixels, width, height), left, bottom)
    if frame is not None:
        sheet.frame(left, bottom, width, height, frame)


def _write(sheet: Sheet, panels: Panels, index: int, average: AverageImage, factor: float) -> None:
    left, bottom = panels.place(index)
    colour, above = KIND_COLOURS[average.kind], bottom + panels.height + 0.06
    sheet.write(Text(feature_title(average.number, average.feature.filter), left, above, 8, colour))
    right = left + panels.width
    sheet.write(Text(f"{average.feature.weight:+.2g}", right, above, 8, INK, anchor="rs"))
    note = f"{fitting(average.feature.layer, SIDE)}\n{_note(average, factor)}"
    sheet.write(Text(note, left, bottom - 0.05, 6.2, SOFT, anchor="la"))


def _note(average: AverageImage, factor: float) -> str:
    if not average.patches:
        return "no photo with a response"
    rows, columns = average.size
    count = len(average.patches)
    patches = f"{count} patch{'es' * (count != 1)} of {rows} \u00d7 {columns}"
    return patches + f", contrast \u00d7 {factor:.1f}" * (factor >= 1.05)
