"""Write Matplotlib's figures as PNG."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from gazeback.models.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150


def write_plot(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure to ``path`` as PNG; returns the path. Raises `OSError`."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # a word in a script that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(stream, format="png", dpi=DPI)
    return write_atomically(path, stream.getvalue())
