import numpy as np
import pytest
from PIL import Image

from gazeback.grounding.output import sheet
from gazeback.grounding.output.sheet import DPI, Sheet, Text, resized


def dark(image):
    """The first and last row and column of what is drawn on white."""
    rows, columns = np.nonzero(np.asarray(image, int).min(axis=-1) < 128)
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize(
    ("anchor", "upright", "rows", "columns"),
    [
        ("ls", True, (0, DPI), (DPI, 2 * DPI)),
        ("rs", True, (0, DPI), (0, DPI)),
        ("la", True, (DPI, 2 * DPI), (DPI, 2 * DPI)),
        ("ls", False, (DPI / 2, 1.5 * DPI), (0, DPI)),
    ],
)
def test_text_is_on_its_side_of_its_place(anchor, upright, rows, columns):
    made = Sheet(2, 2)
    made.write(Text("HH", 1, 1, 20, "black", anchor=anchor, upright=upright))
    top, bottom, left, right = dark(made.image)
    assert rows[0] <= top < bottom <= rows[1]
    assert columns[0] - 1 <= left < right <= columns[1]
    assert (bottom - top > right - left) is not upright


def test_without_the_fonts_text_is_drawn_in_another(monkeypatch):
    monkeypatch.setattr(sheet, "FONTS", {"plain": "no such font"})
    sheet.font_of.cache_clear()
    made = Sheet(1, 1)
    made.write(Text("H", 0.5, 0.5, 20, "black"))
    sheet.font_of.cache_clear()
    assert dark(made.image)[1] <= DPI / 2


def test_places_are_inches_from_the_lower_left():
    made = Sheet(2, 1)
    made.place(resized(np.zeros((4, 4, 3), np.uint8), 0.5, 0.25), 1, 0.5)
    assert dark(made.image) == (0.25 * DPI, 0.5 * DPI - 1, DPI, 1.5 * DPI - 1)
    made = Sheet(2, 1)
    made.fill(0.5, 0, 1, 0.001, "black")
    assert dark(made.image) == (DPI - 1, DPI - 1, 0.5 * DPI, 1.5 * DPI - 1)


def test_a_frame_surrounds_a_picture():
    made = Sheet(1, 1)
    made.frame(0.25, 0.25, 0.5, 0.5, "black")
    assert dark(made.image) == (28, 91, 28, 91)
    assert np.asarray(made.image)[31:89, 31:89].min() == 255


def test_a_sheet_of_photos_is_a_small_png_of_nearly_the_same_colours(tmp_path):
    made, (rows, columns) = Sheet(3, 2), np.indices((200, 300))
    photo = np.stack([rows, columns * 0.8, 255 - rows], axis=-1)
    made.place(resized(photo, 2.5, 1.7), 0.2, 0.2)
    with Image.open(made.write_png(tmp_path / "sheet.png")) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "P", (3 * DPI, 2 * DPI))
        difference = np.abs(np.asarray(image.convert("RGB"), int) - np.asarray(made.image, int))
    assert difference.mean() < 4
    assert difference.max() < 40
