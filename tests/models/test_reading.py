"""The boundary through which files of others are read: sizes first, one clear error for everything else."""

import io
import os
import zipfile

import numpy as np
import pytest

from gazeback.models.errors import DataError, ModelError
from gazeback.models.reading import (
    FileName,
    Known,
    Side,
    fits,
    read_arrays,
    read_bytes,
    read_json,
    read_lines,
    read_member,
    read_text,
)


class Entry(Known):
    name: FileName
    height: Side | None = None


class Content(Known):
    entries: list[Entry]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"entries": [{"name": "a", "height": 3, "more": []}]}', None),
        ("", "not JSON"),
        ("[]", "not a list of names: expected an object, got a list"),
        ("{}", "'entries' is missing"),
        ('{"entries": 3}', "entries: expected a list, got a whole number"),
        ('{"entries": [{"name": 3}]}', r"entries\[0\].name: expected text, got a whole number"),
        ('{"entries": [{"name": "a", "height": "3"}]}', "expected a whole number or null, got text"),
        ('{"entries": [{"name": "a", "height": 0}]}', "expected a whole number >= 1"),
        ('{"entries": [{"name": "a\\u0000b"}]}', "matching regex"),
        ('{"entries": [{"name": "\\ud800"}]}', "not JSON"),
        ('{"entries": [], "more": NaN}', "not JSON"),
        ('{"entries": [], "more": -Infinity}', "not JSON"),
        ('{"entries": [{"name": "a", "height": 1e400}]}', "out of range"),
        ('{"entries": [{"name": "a", "height": ' + "9" * 5000 + "}]}", "out of range"),
        ('{"entries": ' + "[" * 100_000, "expected an object, got a list"),
        ('{"more": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_json_is_checked_against_a_type(tmp_path, text, told):
    path = tmp_path / "a.json"
    path.write_text(text)
    if told is None:
        assert read_json(path, Content, "a list of names").entries[0].height == 3
        return
    with pytest.raises(DataError, match=told) as caught:
        read_json(path, Content, "a list of names")
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_in_any_of_its_encodings(tmp_path, encoding):
    (tmp_path / "a").write_bytes('["ä"]'.encode(encoding))
    assert read_json(tmp_path / "a", list[str], "names") == ["ä"]


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, told in [
        (tmp_path / "pipe", "not a regular file; expected names"),
        (tmp_path, "a folder; expected names"),
        (tmp_path / "none", "no such file; expected names"),
        (tmp_path / ("x" * 300), "File name too long"),
        (tmp_path / "a\0b", "null byte"),
    ]:
        with pytest.raises(ModelError, match=told):
            read_bytes(path, "names", ModelError)
    (tmp_path / "large").write_bytes(b"123")
    with pytest.raises(DataError, match="larger than 2 bytes"):
        read_bytes(tmp_path / "large", "names", most=2)
    (tmp_path / "latin").write_bytes(b"\xe4")
    with pytest.raises(DataError, match="not UTF-8"):
        read_text(tmp_path / "latin", "names")


def test_lines_that_are_cut_off_are_left_out(tmp_path):
    path = tmp_path / "lines"
    assert list(read_lines(path, Entry, "entries")) == []
    path.write_bytes(b'{"name": "a"}\n{"name": \n\xff\n[1]\n{"name": "b"}')
    assert [entry.name for entry in read_lines(path, Entry, "entries")] == ["a", "b"]


def archive(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def with_member(name, data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(name, data)
    return stream.getvalue()


def header(shape, dtype="<f4"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def flipped(data):
    middle = len(data) // 3
    return data[:middle] + bytes(255 - byte for byte in data[middle : middle + 40]) + data[middle + 40 :]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"text", "no complete zip archive, so not weights"),
        (archive(a=np.arange(99))[:-30], "no complete zip archive"),
        (flipped(archive(a=np.random.default_rng(0).random(99))), "damaged|no complete"),
        (with_member("a.npy", b"no array"), "damaged"),
        (
            with_member("a.npy", header((10**6, 10**6))),
            "and holds less",
        ),
        (with_member("a.npy", header((-1,))), "damaged"),
        (archive(a=np.array([{}], object)), "damaged"),
    ],
)
def test_damaged_arrays(data, told):
    with pytest.raises(DataError, match=told):
        read_arrays(data, "w.npz", "weights")


def test_whole_arrays_and_members(tmp_path):
    assert np.array_equal(read_arrays(archive(a=np.arange(3)), "w", "weights")["a"], [0, 1, 2])
    path = tmp_path / "a.zip"
    path.write_bytes(with_member("b", b"text"))
    assert read_member(path, "b", "text") == b"text"
    assert read_member(path, "c", "text") is None
    with pytest.raises(DataError, match="larger than 3 bytes"):
        read_member(path, "b", "text", most=3)


def test_parts_fit_types():
    assert fits([1, 2.5], list[float])
    assert not fits([1, "2"], list[float])
