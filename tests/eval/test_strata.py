"""Kinds of cases of which there are few are marked."""

from gazeback.eval.harness.means import FEW, strata_table


def test_kinds_with_few_cases_are_marked():
    table = strata_table(
        "T", ("n", "a"), [("people", [FEW, 0.5]), ("clothing", [FEW - 1, 0.0])], "type", ["x"]
    )
    assert [label for label, _ in table.rows] == ["people", "clothing *"]
    assert list(table.notes) == ["x", "* fewer than 30, too few to compare: clothing"]
    assert strata_table("T", ("n",), [("people", [FEW])], "type").notes == []
