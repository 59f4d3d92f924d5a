"""What `--open` opens, and the last lines."""

import webbrowser
from pathlib import Path

import pytest

from gazeback.grounding.commands.ending import finish


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The addresses that a browser was asked for."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def test_ground_opens_the_first_page(run, stage, photo, opened) -> None:
    result = run("ground", photo, photo, "--open", "--out", "my out")
    assert opened == [Path("my out", "dog.html").resolve().as_uri()]
    assert "Opened in the browser." in result.stdout.splitlines()


def test_json_stays_json(run, stage, photo, opened) -> None:
    assert len(run("ground", photo, "--open", "--json").stdout.splitlines()) == 1
    assert len(opened) == 1


def test_nothing_is_opened_unasked_or_after_a_mistake(run, stage, photo, opened) -> None:
    run("ground", photo)
    assert run("ground", "none.jpg", "--open").exit_code == 2
    assert opened == []


def test_without_a_browser_the_page_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    finish(Path("out", "dog.html"), "this", as_json=False, open_it=True)
    said = capsys.readouterr()
    assert said.err == f"No browser was found; open {Path('out', 'dog.html')} yourself.\n"
    assert said.out.splitlines() == ["Open dog.html in a browser, or add --open.", "Next, try this."]
