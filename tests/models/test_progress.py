"""Where there is no terminal, long work says how far it is, in lines."""

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
