"""Files are written whole or not at all, and nothing that was given is replaced."""

import os

import numpy as np
import pytest

from gazeback.models.errors import UserError
from gazeback.models.writing import (
    append_line,
    check_output,
    json_text,
    keep_apart,
    new_array,
    printable,
    together,
    whole,
    write_atomically,
)


def test_all_files_are_written_or_none(tmp_path):
    page, figure = tmp_path / "a.html", tmp_path / "a.png"
    page.write_text("old")

    def fail():
        with together(page, figure) as (first, _):
            first.write_text("new")
            raise RuntimeError("the figure fails")

    with pytest.raises(RuntimeError):
        fail()
    assert page.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.html"]
    with together(page, figure) as (first, second):
        assert (first.suffix, second.suffix) == (".html", ".png")
        first.write_text("new")
        second.write_text("drawn")
    assert sorted(os.listdir(tmp_path)) == ["a.html", "a.png"]


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_failed_write_leaves_nothing(tmp_path):
    def interrupted():
        with whole(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_a_line_after_one_that_was_cut_off(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntw")
    append_line(path, "three")
    append_line(path, "four")
    assert path.read_text() == "one\ntw\nthree\nfour\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.html", "expected a file that ends in .json"),
        ("folder.json", "it is a folder"),
        ("none/a.json", "there is no folder"),
        ("pipe.json", "it is not a regular file"),
        ("x" * 300 + ".json", "File name too long"),
        ("a\udc80.json", "expected a name in UTF-8"),
    ],
)
def test_where_no_result_can_be_written(tmp_path, name, told):
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match=f"--json .*{told}"):
        check_output(tmp_path / name, "--json", ".json")
    check_output(tmp_path / "new.json", "--json", ".json")
    check_output(None, "--json", ".json")


def test_a_photo_is_not_replaced_by_its_figure(tmp_path):
    with pytest.raises(UserError, match=r"would replace the photo .*; choose another --out"):
        keep_apart([tmp_path / "dog.png"], [tmp_path / "sub" / ".." / "dog.png"])
    keep_apart([tmp_path / "dog.jpg"], [tmp_path / "dog.png"])


def test_json_never_holds_what_json_is_not():
    content = {1: [float("nan"), np.float32("inf"), np.int64(3), np.array([1.5, -np.inf])], "ä": (True, None)}
    assert json_text(content) == '{"1": [null, null, 3, [1.5, null]], "ä": [true, null]}'
    assert printable("a\udc80b") == "a?b"


def test_the_place_of_an_array_is_reserved(tmp_path):
    made = new_array(tmp_path / "a.npy", np.float32, (100, 100))
    assert made.shape == (100, 100)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 40_000
    with pytest.raises(OSError, match=r"No space|too large|Invalid|Cannot allocate"):
        new_array(tmp_path / "b.npy", np.float32, (10**9, 10**6))
