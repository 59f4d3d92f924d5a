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
    with_contrast, plain = (trace(model, images, 1, contrast=given)[0].net for given in (contrast, None))
    kernel, bias = model.get_layer("answer").get_weights()
    model.get_layer("answer").set_weights([kernel + 5 * rng.normal(size=(len(kernel), 1)), bias])
    np.testing.assert_allclose(
        trace(model, images, 1, contrast=contrast)[0].net, with_contrast, rtol=1e-3, atol=1e-3
    )
    assert not np.allclose(trace(model, images, 1)[0].net, plain, rtol=0.1)


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


def test_only_the_last_axis_holds_classes(rng):
    image = keras.Input((9, 9, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    x = layers.Reshape((4, 2))(layers.Dense(8)(x))
    model = nets.randomise(keras.Model(image, layers.Softmax(axis=1)(x)), rng)
    with pytest.raises(
        TraceError, match=r"compares classes along the last axis of .* softmax is along axis 1"
    ):
        trace(model, nets.images(rng, 1, model), (0, 1), contrast="strongest")


def test_classes_of_a_sigmoid_do_not_exclude_each_other(rng):
    image = keras.Input((9, 9, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    model = nets.randomise(keras.Model(image, layers.Dense(3, activation="sigmoid")(x)), rng)
    images = nets.images(rng, 1, model)
    with pytest.raises(TraceError, match='contrast "likely" takes the classes to exclude each other'):
        trace(model, images, 0, contrast="likely")
    assert len(trace(model, images, 0, contrast="strongest")[0].net) > 0


def test_values_that_are_not_finite_have_no_contrast(model, rng):
    images = nets.images(rng, 1, model)
    model.get_layer("answer").set_weights([w + np.inf for w in model.get_layer("answer").get_weights()])
    tracer = Tracer(model)
    arrays, neurons = check_inputs(tracer.graph, images), np.zeros((1, 1, 1), int)
    with pytest.raises(TraceError, match="holds NaN or infinite values"):
        tracer.explain(arrays, tracer.target(), lambda _: neurons, Options(contrast="likely"))


def test_channels_in_front(rng):
    """The same model in both layouts: classes on a map of one place."""

    def build(data_format):
        image = keras.Input((3, 10, 10) if data_format == "channels_first" else (10, 10, 3))
        x = layers.Conv2D(4, 3, activation="relu", data_format=data_format)(image)
        x = layers.GlobalAveragePooling2D(keepdims=True, data_format=data_format)(x)
        return keras.Model(image, layers.Conv2D(5, 1, data_format=data_format)(x))

    last, first = build("channels_last"), build("channels_first")
    nets.randomise(last, rng)
    first.set_weights(last.get_weights())
    images = rng.normal(size=(1, 10, 10, 3)).astype(np.float32)
    found = [
        trace(model, x, (0, 0, 2), contrast="strongest")[0].net
        for model, x in ((last, images), (first, np.moveaxis(images, -1, 1)))
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_words_of_steps_are_compared_with_the_words_of_their_step(rng):
    image, words = keras.Input((9, 9, 3), name="image"), keras.Input((3,), dtype="int32", name="words")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    steps = layers.Concatenate(axis=1)([layers.Reshape((1, 4))(x), layers.Embedding(6, 4)(words)])
    out = layers.Dense(6)(layers.LSTM(5, return_sequences=True)(steps))
    model = nets.randomise(keras.Model([image, words], out), rng)
    inputs = [rng.normal(size=(1, 9, 9, 3)).astype(np.float32), np.array([[1, 2, 3]])]
    logits = np.asarray(model(inputs))[0, 2]
    tracer = Tracer(model)
    arrays, neurons = check_inputs(tracer.graph, inputs), np.array([[[2, 4]]])
    found = tracer.explain(arrays, tracer.target(), lambda _: neurons, Options(contrast="likely"))
    assert found.decomposition is not None
    sums = total(found.decomposition, found.recording, np.zeros(1, int))
    np.testing.assert_allclose(sums, [logits @ literal(logits, 4, "likely")], atol=1e-4)
