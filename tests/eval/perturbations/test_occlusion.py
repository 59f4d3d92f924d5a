"""Boxes kept, pixels taken away and brought back: by hand, by literal twins, and on coloured squares."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from twins.soft_colours import soft

from gazeback.eval.command import evaluate
from gazeback.eval.perturbations import occlusion as confidence
from gazeback.eval.tasks import confidence as confidence_task
from gazeback.eval.tasks.confidence import THRESHOLDS, ConfidenceTask, chosen_place, drop


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def task(squares_folder, colours, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: soft(colours))
    return ConfidenceTask(squares_folder, "colours", None, "all", None, "evidence,fixations")


def measured(task):
    names, methods = list(task.names()), list(task.methods)
    found = task.measure(task.subject(), names, methods)
    return {method: {name: found[name][method] for name in names} for method in methods}


def test_pixels_come_in_the_order_of_the_map_at_any_scale(rng):
    heat = rng.permutation(20 * 30).reshape(20, 30).astype(float)
    literal = sorted(range(600), key=lambda pixel: -heat.ravel()[pixel])
    for scale in (1, 1e-6, 1e6):
        assert confidence.order(scale * heat).tolist() == literal


def test_ties_go_to_what_lies_next_to_the_relevant():
    heat = np.zeros((21, 21))
    heat[10, 10] = 1
    rows, columns = np.divmod(confidence.order(heat), 21)
    distance = np.hypot(rows - 10, columns - 10)
    assert distance[0] == 0
    assert distance[1:5].tolist() == [1, 1, 1, 1]
    assert distance[:60].max() < distance[-60:].min()


def test_an_even_map_has_a_scattered_order_of_blocks():
    first = confidence.order(np.full((28, 28), 0.3))
    assert first.tolist() == confidence.order(np.zeros((28, 28))).tolist()
    rows, columns = np.divmod(first[: 28 * 14], 28)
    assert abs(rows.mean() - 13.5) < 2
    assert abs(columns.mean() - 13.5) < 2
    blocks = rows // 2 * 14 + columns // 2
    assert all(len(set(blocks[i : i + 4])) == 1 for i in range(0, len(blocks), 4))


def test_steps_literally(rng):
    start, end, heat = rng.random((6, 5, 3)), rng.random((6, 5, 3)), rng.random((6, 5))
    found = confidence.step_by_step(start, end, heat, steps=4)
    order = sorted((-heat[r, c], r, c) for r in range(6) for c in range(5))
    for step, picture in enumerate(found):
        expected = start.copy()
        for _, row, column in order[: int(np.rint(30 * step / 4))]:
            expected[row, column] = end[row, column]
        np.testing.assert_allclose(picture, expected, rtol=1e-6)
    np.testing.assert_allclose(found[0], start, rtol=1e-6)
    np.testing.assert_allclose(found[-1], end, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "area"), [([0.5, 0.5], 0.5), ([1, 0], 0.5), ([1, 1, 0], 0.75), ([0, 0, 0, 1, 1], 3 / 8)]
)
def test_area_under(values, area):
    assert confidence.area_under(np.array(values, float)) == pytest.approx(area)
    assert area == pytest.approx(np.trapezoid(values, np.linspace(0, 1, len(values))))


def test_the_blur_has_sigma_5_and_11_taps_at_224():
    photo = np.zeros((224, 224, 1))
    photo[100, 120] = 1
    taps = np.exp(-(np.arange(-5, 6) ** 2) / 50)
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    blurred = confidence.blurred_photo(photo)[..., 0]
    np.testing.assert_allclose(blurred[95:106, 115:126], kernel, rtol=1e-4)
    assert np.count_nonzero(blurred) == 121


def test_a_kept_box(rng):
    photo = rng.random((10, 20, 3)).astype(np.float32)
    kept, area = confidence.box_kept(photo, [4, 2, 5, 4])
    assert area == 20 / 200
    np.testing.assert_array_equal(kept[2:6, 4:9], photo[2:6, 4:9])
    np.testing.assert_allclose(kept[0, 0], photo.reshape(-1, 3).mean(axis=0), rtol=1e-5)
    nothing, none = confidence.box_kept(photo, [0, 0, 0, 0])
    assert none == 0
    assert np.ptp(nothing, axis=(0, 1)).max() == 0


def test_boxes_are_occluded_literally(rng):
    photo, heat = rng.random((56, 84, 1)).astype(np.float32), rng.random((56, 84))
    found = confidence.box_occluded(photo, heat)
    means = {(r, c): heat[2 * r : 2 * r + 2, 3 * c : 3 * c + 3].mean() for r in range(28) for c in range(28)}
    expected = photo.copy()
    for row, column in sorted(means, key=lambda box: -means[box])[: round(0.3 * 784)]:
        expected[2 * row : 2 * row + 2, 3 * column : 3 * column + 3] = photo.mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_is_done_turns_with_the_photo(rng):
    photo, heat = rng.random((56, 56, 3)).astype(np.float32), rng.random((56, 56))
    turned, flipped = photo[:, ::-1], heat[:, ::-1]
    one, other = confidence.box_occluded(photo, heat), confidence.box_occluded(turned, flipped)
    np.testing.assert_allclose(one[:, ::-1], other, rtol=1e-5)
    one = confidence.step_by_step(photo, 0 * photo, heat)
    np.testing.assert_allclose(one[:, :, ::-1], confidence.step_by_step(turned, 0 * photo, flipped))


def test_random_boxes_depend_on_the_name_alone(rng):
    photo = rng.random((56, 56, 3)).astype(np.float32)
    one, same, other = (confidence.random_occluded(photo, name) for name in ("a.jpg", "a.jpg", "b.jpg"))
    np.testing.assert_array_equal(one, same)
    changed = [(photo != occluded).any(axis=-1) for occluded in (one, other)]
    assert (changed[0] != changed[1]).any()
    assert [mask.sum() for mask in changed] == [4 * round(0.3 * 784)] * 2


def test_the_threshold_keeps_about_the_wanted_area():
    assert chosen_place([[0.9, 0.5, 0.1], [0.7, 0.4, 0.1]]) == 1
    assert (drop(0.8, 0.2), drop(0.5, 1.0)) == (pytest.approx(0.75), -1)


def test_coloured_squares(task):
    records = measured(task)
    for record in records["evidence"].values():
        assert len(record["kept"]) == len(record["area"]) == len(THRESHOLDS)
        assert record["occluded"] > record["random"]
    assert json.loads(json.dumps(records)) == records
    worths = {m: np.mean([task.score(r) for r in of.values()]) for m, of in records.items()}
    assert worths["evidence"] > worths["center"]


def test_the_centre_keeps_a_box_in_the_middle(task):
    record = next(iter(measured(task)["center"].values()))
    assert record["area"] == pytest.approx([s**2 for s in confidence_task.CENTRE_SIDES], abs=0.08)


def test_tables(task):
    tables = task.tables(measured(task))
    boxes, pixels, occluded = tables
    assert [label for label, _ in boxes.rows] == ["evidence", "fixations", "center", "activation"]
    assert [label for label, _ in occluded.rows][-1] == "random"
    reported = sum(confidence_task.part_of(name) == "report" for name in task.names())
    assert boxes.rows[0][1][1].n == reported
    assert pixels.rows[0][1][0].n == len(task.names())
    assert boxes.rows[2][1][0].startswith("side ")


def test_the_command(squares_folder, colours, monkeypatch, tmp_path):
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: soft(colours))
    path = tmp_path / "confidence.json"
    arguments = [
        "confidence",
        "--data",
        squares_folder,
        "--methods",
        "evidence",
        "--limit",
        6,
        "--json",
        path,
    ]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(
        evaluate, list(map(str, arguments)), catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "average drop" in result.output
    written = json.loads(path.read_text())
    assert written["task"] == "confidence"
    assert written["images measured"] == 6
    assert [table["title"] for table in written["tables"]][1] == "Pixel by pixel"
    assert (tmp_path / "confidence.html").exists()


@pytest.mark.parametrize("name", ["confidence", "adversarial", "robustness", "sanity", "sketch"])
def test_help(name):
    result = CliRunner().invoke(evaluate, [name, "--help"])
    assert result.exit_code == 0
    for option in ("--data", "--model", "--weights", "--methods", "--part", "--limit", "--json"):
        assert option in result.output
