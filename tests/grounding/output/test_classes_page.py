import json
import re

import numpy as np
import pytest
from PIL import Image

from gazeback.grounding.output.colours import PAPER_STOPS
from gazeback.grounding.output.figure import draw_class, write_figure
from gazeback.grounding.output.index import index_entry, write_index
from gazeback.grounding.output.page import (
    page_data,
    page_html,
    write_page,
)

EVIL = ("</script><script>alert(1)</script>", "<!--", "<img src=x onerror=alert(1)>", "{{ 7*7 }}", "\"'&")


def scripts(page):
    return re.findall(r"<script[^>]*>(.*?)</script>", page, flags=re.DOTALL)


def test_page_is_one_file_that_asks_for_nothing_else(make_traced):
    page = page_html(make_traced())
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith("data:") or not address for address in addresses)
    assert "default-src 'none'" in page
    assert page.count("data:image/jpeg") == 1


@pytest.mark.parametrize("evil", EVIL)
def test_names_cannot_break_out(make_traced, evil):
    traced = make_traced([evil, "lynx"], photo_name=evil, methods=["evidence", evil])
    traced.classifier.name = evil
    plain, page = page_html(make_traced(["tabby", "lynx"])), page_html(traced)
    assert re.findall(r"<([a-z]+)", page) == re.findall(r"<([a-z]+)", plain)
    data = json.loads(scripts(page)[0])
    assert data["methods"][1] == evil
    assert data["targets"][0]["text"] == evil.split(",")[0]


def test_each_target_is_a_button_with_its_probability(make_traced):
    page = page_html(make_traced())
    assert re.findall(r'class="name">([^<]*)<', page) == ["tabby", "lynx", "hay"]
    assert re.findall(r'class="others">([^<]*)<', page) == ["tabby cat"]
    assert re.findall(r'class="value">([^<]*)<', page) == ["60\u00a0%", "30\u00a0%", "20\u00a0%"]
    assert re.findall(r'style="width: ([^"]*)"', page) == ["60.0%", "30.0%", "20.0%"]


def test_bars_of_neurons_are_relative_to_the_strongest(make_traced):
    page = page_html(make_traced(["a[0]", "b[0]"], layer="conv"))
    assert re.findall(r'style="width: ([^"]*)"', page) == ["100.0%", "50.0%"]


def test_every_target_has_an_entry_per_method(make_traced):
    data = page_data(make_traced())
    json.dumps(data, allow_nan=False)
    assert data["methods"] == ["evidence", "grad-cam"]
    for target in data["targets"]:
        points, only = target["evidence"]
        assert points["points"][0][2] == 1
        assert not points["mapOnly"]
        assert only["mapOnly"]
        assert only["points"] == []
        assert only["box"]


def test_drawings_have_their_own_colours_and_blend(make_traced):
    pixels = np.full((60, 90, 3), 255, np.uint8)
    pixels[20:40, 40] = 0
    data = page_data(make_traced(pixels=pixels))
    assert (data["blend"], data["heat"]) == ("multiply", PAPER_STOPS)
    assert '<body class="drawing">' in page_html(make_traced(pixels=pixels))
    assert "<body>" in page_html(make_traced())


def test_page_is_written_whole_and_an_odd_name_does_not_stop_it(make_traced, tmp_path):
    path = write_page(make_traced(photo_name="bad\udcff.jpg"), tmp_path / "cat.html")
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert list(tmp_path.iterdir()) == [path]


def test_figure_shows_prediction_fixations_and_heat_map(make_traced):
    figure = draw_class(make_traced())
    texts = [text.text for text in figure.texts]
    assert texts[0] == "cat.jpg: tabby, tabby cat"
    assert {"tabby", "60\u00a0%", "fixations", "heat map"} <= set(texts)
    photo, points, _ = (np.asarray(picture, int) for picture in figure.pictures)
    changed = np.abs(points - 0.88 * photo).sum(axis=-1) > 150
    assert np.argwhere(changed).mean(axis=0) / changed.shape == pytest.approx((0.3, 1 / 6), abs=0.06)


def test_figure_without_points_shows_the_heat_map_alone(make_traced):
    grey = np.full((60, 90, 3), 120, np.uint8)
    figure = draw_class(make_traced(methods=["grad-cam"], pixels=grey), target=1)
    assert len(figure.pictures) == 2
    red, _, blue = np.moveaxis(np.asarray(figure.pictures[1], int), -1, 0)
    at = np.array(np.unravel_index((red - blue).argmax(), red.shape)) / red.shape
    np.testing.assert_allclose(at, (0.7, 0.5), atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (20, 2000), (2000, 20), (300, 400)])
def test_figures_of_photos_of_any_shape(make_traced, tmp_path, shape):
    traced = make_traced(["$x^{", "犬"], shape=shape)
    with Image.open(write_figure(traced, tmp_path / "any.png")) as image:
        assert image.width * image.height < 5e6
    assert "</html>" in page_html(traced)


def test_index_lists_photos_with_their_classes(make_traced, tmp_path):
    entries = [index_entry(make_traced(), "cat.html"), index_entry(make_traced(["<b>"]), "b.html")]
    page = write_index(entries, tmp_path / "index.html", "Traced photos", "classes").read_text(
        encoding="utf-8"
    )
    assert re.findall(r'<a href="([^"]+)"', page) == ["cat.html", "b.html"]
    assert 'data-caption="tabby, tabby cat, lynx, hay"' in page
    assert "&lt;b&gt;" in page
    assert 'placeholder="Words in the classes"' in page
