from collections import Counter

import numpy as np
import pytest

from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.data.selection import part_of, tuned_on
from gazeback.eval.subjects.captioner import CaptionerSubject, model_input
from gazeback.eval.tasks.phrases import (
    THRESHOLDS,
    PhraseScore,
    PhrasesTask,
    differences,
    measured,
    regions,
    size_of,
    summarise,
    swap_scores,
)


def score(types, **methods) -> PhraseScore:
    return PhraseScore(0, "a dog", "dog", types, 0.5, methods)


def evaluated(captioner, methods, folder, skipped=None):
    """The scores of all good photos, by name."""
    (folder / "dev" / "3_c.png").unlink()
    skipped = Counter() if skipped is None else skipped
    return {
        image.file_name: measured(captioner, methods, image, *model_input(image.path, 32), skipped)
        for image in PhraseData(folder, "dev")
    }


def one_corner(question):
    """The upper left quarter for the first phrase asked, the lower half for every other."""
    maps = np.zeros((len(question.positions), 32, 32), np.float32)
    maps[0, :16, :16] = 1
    maps[1:, 16:] = 1
    return maps


def test_swap_scores_by_hand():
    scores = np.array([[1.0, 0.2, 0.1], [0.4, 0.9, 0.3], [0.0, 0.0, 0.5]])  # map i on the boxes of phrase j
    np.testing.assert_allclose(swap_scores(scores), [1 - 0.2, 0.9 - 0.1, 0.5 - 0.2])


def test_swap_scores_equal_their_literal_twin():
    scores = np.random.default_rng(0).random((5, 5))
    expected = []
    for phrase in range(5):
        others = [scores[other, phrase] for other in range(5) if other != phrase]
        expected.append(scores[phrase, phrase] - sum(others) / len(others))
    np.testing.assert_allclose(swap_scores(scores), expected)


def test_a_map_that_ignores_the_word_scores_nothing_in_the_swap_test():
    np.testing.assert_allclose(swap_scores(np.tile([0.3, 0.9, 0.1], (3, 1))), 0, atol=1e-12)


def test_photos_phrases_and_scores(captioner, data_folder):
    skipped = Counter()
    methods = {"corner": one_corner, **CaptionerSubject(captioner).methods(["center"])}
    results = evaluated(captioner, methods, data_folder, skipped)
    assert sorted(results) == ["1_a.png", "2_b.png"]
    for scores in results.values():
        assert [(s.sentence, s.word, s.types) for s in scores] == [
            (0, "dog", ("animals",)),
            (0, "grass", ("scene",)),
            (1, "boys", ("people",)),
        ]
        dog, grass, boys = (s.scores["corner"] for s in scores)
        full = dict.fromkeys(("pointing", "energy", "swap_pointing", "swap_energy", "average_precision"), 1)
        assert dog == grass == full
        assert boys == {"pointing": 0, "energy": 0, "average_precision": pytest.approx(0.25)}
        assert [s.ious["corner"][0] for s in scores] == [1, 1, 0]
        assert [s.area for s in scores] == [0.25, 0.5, 0.25]
        assert scores[0].scores["center"]["energy"] == pytest.approx(0.25, abs=1e-3)
        assert scores[0].scores["center"]["swap_energy"] == 0
    assert skipped["phrase without a known word"] == 2
    assert skipped["phrase without a box"] == 2
    assert skipped["box outside the photo or too thin"] == 2


def test_every_phrase_of_a_sentence_is_one_question(captioner, data_folder):
    asked = []

    def method(question):
        asked.append((question.word_ids, question.positions))
        return one_corner(question)

    evaluated(captioner, {"spy": method}, data_folder)
    assert asked == [([3, 4, 5, 6, 10, 7], [2, 5]), ([8, 9, 2, 2], [1])] * 2


def test_real_methods_run_through(captioner, data_folder):
    names = ("center", "activation", "grad-cam", "layer-cam")  # the last one is registered
    methods = CaptionerSubject(captioner).methods(names)
    table = summarise(evaluated(captioner, methods, data_folder))
    assert {name: row["all"]["energy"]["n"] for name, row in table.items()} == dict.fromkeys(methods, 6)


