import base64
import hashlib
import html.parser
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gazeback.cnn_trace.fixations import Fixations
from gazeback.grounding.output.colours import MAX_POINTS, evidence_map, fitted, heat_colours, strongest_first
from gazeback.grounding.output.page import page_data, page_html, ranked_points, write_page
from gazeback.grounding.output.text import is_language_habit, percent, verdict

EVIL = (
    "</script><script>alert(1)</script>",
    "<!--",
    "<img src=x onerror=alert(1)>",
    "{{ 7*7 }}",
    "\"'&",
    "\u2028",
)


class Tags(html.parser.HTMLParser):
    """The start tags of a page with their attributes, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append(data)


def test_page_is_one_file_that_asks_for_nothing_else(make_grounding):
    tags = Tags(page_html(make_grounding())).tags
    addresses = [attrs[key] for _, attrs in tags for key in ("src", "href") if key in attrs]
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert not [tag for tag, _ in tags if tag in ("iframe", "object", "base", "form")]


def test_policy_allows_this_script_and_no_other(make_grounding):
    page = Tags(page_html(make_grounding()))
    (policy,) = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("evil", EVIL)
def test_words_and_names_cannot_break_out(make_grounding, evil):
    grounding = make_grounding(["a", evil], name=evil)
    grounding.words[1].runners_up = ((evil, 0.5),)
    grounding.model_name = evil
    plain, page = Tags(page_html(make_grounding(["a", "b"]))), Tags(page_html(grounding))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert len(page.scripts) == 2
    data = json.loads(page.scripts[0])
    assert data["words"][1]["text"] == evil
    assert data["words"][1]["runnersUp"] == [[evil, 0.5]]


def test_a_large_photo_is_scaled_down_and_upright(make_grounding):
    page = Tags(page_html(make_grounding(shape=(800, 1600))))
    (address,) = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    image = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
    assert (image.format, image.size) == ("JPEG", (1200, 600))
    red, green, _ = np.asarray(image, int)[-1, 0]
    assert red > 240 > 20 > green


def test_each_word_is_a_button_with_its_share(make_grounding):
    page = page_html(make_grounding(["a", "zebu"], unknown=["zebu"]))
    classes = [attrs["class"] for tag, attrs in Tags(page).tags if tag == "button" and "data-index" in attrs]
    assert classes == ["word habit", "word unknown"]
    assert re.search(r"visual share </span>70\u00a0%", page)


def test_page_is_written_whole_and_an_odd_name_does_not_stop_it(make_grounding, tmp_path):
    path = write_page(make_grounding(name="bad\udcff.jpg"), tmp_path / "dog.html")
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (3, 2)])
def test_photos_of_any_shape_work(make_grounding, shape):
    assert "</html>" in page_html(make_grounding(shape=shape))


def test_points_come_strongest_first(make_grounding):
    grounding = make_grounding(["dog"])
    evidence = page_data(grounding, {})["words"][0]["evidence"][0]
    weights = [weight for _, _, weight in evidence["points"]]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == 1
    strongest = grounding.words[0].fixations.points[np.argmax(grounding.words[0].fixations.weights)]
    assert evidence["points"][0][:2] == strongest.tolist()


def test_a_part_of_equal_points_is_a_fair_sample():
    points = np.argwhere(np.ones((100, 100), bool))
    fixations = Fixations(points, np.ones(len(points)), (100, 100))
    order = strongest_first(fixations, 1000)
    assert len(set(order.tolist())) == 1000
    np.testing.assert_allclose(points[order].mean(axis=0), (49.5, 49.5), atol=3)
    np.testing.assert_array_equal(order, strongest_first(fixations, 2000)[:1000])


def test_of_too_many_points_the_strongest_are_kept():
    points = np.argwhere(np.ones((100, 100), bool))
    fixations = Fixations(points, np.arange(10000.0), (100, 100))
    assert strongest_first(fixations, 10).tolist() == list(range(9999, 9989, -1))
    assert len(ranked_points(fixations)) == MAX_POINTS


def test_map_covers_the_photo_and_peaks_where_the_evidence_is(make_grounding):
    grounding = make_grounding(["a", "dog"], shape=(300, 450))
    evidence = page_data(grounding, {})["words"][1]["evidence"][0]
    shape = (evidence["rows"], evidence["columns"])
    small = np.frombuffer(base64.b64decode(evidence["map"]), np.uint8).reshape(shape)
    assert shape == (59, 88)
    assert small.max() == 255
    at = (np.array(np.unravel_index(small.argmax(), shape)) + 0.5) / shape
    np.testing.assert_allclose(at, (0.7, 0.75), atol=0.06)


def test_map_of_no_points_is_zero_and_its_word_has_no_box(make_grounding):
    word = page_data(make_grounding(empty=["dog"]), {})["words"][2]
    assert set(base64.b64decode(word["evidence"][0]["map"])) == {0}
    assert (word["evidence"][0]["points"], word["evidence"][0]["box"]) == ([], None)


def test_every_method_has_its_evidence_and_the_photo_travels_once(make_grounding):
    grounding = make_grounding(methods=("evidence", "grad-cam", "saliency"))
    data = page_data(grounding, {})
    assert data["methods"] == ["evidence", "grad-cam", "saliency"]
    for word in data["words"]:
        assert [one["mapOnly"] for one in word["evidence"]] == [False, True, True]
        assert [bool(one["points"]) for one in word["evidence"]] == [True, False, False]
    page = page_html(grounding)
    assert page.count("data:image/jpeg") == 1
    assert page.count("<canvas") == 3
    assert "methods evidence, grad-cam, saliency" in page
    assert "<figcaption>" not in page_html(make_grounding())


def test_measures_of_the_words_before_are_named_for_readers(make_grounding):
    assert page_data(make_grounding(), {})["words"][1]["precedingBy"] == []
    words = page_data(make_grounding(preceding=True), {})["words"]
    assert words[2]["precedingBy"] == [["left out", [0.5, 0.5]], ["gradient", [-0.25, -0.25]]]
    assert "left out</i> is the number of nats" in page_html(make_grounding(preceding=True))


def test_small_map_equals_the_full_one_averaged_down(make_grounding):
    fixations = make_grounding(["dog"], shape=(240, 240)).words[0].fixations
    averaged = fixations.heatmap().reshape(60, 4, 60, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(evidence_map(fixations, 60) / 255, averaged / averaged.max(), atol=0.06)


def test_outlines_go_to_their_word(make_grounding):
    words = page_data(make_grounding(), {2: [[[1, 2], [30.04, 2], [30, 40]]]})["words"]
    assert [word["outlines"] for word in words] == [[], [], [[[1, 2], [30, 2], [30, 40]]]]


def test_page_data_is_strict_json_whatever_the_numbers(make_grounding):
    grounding = make_grounding()
    grounding.words[1].visual = float("-inf")
    grounding.words[1].visual_share = float("nan")
    json.dumps(page_data(grounding, {}), allow_nan=False)
    assert "NaN" not in page_html(grounding)


def test_heat_colours_start_transparent_and_rise_in_lightness():
    colours = heat_colours().astype(int)
    lightness = colours[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -0.5).all()
    assert (np.diff(colours[:, 3]) >= 0).all()
    assert colours[0, 3] == 0


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 2000))
def test_fitted_never_enlarges_and_keeps_the_shape(width, height, longest):
    across, down = fitted(width, height, longest)
    assert 1 <= across <= width
    assert 1 <= down <= height
    assert max(across, down) <= max(longest, 1)
    scale = max(across, down) / max(width, height)
    assert abs(across - width * scale) <= 1
    assert abs(down - height * scale) <= 1


@pytest.mark.parametrize(
    ("visual", "share", "habit", "sentence"),
    [
        (1.5, 0.78, False, "The photo changed this word: it contributed 78\u00a0% of its probability."),
        (0.05, 0.05, True, "Language habit: the words before explain it; the photo adds little."),
        (-0.02, 0.0, True, "Language habit: the words before explain it; the photo adds nothing."),
        (-0.8, 0.0, True, "Language habit: the words before explain it; the photo makes it less likely."),
    ],
)
def test_verdict_says_where_a_word_came_from(visual, share, habit, sentence):
    word = SimpleNamespace(visual=visual, visual_share=share)
    assert is_language_habit(word) is habit
    assert verdict(word) == sentence


def test_verdict_of_the_first_word_blames_no_words_before():
    word = SimpleNamespace(visual=-0.02, visual_share=0.0)
    assert verdict(word, first=True) == "Language habit: captions often begin so; the photo adds nothing."


def test_percent_of_what_is_no_number():
    assert percent(float("nan")) == "\u2013\u00a0%"


def test_likely_false_words_are_marked_by_more_than_a_colour(make_grounding):
    grounding = make_grounding(["a", "brown", "dog"])
    grounding.words[1].support, grounding.words[2].support = 0.234, 0.9
    page, data = page_html(grounding), page_data(grounding)["words"]
    classes = [attrs["class"] for tag, attrs in Tags(page).tags if tag == "button" and "data-index" in attrs]
    assert classes == ["word habit", "word doubtful", "word"]
    assert page.count(", likely false</span>") == 1
    assert [word["doubtful"] for word in data] == [False, True, False]
    assert data[1]["verdict"].startswith(
        "Likely false: its support is 23\u00a0%. The photo changed this word:"
    )
    assert data[2]["verdict"].startswith("Likely true: its support is 90\u00a0%.")
    assert "<b>Support</b>" in page


def test_without_support_no_word_is_said_to_be_true_or_false(make_grounding):
    page = page_html(make_grounding())
    assert "<b>Support</b>" not in page
    assert not re.search(r"Likely (true|false)|likely false</span>", page)
