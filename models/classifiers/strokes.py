"""Find the drawing in a picture, cut it out, thicken its strokes, and fit it into a small frame."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from gazeback.models.photos import Photo

# Drawings are thickened at this size or smaller, so that the result does not depend on the scan's resolution.
WORKING_SIDE = 160
FAINTEST = 0.2  # a pixel with this fraction of the strongest stroke's ink belongs to the drawing
BARELY_DRAWN = 0.05  # below this, a pixel of the small drawing is the fringe of a stroke

Area = tuple[float, float, float, float]


@dataclass(frozen=True)
class Strokes:
    """Fits a drawing into a frame of ``height`` x ``width`` pixels.

    dilations: the number of times that a stroke grows by a pixel on each side, at ``WORKING_SIDE``. margin:
    empty pixels along every side of the frame.
    """

    height: int
    width: int
    dilations: int = 0
    margin: int = 0


def ink(photo: Photo) -> np.ndarray:
    """Compute how much each pixel differs from the paper: float32 ``[height, width]``, 0..1.

    The paper is the most frequent grey level. Strokes may be darker (pencil) or brighter (chalk). All 0 if
    nothing is drawn.
    """
    grey = np.asarray(Image.fromarray(photo.pixels).convert("L"), np.float32)
    paper = np.median(grey)
    strokes = np.maximum(paper - grey if paper >= 128 else grey - paper, 0)
    return strokes / max(float(strokes.max()), 1.0)


def drawing_area(strokes: np.ndarray) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the tight box around the drawing; the whole picture if it is empty."""
    drawn = strokes >= FAINTEST
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not len(rows):
        return 0, 0, *strokes.shape
    return (
        int(rows[0]),
        int(columns[0]),
        int(rows[-1] - rows[0] + 1),
        int(columns[-1] - columns[0] + 1),
    )


def fit(photo: Photo, style: Strokes) -> tuple[np.ndarray, Area, Area]:
    """Fit the drawing into its frame: (float32 ``[height, width]`` 0..1, area of the photo, frame that it
    fills).

    The aspect ratio is kept and the drawing is centred. The contrast is stretched until the median of the
    drawn pixels is 1, because downsampling makes thin strokes pale.
    """
    strokes = ink(photo)
    top, left, height, width = drawing_area(strokes)
    drawing = np.rint(strokes[top : top + height, left : left + width] * 255).astype(np.uint8)
    frame = _frame(height, width, style)
    small = thickened(Image.fromarray(drawing), style.dilations)
    small = small.resize((frame[3], frame[2]), Image.Resampling.BILINEAR)
    pixels = np.zeros((style.height, style.width), np.float32)
    pixels[frame[0] : frame[0] + frame[2], frame[1] : frame[1] + frame[3]] = np.asarray(small)
    return stretched(pixels / 255), (top, left, height, width), frame


def stretched(pixels: np.ndarray) -> np.ndarray:
    """Stretch the contrast of ink 0..1 until the median of the drawn pixels is 1."""
    drawn = pixels[pixels > BARELY_DRAWN]
    return np.minimum(pixels / np.median(drawn), 1.0) if len(drawn) else pixels


def thickened(drawing: Image.Image, dilations: int) -> Image.Image:
    """Downsample the drawing to ``WORKING_SIDE`` if it is larger, and grow each stroke by ``dilations``
    pixels on each side."""
    if max(drawing.size) > WORKING_SIDE:
        scale = WORKING_SIDE / max(drawing.size)
        width, height = (max(1, round(side * scale)) for side in drawing.size)
        drawing = drawing.resize((width, height), Image.Resampling.BILINEAR)
    for _ in range(dilations):
        drawing = drawing.filter(ImageFilter.MaxFilter(3))
    return drawing


def _frame(height: int, width: int, style: Strokes) -> tuple[int, int, int, int]:
    """The part of the frame that a drawing of ``height`` x ``width`` fills: (top, left, height, width), whole
    pixels."""
    room = (style.height - 2 * style.margin, style.width - 2 * style.margin)
    scale = min(room[0] / height, room[1] / width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    return (style.height - rows) // 2, (style.width - columns) // 2, rows, columns
