"""Write all files of one explained photo: page, figure and JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gazeback.models.writing import writing_to

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

    Each file is written atomically, the JSON last: if it exists, so do the other two.

    Args:
        outlines: for a word's index, polygons [[x, y], ...] in photo pixels, drawn over the word's evidence.
        layers: for a classifier, also write `STEM-layers.png`: where the first target's walk passed these
            layers.

    Returns:
        The paths by their kind: html, png, json, and layers.

    Raises:
        UserError: the folder cannot be written to; TraceError: a layer that was not passed.
    """
    # Imported here because they import Jinja2 and Matplotlib, which the command's help does not need.
    from gazeback.grounding.output.drawing import write_png
    from gazeback.grounding.output.figure import write_figure
    from gazeback.grounding.output.page import write_page
    from gazeback.grounding.output.results import write_json

    paths = {kind: folder / f"{stem}.{kind}" for kind in ("html", "png", "json")}
    at_layers = explained.plot_layers(layers) if layers and explained.kind == "classes" else None
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if at_layers is not None:
            paths["layers"] = write_png(at_layers, folder / f"{stem}-layers.png")
        write_page(explained, paths["html"], outlines=outlines)
        write_figure(explained, paths["png"], outlines=outlines)
        write_json(explained, paths["json"])
    return paths
