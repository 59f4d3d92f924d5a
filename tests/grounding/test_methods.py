"""Methods by name: the core's, those that packages register, and what a registered one may return."""

from types import SimpleNamespace

import numpy as np
import pytest

from gazeback.cnn_trace import METHODS
from gazeback.grounding import methods
from gazeback.grounding.methods import check_methods, explained, is_traced, known_methods
from gazeback.models.errors import UserError

PIXELS = np.zeros((4, 6, 3), np.float32)


@pytest.fixture
def register(monkeypatch):
    """A function that registers methods, name -> callable (or an error to raise when it is loaded)."""

    def register(**explain):
        def entry(name):
            def load():
                if isinstance(explain[name], Exception):
                    raise explain[name]
                return explain[name]

            return SimpleNamespace(name=name, load=load)

        monkeypatch.setattr(methods, "entry_points", lambda group: [entry(name) for name in explain])

    return register


def test_the_cores_methods_come_first_and_stay_the_cores(register):
    register(zeta=None, alpha=None, evidence=None)
    assert known_methods() == (*METHODS, "alpha", "zeta")
    assert is_traced("evidence")
    assert not is_traced("alpha")


def test_unknown_methods_are_told_with_the_known_ones(register):
    register(alpha=None)
    known = ", ".join((*METHODS, "alpha"))
    with pytest.raises(UserError, match=f"expected one or more of {known}, got 'magic', 'more'"):
        check_methods(["evidence", "magic", "more"])
    with pytest.raises(UserError, match="got none"):
        check_methods([])
    with pytest.raises(UserError, match="alpha was given twice"):
        check_methods(["alpha", "evidence", "alpha"])
    check_methods(["alpha", "evidence"])


def test_a_registered_method_gets_one_image_and_one_class_at_a_time(register):
    asked = []

    def explain(model, images, target):
        asked.append((model, images.shape, target))
        return np.full((1, 4, 6), target, np.float32)

    register(alpha=explain)
    found = explained("alpha", "model", PIXELS, [3, 5])
    assert asked == [("model", (1, 4, 6, 3), 3), ("model", (1, 4, 6, 3), 5)]
    assert [heat.shape for heat in found] == [(4, 6)] * 2


def test_maps_are_scaled_and_what_is_below_zero_or_no_number_counts_nothing(register):
    register(alpha=lambda model, images, target: np.array([[[-3, 0, 2], [np.nan, np.inf, 4]]]))
    (heat,) = explained("alpha", None, np.zeros((2, 3, 1), np.float32), [0])
    np.testing.assert_array_equal(heat, [[0, 0, 0.5], [0, 0, 1]])
    register(alpha=lambda model, images, target: -np.ones((1, 4, 6)))
    assert not explained("alpha", None, PIXELS, [0])[0].any()


def test_maps_of_another_shape_are_refused(register):
    register(alpha=lambda model, images, target: np.zeros((4, 6)))
    with pytest.raises(UserError, match=r"method 'alpha': expected a map \[1, 4, 6\], got \[4, 6\]"):
        explained("alpha", None, PIXELS, [0])


def test_a_method_that_cannot_be_loaded_is_named(register):
    register(alpha=ImportError("No module named 'torch'"))
    with pytest.raises(UserError, match=r"method 'alpha' cannot be loaded \(No module named 'torch'\)"):
        explained("alpha", None, PIXELS, [0])
