"""Writes all files of one explained photo: page, figure and JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gazeback.grounding.output.files import writing_to

if TYPE_CHECKING:
    from gazeback.grounding.captions import Grounding
    from gazeback.grounding.classes import TracedPhoto
    from gazeback.grounding.explanation import Outlines


def write_outputs(
    grounding: "Grounding", folder: Path, stem: str, outlines: "Outlines | None" = None
) -> dict[str, Path]:
    """Write `STEM.html`, `STEM.png` and `STEM.json` into `folder`, which is made if need be.

    Each file appears whole, the JSON last: where it is, the other two are too. `outlines`: word index ->
    polygons [[x, y], ...] in photo pixels, drawn over that word's evidence. Returns the paths by their kind:
    html, png, json. Raises UserError where the folder cannot be written to.
    """
    # Imported here as they bring Jinja2 and Matplotlib, which the command's help can do without.
    from gazeback.grounding.output.figure import write_figure
    from gazeback.grounding.output.page import write_page
    from gazeback.grounding.output.results import write_json

    paths = {kind: folder / f"{stem}.{kind}" for kind in ("html", "png", "json")}
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_page(grounding, paths["html"], outlines=outlines)
        write_figure(grounding, paths["png"], outlines=outlines)
        write_json(grounding, paths["json"])
    return paths


def write_traced(
    traced: "TracedPhoto", folder: Path, stem: str, layers: Sequence[str] = ()
) -> dict[str, Path]:
    """Write `STEM.html`, `STEM.png` and `STEM.json` of a classifier's answers, as `write_outputs` does.

    With `layers` also `STEM-layers.png`: where the first target's walk passed them (kind: layers). Raises
    UserError where the folder cannot be written to, TraceError for a layer that was not passed.
    """
    from gazeback.grounding.output.drawing import write_png
    from gazeback.grounding.output.figure import write_traced_figure
    from gazeback.grounding.output.page import write_traced_page
    from gazeback.grounding.output.results import write_traced_json

    paths = {kind: folder / f"{stem}.{kind}" for kind in ("html", "png", "json")}
    at_layers = traced.plot_layers(layers) if layers else None
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if at_layers is not None:
            paths["layers"] = write_png(at_layers, folder / f"{stem}-layers.png")
        write_traced_page(traced, paths["html"])
        write_traced_figure(traced, paths["png"])
        write_traced_json(traced, paths["json"])
    return paths
