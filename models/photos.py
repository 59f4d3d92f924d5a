"""Read pictures as upright 8-bit RGB pixels, and resize them to a model's input.

All pictures are read by `load_photo`. Its photos have at least `MIN_SIDE` pixels a side and look as in a
viewer. For a picture that cannot be read it raises a `PhotoError` that names the picture and says what is
wrong.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gazeback.models.errors import PhotoError
from gazeback.models.writing import printable

MIN_SIDE = 8
MAX_PIXELS = 89_478_485  # Pillow's own limit; larger files may be decompression bombs
WHITE = (255, 255, 255, 255)

BATCH = 16
"""The number of photos that a CNN reads at once."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photo.

    pixels: uint8 [height, width, 3], RGB. name: the file's name, or "photo". path: the file, None for pixels.
    """

    pixels: np.ndarray
    name: str
    path: Path | None = None

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True, eq=False)
class Preprocessed:
    """A photo as a model's input, with the mapping back to the photo.

    pixels: float32 [size, size, 3], RGB, 0..255. photo_shape: (height, width) of the photo.
    """

    pixels: np.ndarray
    photo_shape: tuple[int, int]

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Map points of the input to the photo: float [n, 2] (row, column) -> float [n, 2] (row, column).

        Whole numbers are the centres of pixels in both, so a map of equal sizes is the identity.
        """
        scale = np.asarray(self.photo_shape, float) / np.asarray(self.pixels.shape[:2], float)
        return (np.asarray(points, float).reshape(-1, 2) + 0.5) * scale - 0.5


def load_photo(source: "str | Path | Image.Image | np.ndarray", most_pixels: int = MAX_PIXELS) -> Photo:
    """Read the photo in a file, a Pillow image or an array (uint8 [h, w], [h, w, 1], [h, w, 3] or [h, w, 4]).

    EXIF rotation is applied, transparency is composed on white, and 16-bit grey is scaled to 8 bits. The
    first frame of an animation is used. Raises PhotoError, also for a file of more than ``most_pixels``.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        return Photo(_read(path, most_pixels), printable(path.name), path)
    if isinstance(source, Image.Image):
        with _reporting("the image"):
            return Photo(_upright_rgb(source, "the image"), "photo")
    if isinstance(source, np.ndarray):
        return Photo(_upright_rgb(_image_of_array(source), "the array"), "photo")
    raise PhotoError(
        f"a photo is a file's path, a Pillow image or a uint8 array; this is a {type(source).__name__}"
    )


def load_batches(
    sources: Iterable[str | Path], most_pixels: int = MAX_PIXELS
) -> Iterator[list[Photo | PhotoError]]:
    """Read photos in batches of `BATCH`, or of fewer that together have ``most_pixels``.

    A photo that cannot be read is its error.
    """
    batch: list[Photo | PhotoError] = []
    pixels = 0
    for source in sources:
        try:
            photo = load_photo(source)
            batch.append(photo)
            pixels += photo.width * photo.height
        except PhotoError as error:
            batch.append(error)
        if len(batch) == BATCH or pixels >= most_pixels:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def squeeze(photo: Photo, size: int | tuple[int, int]) -> Preprocessed:
    """Resize the whole photo to float32 [height, width, 3]: antialiased bicubic, aspect ratio not kept.

    ``size``: the side of a square, or (height, width).
    """
    height, width = (size, size) if isinstance(size, int) else size
    image = Image.fromarray(photo.pixels).resize((width, height), Image.Resampling.BICUBIC)
    return Preprocessed(np.asarray(image, np.float32), (photo.height, photo.width))


def bundled_photo(name: str = "astronaut.png") -> Path:
    """The path of a photo in the installed scikit-image, which is not imported; by default that of an
    astronaut (NASA, public domain)."""
    spec = find_spec("skimage")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "data", name)
        if path.is_file():
            return path
    raise PhotoError(
        "the example photo is part of scikit-image, which is not installed: name a photo instead"
    )


def _read(path: Path, most_pixels: int) -> np.ndarray:
    """Read a file as uint8 [height, width, 3]."""
    _check_file(path)
    with _reporting(str(path)), Image.open(path) as image:
        return _upright_rgb(image, str(path), most_pixels)


@contextmanager
def _reporting(name: str) -> Iterator[None]:
    """Turn everything that Pillow raises while it opens or decodes a picture into a PhotoError."""
    try:
        with warnings.catch_warnings():
            # Warnings of odd metadata are ignored; a warning of a decompression bomb is an error.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except PhotoError:
        raise
    except PermissionError:
        raise PhotoError(f"{name}: no permission to read it") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PhotoError(_too_large(name)) from None
    except UnidentifiedImageError:
        raise PhotoError(
            f"{name}: not a picture that can be read (JPEG, PNG, GIF, TIFF, WebP, ...)"
        ) from None
    except Exception as error:  # broken files make the decoders raise nearly anything
        raise PhotoError(f"{name}: broken or cut off ({_one_line(error)})") from None


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise PhotoError(f"{path}: a folder; name the photos in it")
        if not path.exists():
            raise PhotoError(f"{path}: no such file")
        if not path.is_file():
            raise PhotoError(f"{path}: not a regular file")
        if path.stat().st_size == 0:
            raise PhotoError(f"{path}: the file is empty")
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror})") from None


def _upright_rgb(image: Image.Image, name: str, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a picture as uint8 [height, width, 3]; its size is checked first."""
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f"{name}: {width} x {height} pixels; a photo needs at least {MIN_SIDE} x {MIN_SIDE}")
    if width * height > most_pixels:
        raise PhotoError(_too_large(name, most_pixels))
    image.load()
    return np.array(_opaque_rgb(_eight_bit(ImageOps.exif_transpose(image))))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale grey of 16 or 32 bits to 8 bits, which Pillow would clip at 255; other modes are unchanged."""
    if not image.mode.startswith(("I", "F")):
        return image
    grey = np.asarray(image, float)
    grey = np.nan_to_num(grey, nan=0.0, posinf=0.0, neginf=0.0)
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:  # the file does not say which value is white: use the smallest usual range that contains the values
        ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
        white = next((top for top in ranges if grey.max() <= top), float(grey.max()))
    return Image.fromarray(np.rint(np.clip(grey / white, 0, 1) * 255).astype(np.uint8))


def _opaque_rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode in ("La", "RGBa"):  # colours already multiplied by alpha
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, WHITE), picture).convert("RGB")


def _image_of_array(pixels: np.ndarray) -> Image.Image:
    expected = "a photo array is uint8 [height, width], [height, width, 1], [height, width, 3] or [..., 4]"
    if pixels.dtype != np.uint8:
        raise PhotoError(f"{expected}; this one is {pixels.dtype}: scale it to 0..255 and cast it")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if 0 in pixels.shape or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise PhotoError(f"{expected}; this one has the shape {list(pixels.shape)}")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _too_large(name: str, most_pixels: int = MAX_PIXELS) -> str:
    return f"{name}: more than {most_pixels // 1_000_000} million pixels; scale it down first"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
