import html
import re

from gazeback.grounding.output.index import IndexEntry, index_html, write_index
from gazeback.grounding.output.page import jpeg_uri
from gazeback.grounding.output.results import to_json


def entry(grounding, page="images/dog.html", picture=None):
    picture = jpeg_uri(grounding.photo, 32) if picture is None else picture
    return IndexEntry(to_json(grounding), page, picture)


def test_links_every_page_and_shows_every_caption(make_grounding):
    groundings = [make_grounding(), make_grounding(["two", "horses"], name="horse.jpg")]
    page = index_html([entry(one, f"images/{one.photo.name}.html") for one in groundings], "COCO minival")
    assert re.findall(r'<a href="([^"]+)"', page) == ["images/dog.jpg.html", "images/horse.jpg.html"]
    assert re.findall(r'data-caption="([^"]+)"', page) == ["a brown dog", "two horses"]
    assert "COCO minival" in page
    assert page.count('<img src="data:image/jpeg') == 2


def test_marks_words_from_language_habit(make_grounding):
    page = index_html([entry(make_grounding())], "Photos")
    assert re.findall(r'<span class="word habit">(\w+)', page) == ["a"]


def test_names_and_addresses_cannot_break_out(make_grounding):
    evil = '"><script>alert(1)</script>'
    page = index_html(
        [entry(make_grounding([evil], name=evil), page="javascript:alert(1)", picture=evil)], evil
    )
    assert page.count("<script>") == 1
    assert 'href="javascript%3Aalert' in page
    assert html.escape(evil, quote=False).replace('"', "&#34;") in page


def test_no_photos_make_an_empty_index():
    assert "0 photos" in index_html([], "Photos")


def test_an_index_is_written_entry_by_entry(make_grounding, tmp_path):
    entries = [entry(make_grounding(name=f"{number}.jpg")) for number in range(3)]
    path = write_index(iter(entries), tmp_path / "index.html", "Photos", count=3)
    assert path.read_bytes() == index_html(entries, "Photos").encode()
