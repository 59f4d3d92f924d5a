"""The app as it is started, in a real browser: upload, edit, compare, download; all on this machine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from twins import tiny_captioner

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Python runs this file first: the server writes down where it connects to.
WATCH = """
import socket
connect = socket.socket.connect
def watched(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        open("connections.txt", "a").write(f"{address}\\n")
    return connect(self, address)
socket.socket.connect = watched
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    shutil.copy(tiny_captioner.__file__, folder)
    (folder / "sitecustomize.py").write_text(WATCH)
    generator = np.random.default_rng(1)
    for name, shape in (("beach.png", (120, 180, 3)), ("forest.png", (90, 90, 3))):
        Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(folder / name)
    Image.new("1", (8000, 6000)).save(folder / "huge.png")
    (folder / "note.png").write_text("no picture")
    (folder / "heavy.png").write_bytes(bytes(21 * 2**20))
    return folder


@pytest.fixture(scope="module")
def address(folder):
    """The address of the app in a process of its own, which ends by SIGTERM."""
    pytest.importorskip("gradio", reason="gradio is not installed (pip install 'gazeback[app]')")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"PYTHONPATH": str(folder), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "gazeback.grounding.commands.main", "app", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--model", "tiny_captioner:make"], cwd=folder, env=os.environ | own,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        line = server.stdout.readline()
        try:
            assert line == f"Open http://127.0.0.1:{port}/ in a browser; Ctrl-C ends the app.\n"
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=120)
    assert errors == "Starting ...\nTerminated.\n"
    assert server.returncode == 143
    assert not list(folder.glob("gazeback-app-*"))
    assert not (folder / "connections.txt").exists()


@pytest.fixture
def open_app(browser, address):
    """Opens the app for one more user; the browser may ask nobody else for anything."""
    contexts, foreign = [], []

    def open_app(**options):
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options))
        page = contexts[-1].new_page()
        page.set_default_timeout(90_000)
        page.on("request", lambda request: foreign.append(request.url))
        page.goto(address)
        page.locator("#photo input[type=file]").wait_for(state="attached")
        return page

    yield open_app
    for context in contexts:
        context.close()
    local = (address, "data:", "blob:", "about:")
    assert [url for url in foreign if not url.startswith(local)] == []


def upload(page, path):
    page.set_input_files("#photo input[type=file]", path)


def words(page, side="left"):
    """The words on a side's page, as soon as it is there."""
    frame = page.frame_locator(f"#{side}-result iframe.gazeback")
    frame.locator(".word[aria-pressed=true]").wait_for()
    return frame.locator(".word .text").all_inner_texts()


def ask(page, caption, side="left"):
    """Explain a caption, and wait until it is the page's."""
    page.fill(f"#{side}-caption textarea, #{side}-caption input", caption)
    page.press(f"#{side}-caption textarea, #{side}-caption input", "Enter")
    page.locator(f"#{side}-result iframe[title='Evidence: {caption}']").wait_for()
    return words(page, side)


def choose(page, part, option):
    page.click(f"#{part} input")
    page.get_by_role("option", name=option, exact=True).click()


def test_a_dropped_photo_is_captioned_and_its_words_can_be_looked_at(open_app, folder):
    page = open_app()
    upload(page, folder / "beach.png")
    found = words(page)
    assert page.input_value("#left-caption textarea, #left-caption input").split() == found
    frame = page.frame_locator("#left-result iframe.gazeback")
    frame.locator(".word").last.hover()
    assert "shown" in frame.locator(".word").last.get_attribute("class")
    frame.locator(".word").first.click()
    page.keyboard.press("ArrowRight")
    assert frame.locator(".word[aria-pressed=true]").get_attribute("data-index") == str(
        min(1, len(found) - 1)
    )


def test_a_caption_and_a_word_are_edited(open_app, folder):
    page = open_app()
    upload(page, folder / "beach.png")
    words(page)
    assert ask(page, "a red photo") == ["a", "red", "photo"]
    choose(page, "left-word", "red")
    page.fill("#left-instead input", "blue")
    page.press("#left-instead input", "Enter")
    page.locator("#left-result iframe[title='Evidence: a blue photo']").wait_for()
    assert words(page) == ["a", "blue", "photo"]


