"""What is measured on maps of scenes' words."""

import numpy as np
import pytest

from gazeback.eval.data.selection import part_of
from gazeback.eval.scenes import protocol
from gazeback.eval.scenes.captions import VISUAL_KINDS, fixed
from gazeback.eval.scenes.scenes import SIDE, scene
from gazeback.eval.subjects.captioner import CaptionerSubject

METHODS = ("evidence", "grad-cam", "center")


def test_maps_that_are_the_masks_get_full_marks_and_swapped_ones_none():
    s = scene(1, 2)
    caption = fixed(s)[0]
    positions = [p for p, word in enumerate(caption) if word.kind in protocol.NAMED]
    masks = np.stack([caption[p].mask(s) for p in positions]).astype(np.float32)
    for score in protocol.scored(s, caption, positions, masks):
        assert score["pointing"] == score["energy"] == pytest.approx(1)
        assert score["ious"] == [1.0] * len(protocol.THRESHOLDS)
        assert score["swap_pointing"] == score["swap_energy"] == pytest.approx(1)
    order = [2, 3, 0, 1]  # colour, shape, colour, shape
    for score in protocol.scored(s, caption, positions, masks[order]):
        assert score["pointing"] == score["energy"] == 0
        assert score["swap_energy"] == pytest.approx(-1)


def test_a_map_that_knows_no_word_has_no_swap():
    s = scene(1, 2)
    caption = fixed(s)[0]
    positions = [p for p, word in enumerate(caption) if word.things]
    same = np.repeat(np.random.default_rng(0).random((1, SIDE, SIDE)), len(positions), axis=0)
    for score in protocol.scored(s, caption, positions, same):
        assert score.get("swap_pointing", 0) == score.get("swap_energy", 0) == pytest.approx(0)
    assert all(
        "swap_energy" in score
        for score in protocol.scored(s, caption, positions, same)
        if score["kind"] in protocol.NAMED
    )


def test_one_record_for_each_method(captioner):
    methods = CaptionerSubject(captioner).methods(METHODS)
    s = scene(1, 3)
    records = protocol.measure(captioner, methods, s)
    assert tuple(records) == METHODS
    words = [word for caption in fixed(s) for word in caption]
    for record in records.values():
        assert [w["text"] for w in record["words"]] == [w.text for w in words if w.kind in VISUAL_KINDS]
        assert [kind for kind, _ in record["visual"]] == [word.kind for word in words]
    areas = [word.mask(s).mean() for word in words if word.things]
    np.testing.assert_allclose([w["energy"] for w in records["center"]["words"]], areas, atol=1e-4)


def made(name: str, energy: float, best: int) -> dict:
    """A record of one colour, whose IoU is largest at threshold number `best`."""
    ious = [0.2] * len(protocol.THRESHOLDS)
    ious[best] = 0.8
    word = {"text": "red", "kind": "colour", "pointing": 1.0, "energy": energy, "ious": ious}
    return {"words": [word], "visual": [["colour", 1.0], ["function", -0.5]]}


def test_thresholds_are_chosen_on_the_tune_part_and_the_rest_is_reported():
    names = [f"scene-1-{index:05d}" for index in range(40)]
    parts = {name: part_of(name) for name in names}
    assert set(parts.values()) == {"tune", "report"}
    records = {name: made(name, 0.25, 3 if parts[name] == "tune" else 9) for name in names}
    (row,) = protocol.summarise({"evidence": records}).values()
    reported = sum(part == "report" for part in parts.values())
    assert row["threshold"] == protocol.THRESHOLDS[3]
    assert row["named"]["iou"].mean == pytest.approx(0.2)
    assert row["named"]["energy"].mean == pytest.approx(0.25)
    assert row["colour"]["energy"].n == row["colour"]["energy"].groups == reported
    assert "shape" not in row
    visual = protocol.visual_by_kind(records)
    assert visual["colour"]["visual_share"].mean == pytest.approx(1 - np.exp(-1))
    assert visual["colour"]["language_share"].mean == pytest.approx(np.exp(-1))
    assert visual["function"]["visual_share"].mean == 0
    assert visual["function"]["visual"].mean == pytest.approx(-0.5)
    assert visual["chance"]["visual"].mean is None
