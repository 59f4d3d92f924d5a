"""Where there is no terminal, long work says how far it is, in lines."""

import re
from types import SimpleNamespace

import pytest
from rich.progress import MofNCompleteColumn

from gazeback.models import progress


def test_lines_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with progress.Bar("{task.description}") as bar:
        task = bar.add_task("localization", total=3)
        for _ in range(3):
            bar.advance(task)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"localization: {n} of 3" for n in (1, 2, 3)]


def test_short_work_and_hidden_bars_are_silent(monkeypatch, capsys):
    with progress.Bar("{task.description}") as bar:
        bar.advance(bar.add_task("short", total=3))
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with progress.Bar("{task.description}", shown=False) as bar:
        bar.advance(bar.add_task("hidden", total=3))
    assert capsys.readouterr().err == ""


def test_a_notebook_gets_a_bar_that_is_drawn_in_one_place(monkeypatch, capsys):
    display = pytest.importorskip("IPython.display", reason="IPython is not installed")
    drawn = []

    def show(what, display_id):
        drawn.append(what)
        return SimpleNamespace(update=drawn.append)

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(progress, "REDRAWN", 0.0)
    monkeypatch.setattr(display, "display", show)
    with progress.Bar("{task.description}", MofNCompleteColumn()) as bar:
        task = bar.add_task("training", total=2)
        bar.advance(task)
        bar.advance(task)
    html = [one._repr_mimebundle_([], [])["text/html"] for one in drawn]
    assert [re.findall("training|[0-9]/2", one) for one in html] == [["training", "1/2"], ["training", "2/2"]]
    assert capsys.readouterr().err == ""
