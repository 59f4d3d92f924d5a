"""`gazeback ground --coco`: a split is grounded, resumed, never mixed, and bad images are passed over."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

NAMES = ["one.jpg", "two.jpg", "three.jpg", "deep/one.png"]
FOUND = [name for name in NAMES if name != "two.jpg"]


@pytest.fixture
def coco(tmp_path: Path) -> dict[str, Any]:
    """A split of four images, of which "two.jpg" is broken; image ids 0..3."""
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for name in NAMES:
        Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(images / name)
    (images / "two.jpg").write_text("no picture")
    entries = [
        {"id": index, "file_name": name, "height": 24, "width": 32} for index, name in enumerate(NAMES)
    ]
    captions = [{"id": 1, "image_id": 0, "caption": "x"}, {"id": 2, "image_id": 77, "caption": "x"}]
    dog = {"id": 1, "image_id": 0, "category_id": 3, "segmentation": [[2, 2, 9, 2, 9, 9]]}
    stray = {**dog, "image_id": 78}
    files = {
        "captions.json": {"images": entries, "annotations": captions},
        "instances.json": {"categories": [{"id": 3, "name": "dog"}], "annotations": [dog, stray]},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    return files


OPTIONS = ("ground", "--coco", "images", "--annotations", "captions.json", "--out", "out")


def results() -> list[dict[str, Any]]:
    return json.loads(Path("out/results.json").read_text())


def test_a_split_is_grounded_and_its_bad_image_is_passed_over(run, stage, coco) -> None:
    result = run(*OPTIONS, "--instances", "instances.json")
    assert result.exit_code == 0
    assert result.stderr.startswith("Error: images/two.jpg: not a picture that can be read")
    assert result.stdout.splitlines() == [
        "Grounded 3 of 4 images.",
        "Not readable: 1 (two.jpg)",
        "Captions that refer to no known image, left out: 1",
        "Instances that refer to no known image or category, left out: 1",
        "Results: out/results.json",
        "Boxes: out/boxes.json",
        "Index: out/index.html",
        "Open index.html in a browser, or add --open.",
        "Next, try the same command with another method (--method fixations) and another --out.",
    ]
    stems = ["one", "one-2", "three"]
    written = sorted(path.name for path in Path("out/images").iterdir())
    assert written == sorted(f"{stem}.{kind}" for stem in stems for kind in ("html", "jpg", "png", "json"))
    index = Path("out/index.html").read_text()
    assert index.count('data-caption="a dog in the park"') == 3
    assert all(f'href="images/{stem}.html"' in index for stem in stems)


def test_pycocotools_loads_the_results(run, stage, coco) -> None:
    run(*OPTIONS)
    loaded = COCO("captions.json").loadRes("out/results.json")
    assert sorted(loaded.imgToAnns) == [0, 2, 3]
    [entry] = loaded.imgToAnns[0]
    assert entry["caption"] == "a dog in the park"
    assert [word["text"] for word in entry["words"]] == ["a", "dog", "in", "the", "park"]
    assert entry["words"][1]["points"] == [[12, 16, 1.0]]


def test_pycocotools_loads_the_boxes(run, stage, coco) -> None:
    run(*OPTIONS)
    loaded = COCO("out/boxes.json")
    assert [image["file_name"] for image in loaded.loadImgs([0, 2, 3])] == FOUND
    [dog] = loaded.getCatIds(catNms=["dog"])
    [box] = loaded.loadAnns(loaded.getAnnIds(imgIds=[2], catIds=[dog]))
    [entry] = [entry for entry in results() if entry["image_id"] == 2]
    assert entry["words"][1]["text"] == "dog"
    assert (box["bbox"], box["score"]) == (entry["words"][1]["box"], entry["words"][1]["visual_share"])
    assert (box["position"], box["iscrowd"], box["area"]) == (1, 0, box["bbox"][2] * box["bbox"][3])


def test_outlines_reach_page_and_figure(run, stage, coco, monkeypatch) -> None:
    seen: dict[str, Any] = {}
    for kind in ("page", "figure"):

        def write(grounding: Any, path: Path, outlines: Any = None, kind: str = kind) -> Path:
            seen[f"{grounding.photo.name} {kind}"] = outlines
            path.write_text("written")
            return path

        monkeypatch.setattr(f"gazeback.grounding.output.{kind}.write_{kind}", write)
    run(*OPTIONS, "--instances", "instances.json")
    triangle = {1: [[[2, 2], [9, 2], [9, 9]]]}
    assert seen["one.jpg page"] == seen["one.jpg figure"] == triangle
    assert seen["three.jpg page"] == {}


def test_a_second_run_does_only_what_is_missing(run, stage, coco) -> None:
    run(*OPTIONS, "--limit", 1)
    assert [name for name, *_ in stage.grounded] == ["one.jpg"]
    assert [entry["image_id"] for entry in results()] == [0]
    result = run(*OPTIONS)
    assert [name for name, *_ in stage.grounded] == ["one.jpg", "three.jpg", "one.png"]
    assert result.stdout.startswith("Grounded 3 of 4 images (1 of them before).")
    assert [entry["image_id"] for entry in results()] == [0, 2, 3]
    Path("out/images/three.png").unlink()
    run(*OPTIONS)
    assert [name for name, *_ in stage.grounded][3:] == ["three.jpg"]


def test_a_replaced_photo_is_grounded_anew(run, stage, coco) -> None:
    run(*OPTIONS)
    photo = Path("images/three.jpg")
    size = photo.stat().st_size
    Image.fromarray(np.full((24, 32, 3), 91, np.uint8)).save(photo)
    assert photo.stat().st_size == size
    run(*OPTIONS)
    assert [name for name, *_ in stage.grounded][3:] == ["three.jpg"]
    run(*OPTIONS)
    assert len(stage.grounded) == 4


def test_where_everything_is_done_no_captioner_is_loaded(run, stage, coco) -> None:
    run(*OPTIONS, "--limit", 1)
    stage.loaded.clear()
    assert run(*OPTIONS, "--limit", 1).exit_code == 0
    assert stage.loaded == []


def test_an_interrupted_run_goes_on(run, stage, coco, monkeypatch) -> None:
    ground = stage.ground

    def interrupted(captioner: Any, photo: Any, *rest: Any, **options: Any) -> Any:
        if photo.name == "three.jpg":
            raise KeyboardInterrupt
        return ground(captioner, photo, *rest, **options)

    monkeypatch.setattr("gazeback.grounding.ground", interrupted)
    assert run(*OPTIONS).exit_code == 130
    assert not Path("out/results.json").exists()
    monkeypatch.setattr("gazeback.grounding.ground", ground)
    assert run(*OPTIONS).exit_code == 0
    assert [name for name, *_ in stage.grounded] == ["one.jpg", "three.jpg", "one.png"]
    assert len(results()) == 3


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["--method", "fixations"], "(method: default, now fixations)"),
        (["--beam", "2"], "(beam: default, now 2)"),
        (["--instances", "instances.json"], "(instances: default, now "),
    ],
)
def test_different_settings_are_not_mixed(run, stage, coco, changed: list[str], told: str) -> None:
    run(*OPTIONS, "--limit", 1)
    before = results()
    result = run(*OPTIONS, *changed)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: out: holds results of other settings {told}")
    assert result.stderr.endswith("; choose another --out\n")
    assert results() == before


def test_files_of_another_origin_are_not_taken_for_results(run, stage, coco) -> None:
    Path("out/images").mkdir(parents=True)
    result = run(*OPTIONS)
    assert result.exit_code == 2
    assert "holds results of other settings (unknown ones)" in result.stderr


def test_missing_images_are_counted_and_named(run, stage, coco) -> None:
    Path("images/three.jpg").unlink()
    result = run(*OPTIONS)
    assert result.exit_code == 0
    assert "Missing: 1 (three.jpg)" in result.stdout.splitlines()


def test_json_is_the_summary_and_nothing_else(run, stage, coco) -> None:
    Path("images/three.jpg").unlink()
    summary = json.loads(run(*OPTIONS, "--json").stdout)
    assert summary == {
        "images": 4, "written": 2, "kept": 0, "missing": ["three.jpg"], "bad": ["two.jpg"],
        "caption_strays": 1, "instance_strays": 0,
        "results": "out/results.json", "boxes": "out/boxes.json", "index": "out/index.html",
    }  # fmt: skip


def test_a_file_in_the_way_is_told(run, stage, coco) -> None:
    Path("out/results.json").mkdir(parents=True)
    result = run(*OPTIONS)
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: out: cannot be written to (Is a directory)\n")
    names = ["images", "photos.jsonl", "results.json", "settings.json"]
    assert sorted(path.name for path in Path("out").iterdir()) == names


def test_a_broken_image_json_is_told(run, stage, coco) -> None:
    run(*OPTIONS)
    Path("out/images/one.json").write_text("{")
    result = run(*OPTIONS)
    assert result.exit_code == 2
    assert result.stderr.endswith("expected what this run wrote; delete it and run again\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--coco", "images"], "--coco DIR needs --annotations FILE: COCO captions, which list the images"),
        (["--coco", "no", "--annotations", "captions.json"], "--coco no: no such folder"),
        (["--coco", "captions.json", "--annotations", "captions.json"], "--coco captions.json: a file"),
        (["--coco", "images", "--annotations", "no.json"],
         'no.json: no such file; expected COCO\'s captions format, an object with "images" (id, file_name)'),
        (["--coco", "images/deep", "--annotations", "captions.json"],
         "--coco images/deep: holds none of the 4 images of captions.json"),
        (["--coco", "images", "--annotations", "captions.json", "--limit", "0"],
         "--limit: expected 1 image or more, got 0"),
        (["--coco", "images", "--annotations", "captions.json", "x.jpg"],
         "--coco takes its photos from a folder and generates captions: no PHOTO, no --caption"),
        (["--coco", "images", "--annotations", "captions.json", "--caption", "a dog"],
         "--coco takes its photos from a folder and generates captions: no PHOTO, no --caption"),
        (["--annotations", "captions.json", "--ray", "local"],
         "--annotations, --ray: belongs to --coco DIR, which is missing"),
        (["--coco", "images", "--annotations", "captions.json", "--ray", "somewhere"],
         "--ray somewhere: expected local, or the HOST:PORT that `ray start --head` printed"),
        (["--coco", "images", "--annotations", "captions.json", "--ray", "127.0.0.1:1"],
         "--ray 127.0.0.1:1: no Ray cluster there (Connection refused)"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_writes_nothing(
    run, stage, coco, arguments: list[str], line: str, monkeypatch
) -> None:
    monkeypatch.setattr("gazeback.grounding.workers.find_spec", lambda name: name)  # as if Ray were there
    result = run("ground", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {line}\n")
    assert stage.loaded == []
    assert not Path("gazeback-out").exists()


def test_without_ray_it_is_said_how_to_install_it(run, stage, coco, monkeypatch) -> None:
    monkeypatch.setattr("gazeback.grounding.workers.find_spec", lambda name: None)
    result = run(*OPTIONS, "--ray", "local")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: --ray needs Ray: pip install 'gazeback[ray]'\n"
    assert stage.loaded == []


def test_where_no_image_can_be_read_nothing_is_written(run, stage, coco) -> None:
    for name in FOUND:
        Path("images", name).write_text("no picture")
    result = run(*OPTIONS)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "Error: --coco images: none of the 4 images could be grounded"
    assert not Path("out").exists()
