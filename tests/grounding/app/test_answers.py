"""Which caption a side explains after each change."""

from pathlib import Path

import pytest

from gazeback.grounding.app import session
from gazeback.grounding.app.session import Captioners
from gazeback.models.photos import bundled_photo

pytestmark = pytest.mark.filterwarnings("ignore")  # of Gradio


@pytest.fixture
def answers(captioner, monkeypatch, tmp_path: Path):
    pytest.importorskip("gradio", reason="gradio is not installed (pip install 'gazeback[app]')")
    from gazeback.grounding.app.answers import Answers

    monkeypatch.setattr(session, "load_captioner", lambda name: captioner)
    return Answers(Captioners(["mine:make"]), tmp_path, second=False)


def test_a_generated_caption_is_generated_anew_and_a_written_one_stays(answers):
    from gazeback.grounding.app.answers import Shown

    photo, rest = str(bundled_photo()), ("mine:make", ["evidence"], 1)
    first = answers.afresh(photo, False, None, *rest, Shown())
    shown = first[-1]
    assert shown.generated == shown.caption == first[1] != ""
    written = answers.explain(photo, False, "a red photo", *rest, shown)[-1]
    assert (written.generated, written.caption, written.words) == ("", "a red photo", ("a", "red", "photo"))
    other = ("scenes-gap", ["evidence"], 1)
    assert answers.by_another(photo, False, "a red photo", *other, written)[-1].caption == "a red photo"
    assert answers.by_another(photo, False, shown.caption, *other, shown)[-1].generated == shown.generated
    assert answers.afresh(photo, False, "a red photo", *rest, written)[-1].caption == shown.caption


def test_a_choice_that_is_told_twice_changes_nothing(answers):
    from gazeback.grounding.app.answers import Shown

    shown = Shown(("a",), (("the",),), "a", "a", "mine:make")
    told = answers.by_another(str(bundled_photo()), False, "b", "mine:make", ["evidence"], 1, shown)
    assert all(value == told[0] for value in told)
    assert answers.with_word(None, "red", str(bundled_photo()), False, "a", "mine:make", [], 1, shown) == told


def test_without_a_photo_and_with_a_mistake_there_is_a_sentence(answers):
    from gazeback.grounding.app.answers import Shown

    told = answers.explain(None, False, "a photo", "mine:make", ["evidence"], 1, Shown())
    assert "Drop a photo" in told[0]
    told = answers.explain(str(bundled_photo()), False, "a", "<i>", ["evidence"], 1, Shown())
    assert "there is no captioner &#39;&lt;i&gt;&#39;" in told[0]
    assert told[1] == "a"
