import pytest

from gazeback.eval.speed.captioner import RATIOS, summarise, times


def test_tasks_take_turns_and_the_first_round_does_not_count():
    calls: list[str] = []
    tasks = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    seconds = times(tasks, rounds=3, before=lambda: calls.append("-"))
    assert calls == ["-", "a", "-", "b"] * 4
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert all(value >= 0 for values in seconds.values() for value in values)


def test_ratios_pair_the_times_of_one_round():
    names = {name for pair in RATIOS.values() for name in pair}
    seconds = {name: [1.0, 10.0, 100.0] for name in names} | {"ground": [1.5, 20.0, 250.0]}
    summary = summarise([{"file_name": "1.jpg", "seconds": seconds}])
    assert summary["ratios"]["grounding / captioning"] == {
        "n": 3,
        "median": pytest.approx(2.0),
        "quartile_1": pytest.approx(1.75),
        "quartile_3": pytest.approx(2.25),
    }
    assert summary["milliseconds"]["caption"]["median"] == pytest.approx(10_000)
    assert set(summary["ratios"]) == set(RATIOS)
