"""Write all files of one explained photo: page, figure and JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gazeback.models.writing import keep_apart, together, writing_to

if TYPE_CHECKING:
    from gazeback.grounding.captions import Grounding
    from gazeback.grounding.classes import TracedPhoto
    from gazeback.grounding.explanation import Outlines


def write_outputs(
    explained: "Grounding | TracedPhoto",
    folder: Path,
    stem: str,
    outlines: "Outlines | None" = None,
    layers: Sequence[str] = (),
) -> dict[str, Path]:
    """Write `STEM.html`, `STEM.png` and `STEM.json` into `folder`, which is made if it is missing.

    All files are written, or none.

    Args:
        outlines: for a word's index, polygons [[x, y], ...] in photo pixels, drawn over the word's evidence.
        layers: for a classifier, also write `STEM-layers.png`: where the first target's walk passed these
            layers.

    Returns:
        The paths by their kind: html, png, json, and layers.

    Raises:
        UserError: the folder cannot be written to, or the photo itself would be replaced; TraceError: a layer
            that was not passed.
    """
    # Imported here because they import Jinja2 and Pillow, which the command's help does not need.
    from gazeback.grounding.output.figure import write_figure
    from gazeback.grounding.output.page import write_page
    from gazeback.grounding.output.plots import write_plot
    from gazeback.grounding.output.results import write_json

    paths = outputs_of(folder, stem, with_layers=bool(layers) and explained.kind == "classes")
    keep_apart([explained.photo.path] if explained.photo.path else [], paths.values())
    at_layers = explained.plot_layers(layers) if layers and explained.kind == "classes" else None
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with together(*paths.values()) as places:
            *at, page, figure, result = places
            if at_layers is not None:
                write_plot(at_layers, at[0])
            write_page(explained, page, outlines=outlines)
            write_figure(explained, figure, outlines=outlines)
            write_json(explained, result)
    return paths


def outputs_of(folder: Path, stem: str, with_layers: bool = False) -> dict[str, Path]:
    """The files that `write_outputs` writes, by their kind, in their order."""
    layers = {"layers": folder / f"{stem}-layers.png"} if with_layers else {}
    return layers | {kind: folder / f"{stem}.{kind}" for kind in ("html", "png", "json")}


def notebook_html(explained: "Grounding | TracedPhoto") -> str:
    """The HTML that a notebook shows; see `gazeback.grounding.output.notebook`."""
    from gazeback.grounding.output import notebook

    return notebook.notebook_html(explained)