def test_the_energy_of_a_map_does_not_depend_on_its_scale(captioner, data_folder):
    methods = {"corner": one_corner, "brighter": lambda question: 7 * one_corner(question)}
    for scores in evaluated(captioner, methods, data_folder).values():
        assert all(score.scores["corner"] == score.scores["brighter"] for score in scores)


def test_summary_by_hand():
    scores = {
        "1.jpg": [
            score(("people",), mine={"pointing": 1.0}),
            score(("people", "scene"), mine={"pointing": 0.0}),
        ],
        "2.jpg": [score(("scene",), mine={"pointing": 1.0})],
    }
    row = summarise(scores)["mine"]
    assert row["all"]["pointing"]["mean"] == pytest.approx(2 / 3)
    assert (row["all"]["pointing"]["n"], row["all"]["pointing"]["groups"]) == (3, 2)
    assert row["by_type"]["people"]["pointing"]["mean"] == 0.5
    assert row["by_type"]["scene"]["pointing"]["n"] == 2
    assert set(row["by_type"]) == {"people", "scene"}
    assert row["by_size"]["30 % and more"] == row["all"]


def test_sizes():
    assert [size_of(area) for area in (0.0, 0.0199, 0.02, 0.0999, 0.1, 0.2999, 0.3, 1.0)] == [
        *["under 2 %"] * 2,
        *["2 to 10 %"] * 2,
        *["10 to 30 %"] * 2,
        *["30 % and more"] * 2,
    ]


def test_differences_are_taken_phrase_by_phrase():
    scores = {
        f"{i}.jpg": [score((), mine={"energy": value + 0.25}, other={"energy": value})]
        for i, value in enumerate((0.1, 0.7, 0.4))
    }
    paired = differences(scores, "mine")
    assert set(paired) == {"other"}
    assert paired["other"]["energy"]["mean"] == pytest.approx(0.25)
    assert paired["other"]["energy"]["standard_error"] == pytest.approx(0, abs=1e-9)


def test_nothing_measured_is_an_empty_table():
    assert summarise({}) == {}
    assert differences({}, "mine") == {}


def with_ious(best: int) -> PhraseScore:
    """A phrase whose IoU is .8 at threshold number `best`, elsewhere .2."""
    ious = [0.2] * len(THRESHOLDS)
    ious[best] = 0.8
    return PhraseScore(0, "a dog", "dog", (), 0.5, {"mine": {"energy": 1.0}}, {"mine": ious})


def test_the_threshold_is_chosen_on_the_tune_part_and_the_iou_is_of_the_other_photos():
    names = [f"{number}.jpg" for number in range(30)]
    parts = {name: part_of(name) for name in names}
    scores = {name: [with_ious(3 if part == "tune" else 7)] * 2 for name, part in parts.items()}
    reported = sum(part == "report" for part in parts.values())
    scores["none.jpg"] = []
    found = regions(scores)["mine"]
    assert found["threshold"] == THRESHOLDS[3]
    assert (found["iou"].n, found["iou"].groups) == (2 * reported, reported)
    assert found["iou"].mean == pytest.approx(0.2)
    for part in ("tune", "report"):
        assert regions({name: of for name, of in scores.items() if parts.get(name) == part}) == {}


def test_tables_and_details_have_the_cover(captioner, data_folder):
    task = PhrasesTask(data_folder, chosen="grad-cam,center")
    assert task.cache_key()["thresholds"] == list(THRESHOLDS)  # other records are measured again
    names, methods = ("1_a.png", "2_b.png"), task.methods
    answers = task.measure(CaptionerSubject(captioner), names, methods)
    records = {method: {name: answers[name][method] for name in names} for method in methods}
    with tuned_on(["1_a.png"]):
        first, paired, *_ = task.tables(records)
        assert task.details(records)["regions"]["center"]["iou"]["n"] == 3
    assert first.columns[4:] == ["average precision", "IoU", "threshold"]
    assert "average precision" in paired.columns
    cells = dict(first.rows)["center"]
    assert (cells[5].n, cells[5].groups) == (3, 1)
    assert cells[6] in THRESHOLDS
    assert any("IoU of 3 phrases of 1 photos" in note for note in first.notes)
    with tuned_on([]):
        first, *_ = task.tables(records)
    assert dict(first.rows)["center"][5:] == [None, None]
    assert any(note.startswith("no IoU: it needs phrases of the tune part") for note in first.notes)