def test_methods_and_looks_are_chosen(open_app, folder):
    page = open_app()
    upload(page, folder / "beach.png")
    ask(page, "a red photo")
    page.click("#left-how button")
    choose(page, "left-methods", "walk")
    frame = page.frame_locator("#left-result iframe.gazeback")
    frame.locator("figcaption", has_text="walk").wait_for()
    assert frame.locator("figcaption").all_inner_texts() == ["evidence", "walk"]
    page.check("#left-looks input[value='2']")
    assert words(page) == ["a", "red", "photo"]


def test_two_captioners_are_compared_side_by_side(open_app, folder):
    page = open_app()
    upload(page, folder / "forest.png")
    first = words(page)
    page.check("#compare input")
    assert words(page, "right") == first
    page.click("#right-how button")
    choose(page, "right-captioner", "scenes-gap")
    page.frame_locator("#right-result iframe.gazeback").locator(".made", has_text="scenes-gap").wait_for()
    assert words(page, "left") == first
    assert words(page, "right") != first
    left, right = (page.locator(f"#{side}-result iframe").bounding_box() for side in ("left", "right"))
    assert left["x"] + left["width"] <= right["x"]


def downloaded(page, button):
    """What a button downloads; on a busy machine the button gets its file a moment after the caption."""
    from playwright.sync_api import TimeoutError as NotYet

    for _ in range(10):
        try:
            with page.expect_download(timeout=6000) as found:
                page.click(button)
            return found.value
        except NotYet:
            continue
    raise AssertionError(f"{button} downloads nothing")


def test_page_and_numbers_are_downloaded(open_app, folder):
    page = open_app()
    upload(page, folder / "beach.png")
    ask(page, "a blue photo")
    numbers, saved = downloaded(page, "#left-numbers"), downloaded(page, "#left-page")
    assert numbers.suggested_filename == "beach.json"
    assert saved.suggested_filename == "beach.html"
    assert json.loads(Path(numbers.path()).read_text())["caption"] == "a blue photo"
    assert "a blue photo" in Path(saved.path()).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("note.png", "note.png: not a picture that can be read"),
        ("huge.png", "huge.png: more than 40 million pixels; scale it down first"),
        ("heavy.png", "exceed the maximum allowed size of 20"),
    ],
)
def test_bad_uploads_get_a_sentence(open_app, folder, name, sentence):
    page = open_app()
    upload(page, folder / name)
    page.get_by_text(sentence).first.wait_for()
    assert not page.locator("iframe.gazeback").count()


def test_markup_in_a_caption_stays_text(open_app, folder):
    page = open_app()
    upload(page, folder / "beach.png")
    words(page)
    page.fill("#left-caption textarea, #left-caption input", "<b id=evil>red</b> ${1} {{photo}}")
    page.press("#left-caption textarea, #left-caption input", "Enter")
    page.locator("#left-result iframe[title*='evil']").wait_for()
    assert not page.locator("#evil").count()


def test_two_users_at_once_do_not_mix(open_app, folder):
    first, second = open_app(), open_app()
    upload(first, folder / "beach.png")
    upload(second, folder / "forest.png")
    assert words(first)
    assert words(second)
    for page, caption in ((first, "a red photo"), (second, "a blue photo and blue")):
        page.fill("#left-caption textarea, #left-caption input", caption)
    for page in (first, second):
        page.press("#left-caption textarea, #left-caption input", "Enter")
    for page, caption, name in (
        (first, "a red photo", "beach.png"),
        (second, "a blue photo and blue", "forest.png"),
    ):
        page.locator(f"#left-result iframe[title='Evidence: {caption}']").wait_for()
        frame = page.frame_locator("#left-result iframe.gazeback")
        assert words(page) == caption.split()
        assert frame.locator(".file").inner_text() == name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_in_both_colours(open_app, folder, scheme):
    page = open_app(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    upload(page, folder / "beach.png")
    ask(page, "a red and blue photo")
    page.check("#compare input")
    words(page, "right")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    colours = [
        page.evaluate("getComputedStyle(document.body).backgroundColor"),
        page.frames[1].evaluate("getComputedStyle(document.body).backgroundColor"),
    ]
    assert colours == ["rgb(23, 22, 20)" if scheme == "dark" else "rgb(250, 249, 246)"] * 2
