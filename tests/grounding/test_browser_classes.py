"""The page of a traced photo in a real browser: targets, methods side by side, keys, themes, sizes."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from gazeback.grounding.output.page import write_page

pytestmark = pytest.mark.browser


@pytest.fixture
def open_traced(open_file, make_traced, tmp_path):
    """Opens the page of a traced photo from its file."""

    def open_traced(traced=None, **options):
        return open_file(write_page(traced or make_traced(), tmp_path / "page.html"), **options)

    return open_traced


def overlays(page):
    return page.evaluate("[...document.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL())")


def opacities(page):
    """One float [rows, columns] per method: 0 where the canvas lets the photo through."""
    pictures = [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in overlays(page)]
    return [np.asarray(picture.convert("RGBA"), float)[..., 3] / 255 for picture in pictures]


def kept(page):
    return page.locator(".target[aria-pressed=true] .name").all_inner_texts()


def shown(page):
    return page.locator(".target.shown .name").all_inner_texts()


def test_opens_on_the_first_target_with_all_methods_side_by_side(open_traced):
    page = open_traced()
    assert kept(page) == shown(page) == ["tabby"]
    assert page.locator("#verdict").inner_text() == "tabby is 60\u00a0% likely, says a classifier."
    assert page.locator("figcaption b").all_inner_texts() == ["evidence", "grad-cam"]
    left, right = (figure.bounding_box() for figure in page.locator(".method").all())
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert all((opacity > 0.03).mean() > 0.005 for opacity in opacities(page))
    assert "heat map only" in page.locator(".facts").last.inner_text()


def test_every_method_shows_the_photo(open_traced):
    page = open_traced()
    widths = page.locator(".stage img").evaluate_all(
        "images => Promise.all(images.map((image) => image.decode().then(() => image.naturalWidth)))"
    )
    assert widths == [90, 90]


def test_evidence_lies_on_the_photo(open_traced):
    page = open_traced()
    page.locator("#share").fill("10")
    for target, centre in ((0, (0.3, 1 / 6)), (1, (0.7, 0.5))):
        page.locator(".target").nth(target).click()
        for opacity in opacities(page):
            at = np.argwhere(opacity > 0.03).mean(axis=0) / opacity.shape
            np.testing.assert_allclose(at, centre, atol=0.06)


def test_pointing_at_a_target_shows_it_and_leaving_returns_to_the_kept_one(open_traced):
    page = open_traced()
    before = overlays(page)
    page.locator(".target", has_text="lynx").hover()
    assert (shown(page), kept(page)) == (["lynx"], ["tabby"])
    assert all(one != other for one, other in zip(overlays(page), before, strict=True))
    page.locator("footer").hover()
    assert shown(page) == ["tabby"]
    assert overlays(page) == before


def test_tapping_works_without_a_mouse(open_traced):
    page = open_traced(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    page.locator(".target", has_text="hay").tap()
    assert kept(page) == ["hay"]


def test_keys_move_between_targets_and_leave_the_slider_its_own(open_traced):
    page = open_traced()
    page.locator(".target").first.focus()
    page.keyboard.press("ArrowDown")
    assert kept(page) == ["lynx"]
    page.keyboard.press("Tab")
    assert kept(page) == ["hay"]
    page.keyboard.press("Home")
    assert kept(page) == ["tabby"]
    page.keyboard.press("ArrowUp")
    assert kept(page) == ["tabby"]
    page.keyboard.press("End")
    assert kept(page) == ["hay"]
    assert page.evaluate("document.activeElement.dataset.index") == "2"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.locator("#share").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#share").input_value() == "85"
    assert kept(page) == ["hay"]


def test_points_are_shown_where_there_are_some_and_the_map_stays_where_there_are_none(open_traced):
    page = open_traced()
    heat = overlays(page)
    page.get_by_text("Points", exact=True).click()
    points = overlays(page)
    assert points[0] != heat[0]
    assert points[1] == heat[1]


def test_slider_and_box_act_on_every_method(open_traced):
    page = open_traced()
    areas = []
    for share in ("20", "60", "100"):
        page.locator("#share").fill(share)
        areas.append([(opacity > 0.03).mean() for opacity in opacities(page)])
    assert all(small < large for small, large in zip(areas[0], areas[2], strict=True))
    assert page.locator(".shapes .box").count() == 2
    page.get_by_label("Box").uncheck()
    assert page.locator(".shapes .box").count() == 0


def test_strokes_of_a_drawing_stay_visible_in_light_and_dark(open_traced, make_traced):
    pixels = np.full((120, 180, 3), 255, np.uint8)
    pixels[10:110, 88:92] = 0
    traced = make_traced(["a", "line", "b"], shape=(120, 180), pixels=pixels, methods=["evidence"])
    for scheme in ("light", "dark"):
        page = open_traced(traced, color_scheme=scheme, reduced_motion="reduce")
        page.locator(".target", has_text="line").click()
        picture = np.asarray(
            Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("RGB"), float
        )
        row, column = int(0.7 * picture.shape[0]), int(0.5 * picture.shape[1])
        beside = int(0.54 * picture.shape[1])
        assert picture[row, column].mean() < 60
        assert picture[row, beside, 2] < 200 < picture[row, beside, 0] + 60


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_follows_the_system_theme_and_can_be_switched(open_traced):
    light, dark = background(open_traced(color_scheme="light")), background(open_traced(color_scheme="dark"))
    assert light != dark
    page = open_traced(color_scheme="dark")
    page.locator("#theme").click()
    assert background(page) == light


@pytest.mark.parametrize("shape", [(60, 90), (20, 600), (600, 20), (1, 1)])
def test_a_narrow_screen_never_scrolls_sideways(open_traced, make_traced, shape):
    names = ["x" * 80, "hay " * 40, "a, " + "b" * 90]
    traced = make_traced(
        names, shape=shape, photo_name="n" * 120, methods=["evidence", "grad-cam", "m" * 50, "more", "fifth"]
    )
    page = open_traced(traced, viewport={"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert (opacities(page)[0] > 0.03).any()


def test_hostile_names_are_only_text(open_traced, make_traced):
    evil = [
        "</script><script>document.title='broken'</script>",
        "<img src=x onerror=document.title='broken'>",
    ]
    traced = make_traced([*evil, "<!--"], photo_name=evil[0], methods=["evidence", evil[1]])
    page = open_traced(traced)
    for index in range(3):
        page.locator(".target").nth(index).click()
    assert page.locator(".target .name").all_inner_texts() == [*evil, "<!--"]
    assert page.locator("figcaption b").last.inner_text() == evil[1]
    assert page.title() != "broken"


def test_pictures_of_up_to_three_methods_are_large(open_traced):
    page = open_traced()
    page.set_viewport_size({"width": 1280, "height": 900})
    assert all(view.bounding_box()["width"] >= 420 for view in page.locator(".method").all())
