"""Kinds of bad and odd input, made from a good file."""

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Damage = Callable[[Path], None]
"""Replaces a good file by a bad or odd one."""


def _bytes(data: bytes) -> Damage:
    return lambda path: path.write_bytes(data) and None


def _changed(change: Callable[[bytes], bytes]) -> Damage:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def _as(make: Callable[[Path], Any]) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _flip(data: bytes, place: float) -> bytes:
    at = int(len(data) * place)
    return data[:at] + bytes(255 - byte for byte in data[at : at + 20]) + data[at + 20 :]


FILES: dict[str, Damage] = {
    "missing": _as(lambda path: None),
    "folder": _as(Path.mkdir),
    "pipe": _as(os.mkfifo),
    "device": _as(lambda path: path.symlink_to("/dev/zero")),
    "loop": _as(lambda path: path.symlink_to(path)),
    "dangling": _as(lambda path: path.symlink_to("nowhere")),
    "empty": _bytes(b""),
    "zeros": _bytes(bytes(1000)),
    "text": _bytes(b"no such thing\n"),
    "half": _changed(lambda data: data[: len(data) // 2]),
    "cut": _changed(lambda data: data[:-7]),
    "flipped": _changed(lambda data: _flip(data, 0.3)),
    "flipped late": _changed(lambda data: _flip(data, 0.8)),
    "twice": _changed(lambda data: data + data),
}
"""Kinds for every file."""

JSON: dict[str, Damage] = {
    "deep": _bytes(b"[" * 200_000),
    "deep objects": _bytes(b'{"images":' * 100_000),
    "deep inside": _bytes(b'{"images": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "null": _bytes(b"null"),
    "number": _bytes(b"7"),
    "infinity": _bytes(b"Infinity"),
    "string": _bytes(b'"text"'),
    "list": _bytes(b"[1, 2]"),
    "object": _bytes(b"{}"),
    "nan inside": _changed(lambda data: data.replace(b"1", b"NaN", 1)),
    "1e400 inside": _changed(lambda data: data.replace(b"1", b"1e400", 1)),
    "5000 digits": _changed(lambda data: data.replace(b"1", b"9" * 5000, 1)),
    "latin-1": _changed(lambda data: data.replace(b"e", b"\xe9", 1)),
    "utf-16": _changed(lambda data: data.decode().encode("utf-16")),
    "surrogate": _changed(lambda data: data.replace(b'"', b'"\\udc80', 1)),
    "surrogate late": _changed(
        lambda data: b"\\ud800".join(data.rsplit(b'"', 2)[:1] + data.rsplit(b'"', 2)[1:])
    ),
}
"""Kinds for JSON files."""

VALUES: dict[str, Any] = {
    "null": None, "true": True, "text": "text", "empty text": "", "digits": "12", "negative": -1, "zero": 0,
    "fraction": 0.5, "huge": 10**18, "beyond": 10**30, "1e30": 1e30, "list": [], "object": {},
    "nested": [[[]]], "long text": "x" * 5000, "zero byte": "a\x00b", "dots": "../../..", "slash": "/",
    "emoji": "😀" * 60,
}  # fmt: skip
"""Values that stand where something else is meant."""


def changed_parts(content: Any) -> Iterator[tuple[str, Any]]:
    """The content with one part replaced by each of `VALUES`, or left out; of lists the first entry."""
    for place in _places(content):
        for name, value in VALUES.items():
            yield f"{'.'.join(map(str, place))}={name}", _with(content, place, value)
        if place and isinstance(place[-1], str):
            yield f"{'.'.join(map(str, place))} left out", _with(content, place, None, leave_out=True)


def _places(content: Any, here: tuple = ()) -> Iterator[tuple]:
    yield here
    parts = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content[:1])
        if isinstance(content, list)
        else ()
    )
    for key, value in parts:
        yield from _places(value, (*here, key))


def _with(content: Any, place: tuple, value: Any, leave_out: bool = False) -> Any:
    copy = json.loads(json.dumps(content))
    if not place:
        return value
    inside = copy
    for key in place[:-1]:
        inside = inside[key]
    if leave_out:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return copy


def _member(name: str, change: Callable[[bytes], bytes | None]) -> Damage:
    """Change one member of a zip archive; None leaves it out."""

    def damage(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {one: archive.read(one) for one in archive.namelist()}
        data = change(members.pop(name, b""))
        if data is not None:
            members[name] = data
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for one, content in members.items():
                archive.writestr(one, content)

    return damage


def _config(old: str, new: str) -> Damage:
    return _member("config.json", lambda data: data.decode().replace(old, new, 1).encode())


def _nan_weights(path: Path) -> None:
    import keras

    warnings.simplefilter("ignore")  # of Keras, while it saves; pytest restores the filters
    model = keras.models.load_model(path, compile=False)
    model.set_weights([np.full_like(array, np.nan) for array in model.get_weights()])
    members = {}
    with zipfile.ZipFile(path) as archive:
        members = {one: archive.read(one) for one in archive.namelist() if one.startswith("gazeback")}
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        for one, data in members.items():
            archive.writestr(one, data)


def _encrypted(data: bytes) -> bytes:
    """Set the flag of encryption in every header of a zip archive."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            changed[at + offset] |= 1
            at = data.find(signature, at + 1)
    return bytes(changed)


MODELS: dict[str, Damage] = {
    "config left out": _member("config.json", lambda _: None),
    "config empty": _member("config.json", lambda _: b""),
    "config of nothing": _member("config.json", lambda _: b"{}"),
    "config deep": _member("config.json", lambda _: b'{"a":' * 100_000),
    "weights left out": _member("model.weights.h5", lambda _: None),
    "weights text": _member("model.weights.h5", lambda _: b"text"),
    "weights cut": _member("model.weights.h5", lambda data: data[: len(data) // 2]),
    "about deep": _member("gazeback_classifier.json", lambda _: b"[" * 100_000),
    "about infinity": _member("gazeback_classifier.json", lambda data: data.replace(b"16", b"Infinity", 1)),
    "about huge": _member("gazeback_classifier.json", lambda data: data.replace(b"16", b"1000000000", 1)),
    "dilations": _member(
        "gazeback_classifier.json", lambda data: data.replace(b'"dilations": 0', b'"dilations": 1000000000')
    ),
    "about text": _member("gazeback.npz", lambda _: b"text"),
    "about cut": _member("gazeback.npz", lambda data: data[: len(data) // 2]),
    "about flipped": _member("gazeback.npz", lambda data: _flip(data, 0.3)),
    "huge units": _config('"filters": 3', '"filters": 1000000000'),
    "huge input": _config("[null, 16, 16, 3]", "[null, 1000000, 1000000, 3]"),
    "lambda": _config('"class_name": "GlobalAveragePooling2D"', '"class_name": "Lambda"'),
    "unknown layer": _config('"GlobalAveragePooling2D"', '"MyOwnPooling"'),
    "nan weights": _nan_weights,
    "encrypted": _changed(_encrypted),
}
"""Kinds for ``.keras`` files."""


def _picture(mode: str, size: tuple[int, int], ending: str = "PNG") -> Damage:
    def damage(path: Path) -> None:
        stream = io.BytesIO()
        Image.new(mode, size).save(stream, ending)
        path.write_bytes(stream.getvalue())

    return damage


def _bomb(path: Path) -> None:
    stream = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(stream, "PNG")
    path.write_bytes(stream.getvalue())


PHOTOS: dict[str, Damage] = {
    "tiny": _picture("RGB", (2, 2)),
    "thin": _picture("RGB", (5000, 1)),
    "long": _picture("RGB", (3000, 9)),
    "grey": _picture("L", (20, 20)),
    "transparent": _picture("RGBA", (20, 20)),
    "palette": _picture("P", (20, 20), "GIF"),
    "sixteen bits": _picture("I;16", (20, 20)),
    "floats": _picture("F", (20, 20), "TIFF"),
    "cmyk": _picture("CMYK", (20, 20), "JPEG"),
    "one bit": _picture("1", (20, 20)),
    "bomb": _bomb,
    "svg": _bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
}
"""Kinds for photos."""


def kinds_for(file: Path) -> dict[str, Damage]:
    """All kinds for a good file."""
    special = {".json": JSON, ".keras": MODELS, ".png": PHOTOS}.get(file.suffix, {})
    found = FILES | special
    if file.suffix == ".json":
        content = json.loads(file.read_text())
        for name, changed in changed_parts(content):
            found[name] = _bytes(json.dumps(changed).encode())
    return found
