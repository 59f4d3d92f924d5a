"""The contrast of a question: what speaks for a class rather than for the others."""

import keras
import numpy as np
import pytest
from keras import layers
from twins import nets
from twins.exact import total

from gazeback.cnn_trace import TraceError, trace
from gazeback.cnn_trace.recording import check_inputs
from gazeback.cnn_trace.targets import CONTRASTS, contrasted
from gazeback.cnn_trace.tracer import Options, Tracer

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def model(rng):
    image = keras.Input((13, 12, 3))
    x = layers.Conv2D(5, 3, activation="relu", name="last")(image)
    x = layers.Dense(6, activation="relu")(layers.GlobalAveragePooling2D()(x))
    return nets.randomise(keras.Model(image, layers.Dense(4, activation="softmax", name="answer")(x)), rng)


def literal(logits, asked, contrast):
    """``{class: coefficient}`` of one answer."""
    others = {j: value for j, value in enumerate(logits) if j != asked}
    if contrast == "mean":
        share = {j: 1 / len(others) for j in others}
    elif contrast == "likely":
        probability = {j: np.exp(value) / sum(np.exp(list(logits))) for j, value in others.items()}
        share = {j: p / sum(probability.values()) for j, p in probability.items()}
    else:
        share = {j: float(value == max(others.values())) for j, value in others.items()}
    return [1.0 if j == asked else -share[j] for j in range(len(logits))]


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_coefficients_equal_the_twin(contrast, rng):
    logits = rng.normal(size=(5, 3, 7)) * 4
    start = np.zeros(logits.shape, np.float32)
    asked = [(int(rng.integers(3)), int(rng.integers(7))) for _ in logits]
    for question, place in zip(start, asked, strict=True):
        question[place] = 1
    found = contrasted(start, logits, contrast)
    for question, values, (step, word) in zip(found, logits, asked, strict=True):
        np.testing.assert_allclose(question[step], literal(values[step], word, contrast), atol=1e-6)
        assert not np.delete(question, step, axis=0).any()


def test_likely_is_the_derivative_of_the_log_odds(rng):
    logits = rng.normal(size=6) * 3
    start = np.eye(6, dtype=np.float32)[2]

    def log_odds(values):
        p = np.exp(values[2]) / np.exp(values).sum()
        return np.log(p / (1 - p))

    step = 1e-5
    slope = [(log_odds(logits + step * e) - log_odds(logits - step * e)) / (2 * step) for e in np.eye(6)]
    np.testing.assert_allclose(contrasted(start, logits, "likely"), slope, atol=1e-6)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_contributions_sum_to_the_contrast(model, contrast, rng):
    images = nets.images(rng, 2, model)
    tracer = Tracer(model)
    asked = np.array([[[0], [3]], [[1], [2]]])
    target = tracer.target()
    found = tracer.explain(
        check_inputs(tracer.graph, images), target, lambda _: asked, Options(contrast=contrast)
    )
    assert found.decomposition is not None
    sums = total(found.decomposition, found.recording, np.array([0, 0, 1, 1]))
    logits = found.recording[target]
    expected = [
        logits[i] @ literal(logits[i], int(c), contrast)
        for i, classes in enumerate(asked[..., 0])
        for c in classes
    ]
    np.testing.assert_allclose(sums, expected, atol=1e-4)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_what_is_added_to_every_class_explains_none(model, contrast, rng):
    """A softmax does not see it; without a contrast the explanation does."""
    images = nets.images(rng, 1, model)
    with_contrast, plain = (
        trace(model, images, 1, contrast=given, share=1.0)[0].net for given in (contrast, None)
    )
    kernel, bias = model.get_layer("answer").get_weights()
    model.get_layer("answer").set_weights([kernel + 5 * rng.normal(size=(len(kernel), 1)), bias])
    np.testing.assert_allclose(
        trace(model, images, 1, contrast=contrast, share=1.0)[0].net, with_contrast, rtol=1e-3, atol=1e-3
    )
    assert not np.allclose(trace(model, images, 1, share=1.0)[0].net, plain, rtol=0.1)


def test_of_two_classes_all_contrasts_are_one(rng):
    image = keras.Input((9, 9, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    model = nets.randomise(keras.Model(image, layers.Dense(2)(x)), rng)
    images = nets.images(rng, 1, model)
    nets_of = [trace(model, images, 0, contrast=contrast)[0].net for contrast in CONTRASTS]
    for net in nets_of[1:]:
        np.testing.assert_allclose(net, nets_of[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": "median"}, r"contrast must be None or one of mean, likely, strongest, got 'median'"),
        (
            {"contrast": "mean", "method": "fixations"},
            r'contrast is an option of method "evidence", not of \'fixations\'',
        ),
        (
            {"contrast": "mean", "layer": "last"},
            r"contrast compares the classes of an answer; 'last.*' is a map",
        ),
    ],
)
def test_errors(model, options, message, rng):
    with pytest.raises(TraceError, match=message):
        trace(model, nets.images(rng, 1, model), 1, **options)


def test_one_answer_has_nothing_to_be_compared_with(rng):
    image = keras.Input((9, 9, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    model = nets.randomise(keras.Model(image, layers.Dense(1, activation="sigmoid")(x)), rng)
    with pytest.raises(TraceError, match=r"contrast compares an answer with the others; .* has only one"):
        trace(model, nets.images(rng, 1, model), 0, contrast="mean")
