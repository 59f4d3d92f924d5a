"""What a notebook shows: the page in a frame, a picture where scripts are off, fixations alone."""

import base64
import io
import re
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from gazeback.cnn_trace.fixations import Fixations
from gazeback.grounding.captions import Grounding
from gazeback.grounding.output.notebook import notebook_html

WORDS = ["a", "brown", "dog", "on", "a", "beach"]
# A page with scripts around the output; every test looks at the same document.
HOST = "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><body style='margin:0'>{}"


@pytest.fixture
def open_output(open_file, make_grounding, tmp_path):
    """Opens a document that holds the output of a result, as a notebook's does."""

    def open_output(explained=None, **options):
        html = notebook_html(explained or make_grounding(WORDS, shape=(300, 450)))
        path = tmp_path / "notebook.html"
        path.write_text(HOST.format(html), encoding="utf-8")
        return open_file(path, **options)

    return open_output


def frame_of(page):
    return page.frame_locator("iframe")


def becomes(frame, condition):
    """Whether a condition holds within some hundred drawings.

    Playwright's own waiting uses eval, which the page's policy forbids.
    """
    wait = f"""() => new Promise((resolve) => {{
        const holds = () => {condition};
        const look = (left) => {{
            if (holds() || !left) resolve(holds());
            else requestAnimationFrame(() => look(left - 1));
        }};
        look(300);
    }})"""
    return frame.evaluate(wait)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1100, 400])
def test_the_page_in_the_frame_works_and_the_frame_fits(open_output, width):
    page = open_output(viewport={"width": width, "height": 700})
    frame_of(page).locator(".word", has_text="dog").click()
    assert frame_of(page).locator(".word[aria-pressed=true] .text").inner_text() == "dog"
    inside = page.frames[1]
    assert becomes(inside, "Math.abs(innerHeight - document.body.offsetHeight) < 2")
    frame_of(page).locator("summary").click()  # more text: the frame grows
    assert becomes(inside, "document.querySelector('footer').getBoundingClientRect().bottom <= innerHeight")
    assert not page.locator("img").count()


@pytest.mark.browser
def test_the_frame_cannot_reach_the_notebook(open_output):
    page = open_output()
    frame_of(page).locator(".word").first.wait_for()
    reached = (
        """() => { try { return parent.document.title + "reached" } catch (error) { return error.name } }"""
    )
    assert page.frames[1].evaluate(reached) == "SecurityError"


@pytest.mark.browser
def test_without_scripts_there_is_a_picture(open_output):
    page = open_output(java_script_enabled=False)
    box = page.locator("noscript img").bounding_box()
    assert box["width"] > 500
    assert box["height"] > 100


def test_a_classifiers_answers_are_shown_alike(make_traced):
    html = make_traced()._repr_html_()
    assert 'sandbox="allow-scripts"' in html
    assert "&lt;!doctype html&gt;" in html
    assert 'title="Evidence: tabby, tabby cat"' in html


def test_nothing_of_a_caption_becomes_markup(make_grounding):
    html = notebook_html(make_grounding(['"><script>alert(1)</script>', "dog"]))
    assert html.count("<script>") == 1
    assert html.count("<iframe") == 1


def test_words_and_targets_are_found_by_their_text(make_grounding, make_traced):
    made = make_grounding(WORDS)
    grounding = Grounding(**{field.name: getattr(made, field.name) for field in fields(Grounding)})
    assert grounding["dog"] is grounding.words[2]
    assert grounding["a"] is grounding.words[0]
    assert grounding._ipython_key_completions_() == ["a", "brown", "dog", "on", "beach"]
    with pytest.raises(ValueError, match=r"no word 'cat'; its words: a, brown, dog, on, beach$"):
        grounding["cat"]
    traced = make_traced()
    assert traced["tabby cat"] is traced["tabby, tabby cat"] is traced.targets[0]
    assert traced._ipython_key_completions_() == ["tabby, tabby cat", "lynx", "hay"]
    with pytest.raises(ValueError, match=r"no target 'dog'; the targets: tabby, tabby cat; lynx; hay$"):
        traced["dog"]


@pytest.mark.parametrize("shape", [(20, 30), (25,), (3, 20, 30)])
@pytest.mark.parametrize("count", [0, 4])
def test_fixations_of_any_rank_show_themselves(shape, count):
    points = np.stack([np.arange(count) % side for side in shape], axis=1)
    html = Fixations(points, np.ones(count), shape)._repr_html_()
    assert f"{count} points on {' by '.join(map(str, shape))} pixels" in html
    data = re.search(r'base64,([^"]+)"', html).group(1)
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    assert np.ptp(np.asarray(image)) > 0
