"""`gazeback ground --coco` and its workers take hardly more memory for many photos than for a few."""

import gc
import json
import os
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from twins.jobs import Pages

from gazeback.grounding.coco.run import KINDS, Item, Rendered
from gazeback.grounding.commands import ground_coco
from gazeback.grounding.processes import AHEAD
from gazeback.grounding.workers import Workers, answered
from gazeback.models.contents import files_digest
from gazeback.models.writing import json_text

FEW, MANY = 100, 3_000

A_PHOTO = 2_000
"""Bytes for each photo: its name, its hash, and its five captions while their file is read."""

ONCE = 9_000_000
"""Bytes of Python's own table of names, which is enlarged once between a hundred and a thousand paths."""

pytestmark = pytest.mark.slow


class Stub:
    """Stands in for `GroundImages`: a caption of ten words for each photo, without a captioner."""

    def __init__(self, settings: Any, images_dir: Path, instances: Any) -> None:
        self.images_dir = images_dir

    def load(self) -> None:
        pass

    def answers(self, loaded: None, batch: Sequence[Item]) -> Iterator[Rendered]:
        for item in batch:
            words = [{"text": text, "visual_share": 0.25, "points": [[9, 9, 1.0]]} for text in "abcdefghij"]
            result = {"height": 24, "width": 32, "caption": f"photo {item.stem} in ten words", "words": words}
            files = dict.fromkeys(KINDS, b"") | {"json": json_text(result).encode()}
            yield Rendered(files_digest([self.images_dir / item.image.file_name]), files)


def split(folder: Path, count: int) -> None:
    """The same photo under `count` names, with five captions each."""
    (folder / "photos").mkdir(parents=True)
    names = [f"{number:012}.png" for number in range(count)]
    Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(folder / "photo.png")
    for name in names:
        os.link(folder / "photo.png", folder / "photos" / name)
    images = [{"id": n, "file_name": name, "height": 24, "width": 32} for n, name in enumerate(names)]
    text = "a sentence of about as many letters as a caption has"
    captions = [{"image_id": n, "caption": f"{text} {n} {k}"} for n in range(count) for k in range(5)]
    content = {"images": images, "annotations": captions}
    (folder / "captions.json").write_text(json.dumps(content))


def test_the_memory_of_a_run(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground_coco, "GroundImages", Stub)
    monkeypatch.setattr("gazeback.models.writing.os.fsync", lambda file: None)

    def peak(count: int) -> int:
        """The most bytes that the run over so many photos takes."""
        split(tmp_path / str(count), count)
        monkeypatch.chdir(tmp_path / str(count))
        gc.collect()
        tracemalloc.start()
        done = run("ground", "--coco", "photos", "--annotations", "captions.json", "--out", "out")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert done.stdout.startswith(f"Grounded {count} of {count} images")
        assert len(json.loads(Path("out/results.json").read_text())) == count
        assert Path("out/index.html").read_text().count('<li class="card"') == count
        return found

    peak(1)  # imports what is needed
    assert peak(MANY) - peak(FEW) < A_PHOTO * MANY + ONCE


def test_the_memory_of_the_answers_of_workers() -> None:
    """At most as many as may be under way, each twice: as bytes that come, and unpacked."""
    size, workers = 1_000_000, Workers(count=2)
    tracemalloc.start()
    for _, answers in answered(Pages(size), [[1, 2]] * 200, workers):
        assert [len(answer) for answer in answers] == [size] * 2
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found < 2 * (2 * AHEAD) * 2 * size
