"""The recipe for a data format: one function and one entry of the table of formats."""

import inspect
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from gazeback.eval.data.folder import ObjectData
from gazeback.eval.data.formats import FORMATS, Format, Read, holding
from gazeback.eval.data.image import Object, ObjectImage


def read_toy(folder: Path, split: str | None, skipped: Counter[str]) -> Read:
    """`boxes.txt`: a name, a category and a box in each line; the images beside it are 64 x 64 pixels."""
    images = []
    for line in (folder / "boxes.txt").read_text().splitlines():
        name, category, *box = line.split()
        objects = (Object(category, tuple(map(float, box))),)
        images.append(ObjectImage(name, folder / name, (64, 64), objects))
    return Read(images, tuple(sorted({image.objects[0].category for image in images})))


ENTRY = Format("boxes.txt beside its images", holding("boxes.txt"), read_toy)


@pytest.fixture
def toy_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, "toy", ENTRY)
    for name in ("1.png", "2.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    (tmp_path / "boxes.txt").write_text("1.png cup 2 3 20 30\n2.png dog 0 0 10 10\n3.png dog 0 0 10 10\n")
    return tmp_path


def test_a_format_is_one_function_and_one_entry(toy_folder):
    data = ObjectData(toy_folder)
    assert (data.format, data.class_names) == ("toy", ("cup", "dog"))
    assert data["1.png"].boxes().tolist() == [[2, 3, 20, 30]]
    assert data.skipped["missing image"] == 1
    assert len(inspect.getsource(read_toy).splitlines()) < 15
    assert set(inspect.signature(Format).parameters) == {"holds", "matches", "read"}


def test_every_format_has_its_own_reader():
    assert len({one.read for one in FORMATS.values()}) == len(FORMATS) == 4
