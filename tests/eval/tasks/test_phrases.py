from collections import Counter

import numpy as np
import pytest

from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.subjects.captioner import CaptionerSubject, model_input
from gazeback.eval.tasks.phrases import PhraseScore, differences, measured, size_of, summarise, swap_scores


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
        assert dog == {"pointing": 1, "energy": 1, "swap_pointing": 1, "swap_energy": 1}
        assert grass == {"pointing": 1, "energy": 1, "swap_pointing": 1, "swap_energy": 1}
        assert boys == {"pointing": 0, "energy": 0}
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
