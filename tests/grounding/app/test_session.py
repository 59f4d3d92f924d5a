"""What the app answers, and what it refuses, without a browser."""

import socket
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gazeback.grounding.app import serve, session
from gazeback.grounding.app.session import Captioners, Question, replaced, write_downloads
from gazeback.grounding.commands import app as command
from gazeback.grounding.commands.main import gazeback
from gazeback.models.errors import UserError


@pytest.fixture
def captioners(captioner, monkeypatch) -> Captioners:
    monkeypatch.setattr(session, "load_captioner", lambda name: captioner)
    return Captioners(["mine:make"])


@pytest.fixture
def photo(tmp_path: Path) -> str:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "beach.png")
    return str(tmp_path / "beach.png")


def test_own_captioners_come_before_the_bundled_ones(captioners):
    assert captioners.names[0] == "mine:make"
    assert {"show_and_tell_flickr8k", "scenes-gap"} <= set(captioners.names)


def test_a_caption_is_explained_or_generated(captioners, photo, tmp_path):
    question = Question(photo, " a red photo ", "mine:make", ("evidence", "walk"), 1)
    grounding = captioners.explain(question)
    assert [word.text for word in grounding.words] == ["a", "red", "photo"]
    assert grounding.methods == ("evidence", "walk")
    page, numbers = write_downloads(grounding, tmp_path)
    assert "a red photo" in Path(page).read_text(encoding="utf-8")
    assert '"photo":"beach.png"' in Path(numbers).read_text(encoding="utf-8").replace(" ", "")
    assert captioners.explain(Question(photo, "", "mine:make", ("evidence",), 2)).words


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"methods": ()}, "choose at least one method"),
        ({"methods": ("evidence", "walk", "top", "fixations", "saliency")}, "at most 4 methods, got 5"),
        ({"captioner": "/etc/passwd"}, "no captioner '/etc/passwd'"),
        ({"caption": "..."}, "has no words"),
        ({"methods": ("no-such",)}, "got 'no-such'"),
    ],
)
def test_what_does_not_fit_is_told(captioners, photo, changed, message):
    asked = {"photo": photo, "caption": "", "captioner": "mine:make", "methods": ("evidence",), "looks": 1}
    with pytest.raises(UserError, match=message):
        captioners.explain(Question(**asked | changed))


def test_bad_photos_are_told_without_the_servers_folders(captioners, tmp_path, monkeypatch):
    broken, large = tmp_path / "broken.png", tmp_path / "large.png"
    broken.write_text("no picture")
    Image.new("RGB", (64, 64)).save(large)
    monkeypatch.setattr(session, "MOST_PIXELS", 1000)
    for path, problem in ((broken, "not a picture"), (large, "more than 0 million pixels")):
        with pytest.raises(UserError) as caught:
            captioners.explain(Question(str(path), "", "mine:make", ("evidence",), 1))
        assert str(caught.value).startswith(f"{path.name}: {problem}")


def test_one_word_is_replaced():
    assert replaced(("a", "red", "photo"), 1, " blue ") == "a blue photo"


def test_a_busy_port_and_a_missing_gradio_are_one_line(monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: "installed")
    with socket.socket() as taken:
        taken.bind((serve.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(gazeback, ["app", "--port", str(port)])
    assert (result.exit_code, result.output) == (
        2,
        f"Error: --port {port}: Address already in use; choose another port\n",
    )
    result = CliRunner().invoke(gazeback, ["app", "--port", "70000"])
    assert result.output == "Error: --port: expected a number from 0 to 65535, got 70000\n"
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    result = CliRunner().invoke(gazeback, ["app"])
    assert result.output == (
        "Error: the app needs Gradio, which is not installed: pip install 'gazeback[app]'\n"
    )
    assert result.exit_code == 2


@pytest.mark.parametrize("public", [False, True])
def test_only_a_flag_opens_the_app_to_others_and_warns(monkeypatch, public):
    asked = []

    def serving(models, port, everywhere):
        asked.append((models, everywhere))
        return nullcontext(f"http://127.0.0.1:{port}/")

    monkeypatch.setattr(command, "check", lambda port, everywhere: None)
    monkeypatch.setattr(command, "serving", serving)
    monkeypatch.setattr(command, "Event", lambda: SimpleNamespace(wait=lambda: None))
    result = CliRunner().invoke(gazeback, ["app", "--port", "7999", *["--public"] * public])
    assert asked == [((), public)]
    assert result.stdout == "Open http://127.0.0.1:7999/ in a browser; Ctrl-C ends the app.\n"
    assert ("Warning: everybody who can reach this machine" in result.stderr) is public
