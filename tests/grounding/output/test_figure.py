from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gazeback.grounding.output.figure import draw_words, write_figure
from gazeback.grounding.output.panels import FIGURE_AREA, arrange, arrange_matrix

SHAPES = ((1, 1), (20, 2000), (2000, 20), (300, 400))
COUNTS = (0, 1, 25)


def fast_and_slow(fast, *axes):
    """The whole product; what is not named is slow."""
    return [pytest.param(*one, marks=() if one in fast else pytest.mark.slow) for one in product(*axes)]


def drawn(grounding, path, **options):
    return np.asarray(Image.open(write_figure(grounding, path, **options)).convert("RGB"), int)


def warmest(picture):
    """Where a grey picture is most red or yellow, as fractions of its height and width."""
    red, _, blue = np.moveaxis(np.asarray(picture, int), -1, 0)
    return np.array(np.unravel_index((red - blue).argmax(), red.shape)) / red.shape


def test_one_panel_for_the_photo_and_one_per_word(make_grounding):
    figure = draw_words(make_grounding())
    assert len(figure.pictures) == 4
    texts = [text.text for text in figure.texts]
    assert texts[0] == "a brown dog"
    assert [text for text in texts[1:] if text in ("photo", "a", "brown", "dog")] == [
        "photo",
        "a",
        "brown",
        "dog",
    ]
    assert texts.count("70\u00a0%") == 2


def test_language_words_and_unknown_words_are_marked(make_grounding):
    figure = draw_words(make_grounding(["the", "zebu"], unknown=["zebu"]))
    texts = {text.text: text for text in figure.texts}
    assert {"language habit", "unknown word"} <= texts.keys()
    assert texts["the"].style == "italic"
    assert texts["zebu"].style == "plain"


def test_likely_false_words_have_a_question_mark_and_a_note(make_grounding):
    grounding = make_grounding(["brown", "dog"])
    grounding.words[0].support, grounding.words[1].support = 0.2, 0.8
    texts = [text.text for text in draw_words(grounding).texts]
    assert {"brown ?", "likely false", "dog"} <= set(texts)
    assert texts.count("likely false") == 1


def test_evidence_lies_where_it_belongs(make_grounding):
    grounding = make_grounding(["dog"], shape=(200, 300))
    grounding.photo.pixels[:] = 120
    np.testing.assert_allclose(warmest(draw_words(grounding).pictures[1]), (0.3, 0.5), atol=0.06)


def test_outlines_are_drawn_over_their_word(make_grounding, tmp_path):
    grounding = make_grounding()
    plain = drawn(grounding, tmp_path / "plain.png")
    outlined = drawn(grounding, tmp_path / "outlined.png", outlines={1: [[[5, 5], [50, 5], [50, 50]]]})
    assert plain.shape == outlined.shape
    assert (plain != outlined).any()


def test_words_that_look_like_formulas_or_have_no_glyph_are_drawn(make_grounding, tmp_path):
    assert drawn(make_grounding(["$x^{", "犬", "<b>", "x" * 60]), tmp_path / "odd.png").size


@pytest.mark.parametrize(
    ("shape", "count"), fast_and_slow([((1, 1), 1), ((300, 400), 0), ((2000, 20), 25)], SHAPES, COUNTS)
)
def test_stays_within_its_size_for_any_photo_and_length(make_grounding, tmp_path, shape, count):
    path = write_figure(make_grounding(["word"] * count, shape=shape), tmp_path / "any.png")
    with Image.open(path) as image:
        assert image.width * image.height < 5e6
        assert max(image.size) < 5000
    assert path.stat().st_size < 4e6


def test_photo_keeps_its_shape(make_grounding):
    for picture in draw_words(make_grounding(shape=(900, 60))).pictures:
        assert picture.width / picture.height == pytest.approx(60 / 900, rel=0.02)


@given(st.integers(1, 40), st.floats(0.001, 1000))
def test_panels_neither_overlap_nor_leave_the_figure(count, ratio):
    panels = arrange(count, ratio)
    across, down = panels.size
    corners = np.array([panels.place(index) for index in range(count)])
    assert panels.rows * panels.columns >= count > (panels.rows - 1) * panels.columns
    assert (corners > 0).all()
    assert (corners[:, 0] + panels.width < across).all()
    assert (corners[:, 1] + panels.height < down).all()
    for axis, side in ((0, panels.width), (1, panels.height)):
        edges = np.unique(corners[:, axis].round(6))
        assert (np.diff(edges) > side).all()


@given(st.floats(0.2, 5))
def test_many_panels_share_a_limited_area(ratio):
    assert np.prod(arrange(26, ratio).size) < 1.5 * FIGURE_AREA


METHODS = ("evidence", "saliency", "grad-cam")


def test_several_methods_are_rows_below_each_word(make_grounding):
    figure = draw_words(make_grounding(["the", "zebu"], unknown=["zebu"], methods=METHODS))
    assert len(figure.pictures) == 1 + 3 * 2
    places = {text.text: (text.x, text.y) for text in figure.texts}
    columns = [places[word][0] for word in ("photo", "the", "zebu")]
    rows = [places[method][1] for method in METHODS]
    assert columns == sorted(columns)
    assert rows == sorted(rows, reverse=True)
    assert places["the"][1] > rows[0]
    assert places["unknown word"][1] < rows[-1]
    texts = [text.text for text in figure.texts]
    assert [texts.count(word) for word in ("the", "zebu", "language habit", *METHODS)] == [1] * 6


def test_each_row_shows_what_its_method_found(make_grounding):
    grounding = make_grounding(["dog", "cat"], shape=(200, 300), methods=METHODS[:2])
    grounding.photo.pixels[:] = 120
    peaks = [warmest(picture) for picture in draw_words(grounding).pictures[1:3]]
    np.testing.assert_allclose(peaks, [(0.3, 0.25), (0.7, 0.75)], atol=0.06)


@pytest.mark.parametrize(
    ("shape", "count"), fast_and_slow([((1, 1), 0), ((300, 400), 1), ((20, 2000), 25)], SHAPES, COUNTS)
)
def test_a_comparison_stays_within_its_size(make_grounding, tmp_path, shape, count):
    grounding = make_grounding(["word"] * count, shape=shape, methods=METHODS)
    with Image.open(write_figure(grounding, tmp_path / "any.png")) as image:
        assert image.width * image.height < 5e6
        assert max(image.size) < 5000


@given(st.integers(2, 6), st.integers(1, 40), st.floats(0.01, 100))
def test_compared_panels_neither_overlap_nor_leave_the_figure(methods, words, ratio):
    panels = arrange_matrix(methods, words, ratio)
    across, down = panels.size
    cells = [panels.index(method, word) for word in range(words) for method in range(methods)]
    assert len(set(cells)) == len(cells)
    assert max(cells) < panels.rows * panels.columns
    corners = np.array([panels.place(cell) for cell in [0, *cells]])
    assert (corners > 0).all()
    assert (corners[:, 0] + panels.width < across).all()
    assert (corners[:, 1] + panels.height < down).all()
    for axis, side in ((0, panels.width), (1, panels.height)):
        edges = np.unique(corners[:, axis].round(6))
        assert (np.diff(edges) > side).all()
