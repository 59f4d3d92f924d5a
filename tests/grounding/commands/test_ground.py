"""`gazeback ground` on photos: what it writes and prints, and how it tells bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazeback import cnn_trace
from gazeback.models.errors import UserError


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def copy(photo: Path, *names: str) -> list[Path]:
    paths = [photo.parent / name for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.open(photo).save(path)
    return paths


def test_one_photo_is_written_and_told(run, stage, photo) -> None:
    result = run("ground", photo)
    assert result.exit_code == 0
    assert names(Path("gazeback-out")) == ["dog.html", "dog.json", "dog.png"]
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "dog.jpg: a dog in the park"
    assert lines[1].split() == ["word", "visual", "share", "visual", "nats", "language", "nats"]
    assert lines[2].split() == ["a", "0", "%", "-0.10", "-0.40", "language", "habit"]
    assert lines[3].split() == ["dog", "39", "%", "████", "+0.50", "-1.00"]
    assert lines[-3] == f"Page: {Path('gazeback-out', 'dog.html')}"
    assert lines[-2] == "Open dog.html in a browser, or add --open."
    assert lines[-1].startswith("Next, try your own photo (gazeback ground PHOTO.jpg)")


def test_without_photo_two_examples_are_grounded(run, stage) -> None:
    assert run("ground").exit_code == 0
    assert stage.grounded == [("camera.png", None, {}), ("chelsea.png", None, {})]
    assert Path("gazeback-out/camera.html").is_file()
    assert Path("gazeback-out/chelsea.html").is_file()


def test_a_caption_without_photo_is_that_of_the_first_example(run, stage) -> None:
    assert run("ground", "--caption", "a man").exit_code == 0
    assert stage.grounded == [("camera.png", "a man", {})]


def test_options_reach_the_loader_and_the_grounding(run, stage, photo) -> None:
    Path("mine.keras").write_bytes(b"stand-in")
    result = run(
        "ground", photo, "--caption", "a cat", "--model", "mine.keras", "--method", "fixations",
        "--beam", 5, "--share", 0.3, "--looks", 2, "--out", "deep/er",
    )  # fmt: skip
    assert result.exit_code == 0
    assert stage.loaded == ["mine.keras"]
    assert stage.grounded == [
        ("dog.jpg", "a cat", {"method": "fixations", "beam": 5, "share": 0.3, "looks": 2})
    ]
    assert names(Path("deep/er")) == ["dog.html", "dog.json", "dog.png"]


def test_methods_and_measures_to_compare_reach_the_grounding(run, stage, photo) -> None:
    assert run("ground", photo, "--methods", "evidence, saliency,top", "--preceding").exit_code == 0
    options = {"methods": ("evidence", "saliency", "top"), "preceding": True}
    assert stage.grounded == [("dog.jpg", None, options)]


def test_an_unknown_method_to_compare_is_told_with_the_known_ones(run, stage, photo) -> None:
    result = run("ground", photo, "--methods", "evidence,magic")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: methods: expected one or more of evidence, fixations, top, discernible, ")
    assert line.endswith("got 'magic'")
    assert stage.loaded == []


def test_unknown_words_work_and_are_told(run, stage, photo) -> None:
    result = run("ground", photo, "--caption", "a zyzzyva in a zyzzyva quux")
    assert result.exit_code == 0
    assert "Not in the vocabulary, explained as an unknown word: zyzzyva, quux" in result.stdout.splitlines()


def test_words_are_no_markup(run, stage, photo) -> None:
    result = run("ground", photo, "--caption", "a [bold]dog[/bold] [/]")
    assert result.exit_code == 0
    assert "dog.jpg: a [bold]dog[/bold] [/]" in result.stdout


def test_json_is_one_object_per_line_and_nothing_else(run, stage, photo) -> None:
    photos = copy(photo, "one.png", "two.png")
    result = run("ground", *photos, "--json")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["photo"], second["photo"]) == ("one.png", "two.png")
    assert first["width"] == 32
    assert first["words"][1]["points"] == [[12, 16, 1.0]]
    assert first == json.loads(Path("gazeback-out/one.json").read_text())
    assert result.stderr == ""


def test_equal_names_do_not_overwrite_each_other(run, stage, photo) -> None:
    photos = copy(photo, "a/dog.jpg", "b/dog.png", "dog-2.jpg")
    assert run("ground", *photos).exit_code == 0
    stems = {name.rsplit(".", 1)[0] for name in names(Path("gazeback-out"))}
    assert stems == {"dog", "dog-2", "dog-3"}
    assert json.loads(Path("gazeback-out/dog-2.json").read_text())["photo"] == "dog-2.jpg"
    assert json.loads(Path("gazeback-out/dog-3.json").read_text())["photo"] == "dog.png"


def test_a_bad_photo_is_named_and_the_others_are_written(run, stage, photo) -> None:
    Path("text.jpg").write_text("no picture")
    result = run("ground", "missing.jpg", photo, "text.jpg")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: missing.jpg: no such file",
        "Error: text.jpg: not a picture that can be read (JPEG, PNG, GIF, TIFF, WebP, ...)",
    ]
    assert names(Path("gazeback-out")) == ["dog.html", "dog.json", "dog.png"]


def test_a_photo_without_a_caption_is_named_and_the_others_are_written(
    run, stage, photo, monkeypatch
) -> None:
    def speechless(captioner: object, photo: object, *rest: object) -> object:
        if photo.name == "void.png":
            raise UserError("the captioner found no words for void.png")
        return stage.ground(captioner, photo, *rest)

    monkeypatch.setattr("gazeback.grounding.ground", speechless)
    result = run("ground", *copy(photo, "void.png"), photo)
    assert (result.exit_code, result.stderr) == (2, "Error: the captioner found no words for void.png\n")
    assert names(Path("gazeback-out")) == ["dog.html", "dog.json", "dog.png"]


def bad_photo(name: str) -> Path:
    path = Path(name)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    if name == "folder":
        path.mkdir()
    elif name == "empty.jpg":
        path.touch()
    elif name == "text.jpg":
        path.write_text("no picture")
    elif name == "cut.jpg":
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:1000])
    elif name == "dot.png":
        Image.new("RGB", (1, 1)).save(path)
    elif name == "bomb.png":
        Image.new("1", (14000, 14000)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.jpg", "no such file"),
        ("folder", "a folder; name the photos in it"),
        ("empty.jpg", "the file is empty"),
        ("text.jpg", "not a picture that can be read"),
        ("cut.jpg", "broken or cut off"),
        ("dot.png", "1 x 1 pixels; a photo needs at least 8 x 8"),
        ("bomb.png", "more than 89 million pixels; scale it down first"),
    ],
)
def test_a_bad_photo_is_one_line_and_nothing_is_written(run, stage, name: str, problem: str) -> None:
    result = run("ground", bad_photo(name))
    assert result.exit_code == 2
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith(f"Error: {name}: {problem}")
    assert not Path("gazeback-out").exists()
    assert stage.loaded == [], "the captioner was loaded in vain"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--beam", "0"], "--beam: expected a width of 1 or more, got 0"),
        (["--beam", "x"],
         "Invalid value for '--beam': 'x' is not a valid integer. See `gazeback ground --help`."),
        (["--share", "0"], "--share: expected a fraction above 0 and at most 1, got 0"),
        (["--looks", "3"], "--looks: expected 1 or 2, got 3"),
        (["--share", "nan"], "--share: expected a fraction above 0 and at most 1, got nan"),
        (["--method", "magic"],
         "method: expected one of evidence, fixations, top, discernible, walk, got 'magic'"),
        (["--method", "top", "--methods", "evidence,top"],
         "--method is one method and --methods are several to compare: give one of the two"),
        (["--methods", "top,top"], "methods: each is shown once; top was given twice"),
        (["--caption", ""], "--caption: expected at least one word, got ''"),
        (["--caption", " .,! "], "--caption: expected at least one word, got ' .,! '"),
        (["--model", "/dev/null"], "--model /dev/null: not a regular file; give a FILE.keras made by "
         "`gazeback train captioner`, or leave the option out for the bundled captioner"),
        (["--model", "no.keras"], "--model no.keras: no such file; give a FILE.keras made by `gazeback train "
         "captioner`, or leave the option out for the bundled captioner"),
        (["--model", "."], "--model .: a folder; give a FILE.keras made by `gazeback train captioner`, "
         "or leave the option out for the bundled captioner"),
        (["--out", "dog.jpg"], "dog.jpg: cannot be the output folder, as dog.jpg is a file"),
        (["--out", "dog.jpg/in"], "dog.jpg/in: cannot be the output folder, as dog.jpg is a file"),
        (["--limit", "3"], "--limit: belongs to --coco DIR, which is missing"),
    ],
)  # fmt: skip
def test_bad_options_are_one_line_before_any_work(run, stage, photo, options: list[str], line: str) -> None:
    result = run("ground", photo, *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"Error: {line}\n"
    assert stage.loaded == []
    assert names(photo.parent) == ["dog.jpg"]


def test_an_unknown_option_is_one_line(run, photo) -> None:
    result = run("ground", photo, "--bean", "3")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()  # its words are click's, and change with its version
    assert line.startswith("Error: No such option")
    assert line.endswith("See `gazeback ground --help`.")


def test_an_unwritable_output_folder_is_told_before_any_work(run, stage, photo, monkeypatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # root may write anywhere, so chmod would not do
    result = run("ground", photo, "--out", "locked/out")
    assert result.exit_code == 2
    assert result.stderr == "Error: locked/out: cannot be written to (Permission denied)\n"
    assert stage.loaded == []


def test_a_file_in_the_way_is_told(run, stage, photo) -> None:
    Path("out/dog.html").mkdir(parents=True)
    result = run("ground", photo, "--out", "out")
    assert result.exit_code == 2
    assert result.stderr == "Error: out: cannot be written to (Is a directory)\n"
    assert names(Path("out")) == []


def test_what_the_loader_refuses_is_one_line(run, stage, photo, monkeypatch) -> None:
    def refuse(_: object) -> None:
        raise UserError("broken.keras: not a Keras model\n(it is a poem)")

    Path("broken.keras").write_text("roses are red")
    monkeypatch.setattr("gazeback.models.load_captioner", refuse)
    result = run("ground", photo, "--model", "broken.keras")
    assert result.exit_code == 2
    assert result.stderr == "Error: broken.keras: not a Keras model (it is a poem)\n"
    assert not Path("gazeback-out").exists()


def test_the_core_s_errors_are_one_line(run, stage, photo, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise cnn_trace.TraceError("no rule for the layer 'x'")

    monkeypatch.setattr("gazeback.grounding.ground", refuse)
    result = run("ground", photo)
    assert (result.exit_code, result.stderr) == (2, "Error: no rule for the layer 'x'\n")


def test_other_errors_keep_their_traceback(run, stage, photo, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("gazeback.grounding.ground", fail)
    with pytest.raises(ValueError, match="a bug"):
        run("ground", photo)


def test_ctrl_c_is_no_traceback(run, stage, photo, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gazeback.grounding.ground", interrupt)
    result = run("ground", photo)
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")
    assert not Path("gazeback-out").exists()
