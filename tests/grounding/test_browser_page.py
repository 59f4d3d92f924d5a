"""The page in a real browser: what a reader points at, types and sees."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from gazeback.grounding.output.index import IndexEntry, index_html
from gazeback.grounding.output.page import write_page
from gazeback.grounding.output.results import to_json

WORDS = ["a", "brown", "dog", "of", "zebus"]
OUTLINES = {1: [[[5, 5], [70, 5], [70, 50]]]}

pytestmark = pytest.mark.browser


@pytest.fixture
def open_page(open_file, make_grounding, tmp_path):
    """Opens the page of a grounding from its file."""

    def open_page(grounding=None, outlines=None, **options):
        grounding = grounding or make_grounding(WORDS, unknown=["zebus"], empty=["of"])
        return open_file(write_page(grounding, tmp_path / "page.html", outlines), **options)

    return open_page


def overlay(page):
    return page.evaluate("document.getElementById('overlay').toDataURL()")


def opacity(page):
    """float [rows, columns]: 0 where the canvas lets the photo through."""
    png = base64.b64decode(overlay(page).split(",")[1])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), float)[..., 3] / 255


def painted(page):
    """Share of the canvas that is not transparent."""
    return (opacity(page) > 0.03).mean()


def kept(page):
    return page.locator(".word[aria-pressed=true] .text").all_inner_texts()


def shown(page):
    return page.locator(".word.shown .text").all_inner_texts()


def word(page, text):
    return page.locator(".word", has_text=text)


def test_opens_on_the_most_visual_word_with_its_evidence(open_page):
    page = open_page()
    assert kept(page) == shown(page) == ["brown"]
    assert (
        page.locator("#verdict")
        .inner_text()
        .startswith("“brown” The photo changed this word: it contributed 70")
    )
    assert painted(page) > 0.01


def test_pointing_at_a_word_shows_it_and_leaving_returns_to_the_kept_one(open_page):
    page = open_page()
    before = overlay(page)
    word(page, "dog").hover()
    assert (shown(page), kept(page)) == (["dog"], ["brown"])
    assert overlay(page) != before
    page.locator("footer").hover()
    assert shown(page) == ["brown"]
    assert overlay(page) == before


def test_clicking_keeps_a_word(open_page):
    page = open_page()
    word(page, "dog").click()
    page.locator("footer").hover()
    assert shown(page) == kept(page) == ["dog"]


def test_tapping_works_without_a_mouse(open_page):
    page = open_page(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    before = overlay(page)
    word(page, "dog").tap()
    assert kept(page) == ["dog"]
    assert overlay(page) != before


def test_tab_and_arrow_keys_move_between_words(open_page):
    page = open_page()
    before = overlay(page)
    page.keyboard.press("ArrowRight")
    assert kept(page) == ["dog"]
    assert overlay(page) != before
    page.keyboard.press("ArrowLeft")
    assert overlay(page) == before
    word(page, "brown").focus()
    page.keyboard.press("Tab")
    assert kept(page) == ["dog"]
    assert page.evaluate("document.activeElement.dataset.index") == "2"
    page.keyboard.press("Home")
    assert kept(page) == ["a"]
    page.keyboard.press("ArrowLeft")
    assert kept(page) == ["a"]
    page.keyboard.press("End")
    assert kept(page) == ["zebus"]


def test_slider_shows_less_or_more_of_the_evidence(open_page):
    page = open_page()
    for view in ("Heat map", "Points"):
        page.get_by_text(view, exact=True).click()
        areas = []
        for share in ("20", "60", "100"):
            page.locator("#share").fill(share)
            areas.append(painted(page))
        assert 0 < areas[0] < areas[1] < areas[2]
    assert page.locator("#share-value").inner_text() == "100 %"


def test_slider_answers_to_its_own_keys(open_page):
    page = open_page()
    page.locator("#share").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#share").input_value() == "85"
    assert kept(page) == ["brown"]


def test_switches_between_heat_map_and_points(open_page):
    page = open_page()
    heat = overlay(page)
    page.get_by_text("Points", exact=True).click()
    points = overlay(page)
    assert points != heat
    page.get_by_text("Heat map", exact=True).click()
    assert overlay(page) == heat


def test_play_goes_through_the_words_in_order_and_stops(open_page):
    page = open_page()
    page.clock.install()
    word(page, "dog").click()
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Pause"
    seen = []
    for _ in range(3):
        seen += kept(page)
        page.clock.run_for(1700)
    assert seen == ["dog", "of", "zebus"]
    assert page.locator("#play").inner_text() == "Play"


def test_space_plays_and_pauses_also_from_a_word(open_page):
    page = open_page()
    page.clock.install()
    word(page, "brown").focus()
    page.keyboard.press(" ")
    page.clock.run_for(1700)
    assert kept(page) == ["dog"]
    page.keyboard.press(" ")
    page.clock.run_for(5000)
    assert kept(page) == ["dog"]


def test_words_before_are_marked_for_and_against_with_thickness_and_number(open_page):
    page = open_page()
    word(page, "of").click()
    signs = page.locator(".word .relevance").all_inner_texts()
    assert signs == ["+0.20", "\u22120.40", "+0.60", "", ""]
    classes = page.locator(".word").evaluate_all("all => all.map((one) => one.className)")
    assert ["for" in c.split() for c in classes] == [True, False, True, False, False]
    assert ["against" in c.split() for c in classes] == [False, True, False, False, False]
    thickness = page.locator(".word").evaluate_all(
        "all => all.map((one) => parseFloat(one.style.getPropertyValue('--thickness')))"
    )
    assert thickness[0] < thickness[1] < thickness[2]


def test_details_name_runners_up_nats_and_language_habit(open_page):
    page = open_page()
    details = page.locator("#details").inner_text()
    assert "cat" in details
    assert "12 %" in details
    assert "log p \u22121.30 = visual +1.20 + language \u22122.50 nats" in details
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert "Language habit: captions often begin so" in page.locator("#verdict").inner_text()
    assert page.locator("#verdict").get_attribute("aria-live") == "polite"


def test_a_word_without_evidence_and_an_unknown_one_say_so(open_page):
    page = open_page()
    word(page, "of").click()
    assert "no evidence" in page.locator("#chip").inner_text()
    assert painted(page) == 0
    word(page, "zebus").click()
    assert "is not in the captioner" in page.locator("#verdict").inner_text()


def test_box_and_outlines_can_be_hidden(open_page):
    page = open_page(outlines=OUTLINES)
    assert page.locator("#shapes .box, #shapes .outline").count() == 2
    page.get_by_label("Box").uncheck()
    assert page.locator("#shapes .box").count() == 0
    page.get_by_label("Outlines").uncheck()
    assert page.locator("#shapes path").count() == 0


def test_no_outlines_no_switch_for_them(open_page):
    assert not open_page().locator("#outlines-label").is_visible()


def test_evidence_lies_on_the_photo(open_page, make_grounding):
    page = open_page(make_grounding(["dog"], shape=(120, 200)))
    page.locator("#share").fill("10")
    painted_at = np.argwhere(opacity(page) > 0.03).mean(axis=0) / opacity(page).shape
    np.testing.assert_allclose(painted_at, (0.3, 0.5), atol=0.05)
    frames = [page.locator(name).bounding_box() for name in ("#stage-photo", "#overlay", "#shapes")]
    assert frames[0] == frames[1] == frames[2]


def canvases(page):
    """One float [rows, columns] per method: 0 where the canvas lets the photo through."""
    urls = page.evaluate("[...document.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL())")
    pictures = [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in urls]
    return [np.asarray(picture.convert("RGBA"), float)[..., 3] / 255 for picture in pictures]


def test_methods_stand_side_by_side_and_follow_the_word(open_page, make_grounding):
    page = open_page(make_grounding(WORDS, methods=("evidence", "grad-cam", "saliency")))
    assert page.locator("figcaption").all_inner_texts() == ["evidence", "grad-cam", "saliency"]
    left, right = (figure.bounding_box() for figure in page.locator(".method").all()[:2])
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    naturals = page.locator(".stage img").evaluate_all(
        "images => Promise.all(images.map((image) => image.decode().then(() => image.naturalWidth)))"
    )
    assert naturals == [90] * 3
    page.locator("#share").fill("10")
    for text, centre in (("brown", (0.7, 0.3)), ("dog", (0.3, 0.5))):
        word(page, text).click()
        found = [np.argwhere(opacity > 0.03).mean(axis=0) / opacity.shape for opacity in canvases(page)]
        opposite = np.subtract(1, centre)
        np.testing.assert_allclose(found, [centre, opposite, opposite], atol=0.06)
    heat = canvases(page)
    page.get_by_text("Points", exact=True).click()
    points = canvases(page)
    assert (points[0] != heat[0]).any()
    np.testing.assert_array_equal(points[1], heat[1])


def test_measures_of_the_words_before_are_a_table(open_page, make_grounding):
    page = open_page(make_grounding(WORDS, preceding=True))
    word(page, "dog").click()
    rows = page.locator("#details tr").evaluate_all("rows => rows.map((row) => row.innerText.split('\t'))")
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["", "exact", "left out", "gradient"],
        ["a", "+0.20", "+0.50", "\u22120.25"],
        ["brown", "\u22120.40", "+0.50", "\u22120.25"],
    ]
    assert page.locator("#details .before").count() == 0


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_follows_the_system_theme_and_can_be_switched(open_page):
    light, dark = background(open_page(color_scheme="light")), background(open_page(color_scheme="dark"))
    assert light != dark
    page = open_page(color_scheme="dark")
    page.locator("#theme").click()
    assert background(page) == light
    page.locator("#theme").click()
    assert background(page) == dark


@pytest.mark.parametrize("shape", [(60, 90), (20, 600), (600, 20), (1, 1)])
def test_a_narrow_screen_never_scrolls_sideways(open_page, make_grounding, shape):
    words = ["a", "x" * 80, *WORDS, *WORDS]
    page = open_page(
        make_grounding(words, shape=shape, name="n" * 120), viewport={"width": 320, "height": 640}
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert painted(page) > 0


@pytest.mark.parametrize("shape", [(60, 90), (20, 600), (600, 20)])
def test_a_comparison_never_scrolls_sideways(open_page, make_grounding, shape):
    methods = ("evidence", "grad-cam", "m" * 60)
    grounding = make_grounding(["a", "x" * 80, *WORDS], shape=shape, methods=methods, preceding=True)
    for width in (320, 1000):
        page = open_page(grounding, viewport={"width": width, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert all((opacity > 0.03).any() for opacity in canvases(page))


def test_hostile_words_are_only_text(open_page, make_grounding):
    evil = [
        "</script><script>document.title='broken'</script>",
        "<img src=x onerror=document.title='broken'>",
    ]
    grounding = make_grounding([*evil, "<!--"], name=evil[0])
    grounding.words[2].runners_up = ((evil[1], 0.5),)
    page = open_page(grounding)
    page.keyboard.press("End")
    for text in [*evil, "<!--"]:
        word(page, text).first.click()
    assert page.locator(".word .text").all_inner_texts() == [*evil, "<!--"]
    assert evil[1] in page.locator("#details").inner_text()
    assert page.title() != "broken"


def test_focus_can_be_seen(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_index_loads_small_pictures_from_files_and_filters(browser, make_grounding, tmp_path):
    Image.fromarray(make_grounding().photo.pixels).save(tmp_path / "dog #1.jpg")
    captions = [["a", "brown", "dog"], ["two", "dogs"], ["a", "horse"]]
    entries = [
        IndexEntry(to_json(make_grounding(words)), f"{index}.html", "dog #1.jpg")
        for index, words in enumerate(captions)
    ]
    (tmp_path / "index.html").write_text(index_html(entries, "Grounded photos"), encoding="utf-8")
    page = browser.new_page(viewport={"width": 320, "height": 640})
    troubles = []
    page.on("console", lambda message: troubles.append(message.text))
    page.goto((tmp_path / "index.html").as_uri())
    assert page.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 90
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.locator("#filter").fill("Dog")
    assert page.locator(".card:visible").count() == 2
    page.locator("#filter").fill("dog brown")
    assert page.locator(".card:visible").count() == 1
    assert page.locator("#count").inner_text() == "1 of 3 photos"
    page.close()
    assert troubles == []
