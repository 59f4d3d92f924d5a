"""The documentation builds as a site without a warning, its links lead somewhere, and nothing is foreign."""

import html.parser
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href"), ("source", "src")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install '.[docs]')")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


class Page(html.parser.HTMLParser):
    """The addresses and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            if value and (tag, name) in LOADED:
                self.loaded.append(value)
            if value and (tag, name) == ("a", "href"):
                self.links.append(value)


def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 20
    for path, page in pages.items():
        assert [url for url in page.loaded if "//" in url] == [], path.name
        for link in page.links:
            address, anchor = urldefrag(link)
            if "//" in address or address.startswith("mailto:"):
                continue
            target = (path.parent / unquote(address)).resolve() if address else path
            assert target.exists(), f"{path.name}: {link}"
            if target in pages:
                assert unquote(anchor) in pages[target].anchors | {"__toc"}, f"{path.name}: {link}"


def test_the_reference_has_the_public_names_and_no_other(site: Path) -> None:
    anchors = Page(site / "reference" / "grounding.html").anchors
    from gazeback import grounding

    listed = {one.removeprefix("gazeback.grounding.") for one in anchors if one.count(".") == 2}
    assert listed == set(grounding.__all__)
    assert ":func:" not in (site / "reference" / "grounding.html").read_text(encoding="utf-8")


@pytest.mark.browser
def test_the_search_works_from_files_and_asks_for_nothing_else(site: Path, browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(180_000)
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.fill(".md-search__input", "wrap_captioner")
    page.locator(".md-search-result__item").first.wait_for()
    assert "wrap" in page.locator(".md-search-result__list").inner_text()
    assert [url for url in foreign if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
    page.close()
