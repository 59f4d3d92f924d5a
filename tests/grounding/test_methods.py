"""Methods by name: the core's, those that packages register, and what a registered one may return."""

import numpy as np
import pytest

from gazeback.cnn_trace import METHODS
from gazeback.grounding.methods import (
    check_methods,
    explained,
    explained_words,
    is_traced,
    known_methods,
    load_method,
)
from gazeback.models.errors import UserError

PIXELS = np.zeros((4, 6, 3), np.float32)


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


IDS = [3, 5, 4]


@pytest.fixture(scope="module")
def larger(make_captioner):
    """With room for the window of occlusion."""
    return make_captioner(32)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).uniform(0, 255, (32, 32, 3)).astype(np.float32)


def test_a_method_is_asked_for_all_words_of_a_caption_at_once(register, captioner):
    asked = []

    def explain(model, images, target):
        asked.append((model, [array.shape for array in images], images[1].tolist(), target.tolist()))
        return np.stack([np.full((16, 16), word) for _, word in target])

    register(alpha=explain)
    found = explained_words("alpha", captioner, np.ones((16, 16, 3), np.float32), IDS)
    words = [[0, 3, 5]] * 3
    assert asked == [(captioner.model, [(3, 16, 16, 3), (3, 3)], words, [[1, 3], [2, 5], [3, 4]])]
    assert [(heat.shape, heat.min(), heat.max()) for heat in found] == [((16, 16), 1, 1)] * 3


def test_a_method_for_one_target_is_asked_word_by_word(register, captioner):
    asked = []

    def explain(model, images, target):
        if not isinstance(target, tuple):
            raise TypeError("one target, please")
        asked.append(([array.shape for array in images], target))
        return np.ones((1, 16, 16))

    register(alpha=explain)
    assert len(explained_words("alpha", captioner, np.ones((16, 16, 3), np.float32), IDS)) == 3
    assert asked == [([(1, 16, 16, 3), (1, 3)], target) for target in ((1, 3), (2, 5), (3, 4))]


def test_a_method_that_cannot_explain_words_is_named(register, captioner):
    pixels = np.ones((16, 16, 3), np.float32)
    register(alpha=lambda model, images, target: images.shape and None)
    with pytest.raises(AttributeError):
        explained_words("alpha", captioner, pixels, IDS)  # a bug of the method's own, with its traceback

    def refuse(model, images, target):
        raise UserError("one input only")

    register(alpha=refuse)
    message = "method 'alpha' cannot explain the words of a caption: one input only"
    with pytest.raises(UserError, match=message):
        explained_words("alpha", captioner, pixels, IDS)
    register(alpha=lambda model, images, target: np.zeros((len(target), 4, 4)))
    with pytest.raises(UserError, match=r"method 'alpha': expected maps \[3, 16, 16\], got \[3, 4, 4\]"):
        explained_words("alpha", captioner, pixels, IDS)


@pytest.mark.parametrize("name", ["saliency", "grad-cam", "guided-grad-cam", "occlusion"])
def test_the_installed_methods_see_each_word_as_they_do_alone(larger, image, name):
    together = explained_words(name, larger, image, IDS)
    words = np.array([[larger.vocabulary.start, *IDS[:-1]]], np.int32)
    for j, heat in enumerate(together):
        alone = load_method(name)(larger.model, [image[None], words], (j + 1, IDS[j]))[0]
        alone = np.maximum(alone, 0)
        np.testing.assert_allclose(heat, alone / max(alone.max(), 1e-30), atol=2e-3)
    assert any((heat > 0).any() for heat in together)


@pytest.mark.parametrize(
    "name",
    ["gradient-input", "smoothgrad", "integrated-gradients", "deconvnet", "guided-backprop", "activation",
     "grad-cam++", "layer-cam"],
)  # fmt: skip
def test_other_installed_methods_explain_words_too(larger, image, name):
    assert [heat.shape for heat in explained_words(name, larger, image, IDS)] == [(32, 32)] * 3


@pytest.mark.parametrize("name", ["cam", "activation-map", "excitation-backprop"])
def test_installed_methods_for_classifiers_alone_say_so(captioner, image, name):
    with pytest.raises(UserError, match=f"method '{name}' cannot explain the words of a caption: "):
        explained_words(name, captioner, image[:16, :16], IDS)


def test_the_window_goes_with_the_image(captioner, image):
    maps = explained_words("occlusion", captioner, image[:16, :16], IDS)
    assert [heat.shape for heat in maps] == [(16, 16)] * len(IDS)
