"""Odd but good photos come out as a viewer shows them; bad ones are named in one line."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazeback.models.errors import PhotoError, UserError
from gazeback.models.photos import MIN_SIDE, Photo, bundled_photo, load_photo, squeeze

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(size: int = 16) -> np.ndarray:
    """uint8 [size, size, 3]: red, green over blue, white. No two rotations or reflections are equal."""
    pixels = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    pixels[:half, :half], pixels[:half, half:] = RED, GREEN
    pixels[half:, :half], pixels[half:, half:] = BLUE, WHITE
    return pixels


def saved(folder: Path, name: str, image: Image.Image, **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def corners(photo: Photo) -> list[tuple[int, ...]]:
    """The colours near the corners: upper left, upper right, lower left, lower right."""
    last_row, last_column = photo.height - 3, photo.width - 3
    places = [(2, 2), (2, last_column), (last_row, 2), (last_row, last_column)]
    return [tuple(int(value) for value in photo.pixels[place]) for place in places]


def test_a_photo_tells_its_size_name_and_path(tmp_path: Path) -> None:
    path = saved(tmp_path, "park.png", Image.new("RGB", (20, 10)))
    photo = load_photo(str(path))
    assert (photo.width, photo.height, photo.name, photo.path) == (20, 10, "park.png", path)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.shape == (10, 20, 3)


# EXIF orientation -> what Pillow must do to the upright picture to store it so.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    upright = Image.fromarray(quarters()).resize((32, 16), Image.Resampling.NEAREST)
    turn = STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, "turned.png", upright if turn is None else upright.transpose(turn), exif=exif)
    photo = load_photo(path)
    assert (photo.width, photo.height) == (32, 16)
    assert corners(photo) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGB", "a.png"),
        ("P", "a.png"),
        ("P", "a.gif"),
        ("RGBA", "a.png"),
        ("CMYK", "a.tif"),
        ("RGB", "a.webp"),
    ],
)
def test_colour_modes(tmp_path: Path, mode: str, name: str) -> None:
    image = Image.fromarray(quarters()).convert(mode)
    path = saved(tmp_path, name, image, **({"lossless": True} if name.endswith("webp") else {}))
    assert corners(load_photo(path)) == [RED, GREEN, BLUE, WHITE]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path, "press.jpg", Image.fromarray(quarters(32)).convert("CMYK"), quality=95)
    found = np.array(corners(load_photo(path)))
    assert np.abs(found - np.array([RED, GREEN, BLUE, WHITE])).max() < 30


def test_grey_and_one_bit(tmp_path: Path) -> None:
    grey = np.full((10, 12), 77, np.uint8)
    assert (load_photo(saved(tmp_path, "grey.jpg", Image.fromarray(grey))).pixels == 77).all()
    bits = np.zeros((10, 12), bool)
    bits[5:] = True
    photo = load_photo(saved(tmp_path, "bits.png", Image.fromarray(bits)))
    assert (photo.pixels == np.where(bits, 255, 0)[..., None]).all()


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    deep = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (10, 1))
    photo = load_photo(saved(tmp_path, name, Image.fromarray(deep)))
    np.testing.assert_array_equal(photo.pixels[..., 0], np.rint(deep / 257.0))


def test_float_grey_is_scaled_by_its_range() -> None:
    for top in (1.0, 255.0, 65535.0, 1e6):
        ramp = np.tile(np.linspace(0, top, 32, dtype=np.float32), (10, 1))
        row = load_photo(Image.fromarray(ramp)).pixels[0, :, 0].astype(int)
        assert row[0] == 0
        assert row[-1] == 255
        assert (np.diff(row) > 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    layer = np.zeros((16, 16, 4), np.uint8)
    layer[:8, :, 3] = 255  # black above, nothing below
    image = Image.fromarray(layer)
    image = image.quantize() if mode == "P" else image.convert(mode)
    photo = load_photo(saved(tmp_path, "layer.png", image))
    assert (photo.pixels[:8] == 0).all()
    assert (photo.pixels[8:] == 255).all()


def test_half_transparent_red_is_pink() -> None:
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 128))
    assert load_photo(image).pixels[0, 0].tolist() == [255, 127, 127]


def test_a_transparent_colour_of_an_rgb_png(tmp_path: Path) -> None:
    path = saved(tmp_path, "key.png", Image.fromarray(quarters()), transparency=BLUE)
    assert corners(load_photo(path)) == [RED, GREEN, WHITE, WHITE]


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    path = saved(tmp_path, "moving.gif", frames[0], save_all=True, append_images=frames[1:])
    assert corners(load_photo(path)) == [RED] * 4


@pytest.mark.parametrize("size", [(6000, 8), (8, 6000)])
def test_very_wide_and_very_tall(size: tuple[int, int]) -> None:
    photo = load_photo(Image.new("RGB", size, GREEN))
    assert (photo.width, photo.height) == size
    assert (squeeze(photo, 32).pixels == GREEN).all()


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 1), (9, 11, 3), (9, 11, 4)])
def test_arrays(shape: tuple[int, ...]) -> None:
    photo = load_photo(np.full(shape, 255, np.uint8))
    assert photo.pixels.shape == (9, 11, 3)
    assert (photo.pixels == 255).all()
    assert (photo.name, photo.path) == ("photo", None)


def broken_files(folder: Path) -> dict[str, str]:
    """File name -> what the error must say of it."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = saved(folder, "whole.jpg", Image.fromarray(noise)).read_bytes()
    picture = saved(folder, "whole.png", Image.fromarray(noise)).read_bytes()
    (folder / "folder.jpg").mkdir()
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("Dear diary, today I took a photo.")
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.png").write_bytes(picture[: len(picture) // 2])
    (folder / "head.jpg").write_bytes(whole[:4])
    saved(folder, "dot.png", Image.new("RGB", (1, 1)))
    saved(folder, "line.png", Image.new("RGB", (100, MIN_SIDE - 1)))
    saved(folder, "bomb.png", Image.new("1", (14000, 14000)))
    saved(folder, "large.png", Image.new("1", (10000, 9500)))
    return {
        "missing.jpg": "no such file",
        "folder.jpg": "a folder; name the photos in it",
        "empty.jpg": "the file is empty",
        "text.jpg": "not a picture that can be read",
        "cut.jpg": "broken or cut off",
        "cut.png": "broken or cut off",
        "head.jpg": "not a picture that can be read",
        "dot.png": "1 x 1 pixels; a photo needs at least 8 x 8",
        "line.png": "100 x 7 pixels; a photo needs at least 8 x 8",
        "bomb.png": "more than 89 million pixels; scale it down first",
        "large.png": "more than 89 million pixels; scale it down first",
    }


