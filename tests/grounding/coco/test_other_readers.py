"""The boxes of words open in FiftyOne and Label Studio: their own readers, where they are installed."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from gazeback.grounding.coco.annotations import write_boxes

BOXES = [
    (7, 0, "a", (0, 0, 80, 10), None),
    (7, 1, "dog", (20, 5, 40, 5), 0.75),
    (9, 1, "dog", (1, 2, 3, 4), 0),
]

FIFTYONE = """
import json
from fiftyone.utils.coco import COCODetectionDatasetImporter
reader = COCODetectionDatasetImporter(data_path="photos", labels_path="boxes.json", label_types="detections")
with reader:
    found = [[path, [[box.label, box.bounding_box, box.confidence, box.position] for box in boxes.detections]]
             for path, size, boxes in reader]
print(json.dumps(found))
"""

LABEL_STUDIO = """
from label_studio_sdk.converter.imports.coco import convert_coco_to_ls
convert_coco_to_ls("boxes.json", "tasks.json", out_type="predictions", image_root_url="/data/")
"""


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs {package}: pip install {package}")


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """A folder with the boxes of two photos."""
    images = [{"id": number, "file_name": f"{number}.png", "height": 10, "width": 80} for number in (7, 9)]
    (tmp_path / "photos").mkdir()
    for image in images:
        Image.new("RGB", (80, 10)).save(tmp_path / "photos" / image["file_name"])
    write_boxes(images, BOXES, tmp_path / "boxes.json")
    return tmp_path


def run(script: str, folder: Path) -> str:
    """What a script prints at the end, in a process of its own without a home."""
    own = {"HOME": str(folder), "FIFTYONE_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | own, text=True, capture_output=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.slow
@needs("fiftyone")
def test_fiftyone_reads_the_boxes(boxes: Path) -> None:
    seven, nine = json.loads(run(FIFTYONE, boxes))
    assert [Path(path).name for path, _ in (seven, nine)] == ["7.png", "9.png"]
    assert seven[1] == [["a", [0, 0, 1, 1], None, 0], ["dog", [0.25, 0.5, 0.5, 0.5], 0.75, 1]]
    assert [(label, score) for label, _, score, _ in nine[1]] == [("dog", 0)]


@pytest.mark.slow
@needs("label_studio_sdk")
def test_label_studio_reads_the_boxes(boxes: Path) -> None:
    run(LABEL_STUDIO, boxes)
    tasks = json.loads((boxes / "tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["/data/7.png", "/data/9.png"]
    a, dog = (one["value"] for one in tasks[0]["predictions"][0]["result"])
    assert (a["rectanglelabels"], a["width"]) == (["a"], 100)
    assert (dog["rectanglelabels"], dog["x"], dog["y"]) == (["dog"], 25, 50)


def test_boxes_without_any_are_json(tmp_path: Path) -> None:
    write_boxes([{"id": 7}], [], tmp_path / "boxes.json")
    found = json.loads((tmp_path / "boxes.json").read_text())
    assert found == {"images": [{"id": 7}], "annotations": [], "categories": []}
