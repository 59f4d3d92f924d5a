"""The page of a result in a real browser."""

import pytest
from twins.tasks import Lengths

from gazeback.eval.harness.run import run_task

pytestmark = pytest.mark.browser


@pytest.fixture
def page_file(tmp_path):
    run_task(Lengths(tmp_path), tmp_path / "out.json")
    return tmp_path / "out.html"


def test_tables_spreads_and_images_are_there(open_file, page_file):
    page = open_file(page_file)
    assert page.locator("tbody th").all_inner_texts() == ["letters", "half"]
    assert page.locator("tbody td").all_inner_texts() == ["8.500 ± .957", "4.250 ± .479"]
    assert page.locator(".spread svg").count() == 2
    assert page.get_by_role("img", name="letters: mean 8.500 of 10 images").count() == 1
    assert page.locator("h2").all_inner_texts()[-2:] == ["Best by letters", "Worst by letters"]
    widths = page.locator(".pictures img").evaluate_all(
        "images => Promise.all(images.map((image) => image.decode().then(() => image.naturalWidth)))"
    )
    assert widths == [30] * (8 * 3)
    assert page.locator("article b").count() == 0  # a title's markup is text


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(open_file, page_file, width):
    page = open_file(page_file, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_theme_can_be_changed(open_file, page_file):
    page = open_file(page_file, color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