def test_bad_files_are_named_in_one_line(tmp_path: Path) -> None:
    for name, problem in broken_files(tmp_path).items():
        with pytest.raises(PhotoError) as caught:
            load_photo(tmp_path / name)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name}: {problem}"), message
        assert "\n" not in message


def test_special_files_and_impossible_names() -> None:
    with pytest.raises(PhotoError, match=f"{os.devnull}: not a regular file"):
        load_photo(os.devnull)
    with pytest.raises(PhotoError, match="no such file"):
        load_photo("nul\0byte.jpg")
    with pytest.raises(PhotoError, match="cannot be read"):
        load_photo("x" * 5000)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "secret.png", Image.new("RGB", (16, 16)))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)  # root may read any file, so chmod would not do
    with pytest.raises(PhotoError, match=r"secret\.png: no permission to read it"):
        load_photo(path)


def test_a_lazily_opened_image_is_checked_too(tmp_path: Path) -> None:
    broken_files(tmp_path)
    with Image.open(tmp_path / "cut.jpg") as image, pytest.raises(PhotoError, match="broken or cut off"):
        load_photo(image)


@pytest.mark.parametrize(
    ("array", "came"),
    [
        (np.zeros((9, 9, 3)), "float64"),
        (np.zeros((9, 9, 2), np.uint8), r"\[9, 9, 2\]"),
        (np.zeros((2, 9, 9, 3), np.uint8), r"\[2, 9, 9, 3\]"),
        (np.zeros((0, 9, 3), np.uint8), r"\[0, 9, 3\]"),
    ],
)
def test_arrays_that_are_no_photo(array: np.ndarray, came: str) -> None:
    with pytest.raises(PhotoError, match=f"a photo array is uint8 .*{came}"):
        load_photo(array)


def test_other_types_are_told() -> None:
    with pytest.raises(UserError, match="this is a int"):
        load_photo(3)  # type: ignore[arg-type]


def test_metadata_warnings_stay_inside(tmp_path: Path) -> None:
    path = tmp_path / "odd.jpg"
    Image.new("RGB", (16, 16)).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_photo(path).width == 16


def test_squeeze_of_the_input_size_is_the_photo_itself() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    squeezed = squeeze(load_photo(pixels), 32)
    assert squeezed.pixels.dtype == np.float32
    np.testing.assert_array_equal(squeezed.pixels, pixels)


def test_squeeze_keeps_the_whole_photo() -> None:
    pixels = np.repeat(quarters(64), 3, axis=1)
    squeezed = squeeze(load_photo(pixels), 32).pixels
    assert squeezed[2, 2].tolist() == list(RED)
    assert squeezed[-3, -3].tolist() == list(WHITE)
    np.testing.assert_allclose(squeezed.mean((0, 1)), pixels.mean((0, 1)), atol=1)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (8, 200), (17, 5000)])
def test_points_return_to_where_they_came_from(height: int, width: int) -> None:
    """A bright block is found at its place in the photo, to half an input pixel."""
    size = 32
    back = squeeze(load_photo(np.zeros((height, width, 3), np.uint8)), size)
    whole = back.to_photo(np.array([[-0.5, -0.5], [size - 0.5, size - 0.5]]))
    np.testing.assert_allclose(whole, [[-0.5, -0.5], [height - 0.5, width - 0.5]], atol=1e-9)
    pixels = np.zeros((height, width, 3), np.uint8)
    rows, columns = slice(height // 2, None), slice(width // 4, width // 2)
    pixels[rows, columns] = 255
    squeezed = squeeze(load_photo(pixels), size)
    bright = np.argwhere(squeezed.pixels[..., 0] > 127)
    centre = squeezed.to_photo(bright).mean(0)
    expected = [(height // 2 + height - 1) / 2, (width // 4 + width // 2 - 1) / 2]
    assert np.abs(centre - expected).max() <= 0.5 * max(height, width) / size


def test_to_photo_of_no_points() -> None:
    assert squeeze(load_photo(quarters()), 32).to_photo(np.zeros((0, 2))).shape == (0, 2)


def test_the_bundled_photo_is_a_file_of_scikit_image() -> None:
    photo = load_photo(bundled_photo())
    assert (photo.name, photo.width, photo.height) == ("astronaut.png", 512, 512)


def test_without_scikit_image_the_bundled_photo_is_told_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gazeback.models.photos.find_spec", lambda _: None)
    with pytest.raises(PhotoError, match="name a photo instead"):
        bundled_photo()
