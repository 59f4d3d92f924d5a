"""Parts that do not fit together: one clear line each, which says what was found and what to pass."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins.own_captioners import (
    CHANNELS,
    INDEX,
    LENGTH,
    SCORES,
    SIDE,
    cnn,
    merge_decoder,
    photo,
    pre_inject,
    scaled,
    seeded,
)  # fmt: skip

from gazeback.models import wrap_captioner
from gazeback.models.errors import ModelError


def parts(**changed):
    encoder, decoder = cnn(pooling=True), merge_decoder()
    seeded(encoder, decoder)
    return {"encoder": encoder, "decoder": decoder, "tokenizer": INDEX, "preprocess": scaled} | changed


def refused(message, **arguments):
    with pytest.raises(ModelError, match=message) as error:
        wrap_captioner(**arguments)
    assert "\n" not in str(error.value)


def model_of(*shapes, scores=SCORES):
    """A model with inputs of some shapes, flattened and joined."""
    inputs = [keras.Input(shape, name=f"input_{i}") for i, shape in enumerate(shapes)]
    x = layers.concatenate([layers.Flatten()(x) for x in inputs])
    return keras.Model(inputs, layers.Dense(scores)(x), name="theirs")


IMAGE, TEXT = (SIDE, SIDE, 3), (LENGTH,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"decoder": None}, "pass model=, or encoder= and decoder=, or encoder= and step=; got encoder"),
        ({"start": "<s>"}, "start: the tokenizer has no word '<s>'"),
        (
            {"tokenizer": ["a", "b"], "start": None, "end": None},
            "scores 10 words and the tokenizer numbers 2",
        ),
        ({"pad": None}, "pad: the captioner reads 6 words at a time, so fewer have to be padded"),
        ({"predicts": "sequence"}, "predicts='sequence', but the scores have the shape .*one next word"),
        ({"predicts": "all"}, "predicts: expected 'next', 'sequence' or None, got 'all'"),
        ({"padding": "left"}, "padding: expected 'pre', 'post' or None, got 'left'"),
        ({"length": 9}, "length: 'merge' reads 6 words, got length=9"),
        ({"image_size": 30}, "image_size: 'cnn' reads images of 24 x 24, got 30 x 30"),
        ({"encoder": cnn()}, r"encoder gives features \[n, 5, 5, 5\], decoder 'merge' reads \[n, 5\]"),
        ({"encoder": 3}, "encoder: expected a Keras model of the image, got a int"),
        ({"features_layer": "lats"}, "features_layer: no layer 'lats' .*close names: .*last"),
        ({"features_layer": "global_average_pooling2d"}, "features_layer: "),
        ({"preprocess": "vgg17"}, "preprocess: keras.applications has no network 'vgg17'"),
        ({"preprocess": 255}, "preprocess: expected a function of images, .*got a int"),
        ({"preprocess": lambda x: x[:, :9]}, r"preprocess: does not turn float32 images \[n, 24, 24, 3\]"),
        ({"mean": []}, "mean: no photo in"),
        ({"mean": [np.full((9, 9, 3), -1.0)]}, "mean: expected photos .*with values from -1 to -1"),
    ],
)
def test_parts_that_do_not_fit(changed, message):
    refused(message, **{key: value for key, value in parts(**changed).items() if value is not None or key in (
        "start", "end", "pad")})  # fmt: skip


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: model_of(IMAGE, IMAGE, TEXT), "has 2 inputs that could be the image: 'input_0' .*'input_1'"),
        (lambda: model_of((CHANNELS,), TEXT), "has no image input"),
        (lambda: merge_decoder(), r"it reads features, .* pass the network that computes them as encoder="),
        (lambda: model_of(IMAGE, TEXT, (4,)), "expected one input for the words"),
        (lambda: model_of(IMAGE, TEXT, scores=3), "scores 3 words and the tokenizer numbers 10"),
        (lambda: model_of((None, None, 3), TEXT), "leaves the size of the image open; pass image_size="),
        (lambda: "model", "model: expected a keras.Model of the image and the words, got a str"),
    ],
)
def test_models_that_cannot_be_read(model, message):
    if "leaves" in message:
        image, text = keras.Input((None, None, 3)), keras.Input(TEXT)
        x = layers.concatenate([layers.GlobalAveragePooling2D()(image), text])
        refused(message, model=keras.Model([image, text], layers.Dense(SCORES)(x)), tokenizer=INDEX)
    else:
        refused(message, model=model(), tokenizer=INDEX)


def test_an_output_that_is_no_score():
    image, text = keras.Input(IMAGE), keras.Input(TEXT)
    x = layers.concatenate([layers.Flatten()(image), text])
    chosen = ops.argmax(layers.Dense(SCORES)(x), axis=-1)
    refused("gives no scores of words", model=keras.Model([image, text], chosen), tokenizer=INDEX)


def test_weights_that_are_not_numbers():
    given = parts()
    kernel = given["decoder"].layers[-1].kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    refused("scores are NaN or infinite .*weights with NaN or infinite values in '.*kernel'", **given)


def test_a_model_that_ignores_its_image_is_told():
    image, text = keras.Input(IMAGE), keras.Input(TEXT)
    unseen = layers.Dense(8, kernel_initializer="zeros")(layers.GlobalAveragePooling2D()(cnn()(image)))
    words = layers.LSTM(8)(layers.Embedding(SCORES, 7)(text))
    model = keras.Model([image, text], layers.Dense(SCORES)(layers.add([unseen, words])))
    with pytest.warns(UserWarning, match="ignores its image: .* every visual share is 0"):
        mine = wrap_captioner(model, tokenizer=INDEX, preprocess=scaled, mean=[photo(1)])
    features = mine.features(np.zeros((1, SIDE, SIDE, 3), np.float32))
    both = np.concatenate([features, mine.mean_features[None]])
    seen, average = mine.log_probabilities(both, np.array([[1, 3, 4]] * 2))
    np.testing.assert_allclose(seen, average, atol=1e-6)


def test_a_caption_that_is_too_long_for_a_sequence():
    from gazeback.models.errors import UserError

    mine = wrap_captioner(**pre_inject().arguments, tokenizer=INDEX, preprocess=scaled, length=4)
    with pytest.raises(UserError, match="a caption of 5 words is too long: the captioner reads 4"):
        mine.readings([3, 4, 5, 6, 7])


def test_a_decoder_whose_inputs_look_alike():
    one, two = keras.Input((CHANNELS,), name="one"), keras.Input((CHANNELS,), name="two")
    decoder = keras.Model([one, two], layers.Dense(SCORES)(layers.add([one, two])), name="alike")
    refused("which of its inputs are the words\\? 'one' .* 'two' .* look alike", **parts(decoder=decoder))


def test_a_mean_map_is_taken_as_it_is():
    given = np.random.default_rng(0).random((5, 5, CHANNELS)).astype(np.float32)
    np.testing.assert_array_equal(wrap_captioner(**parts(mean=given)).mean_features, given)


def test_the_functions_of_keras_applications_are_known_by_name():
    by_name = wrap_captioner(**parts(preprocess="inception_v3"))
    own = wrap_captioner(**parts(preprocess=keras.applications.inception_v3.preprocess_input))
    pixels = photo(2)[None].astype(np.float32)
    kept = pixels.copy()
    np.testing.assert_allclose(by_name.model_input(pixels), scaled(pixels), atol=1e-6)
    np.testing.assert_allclose(own.model_input(pixels), scaled(pixels), atol=1e-6)
    np.testing.assert_array_equal(pixels, kept)


def test_a_model_that_only_holds_its_parts():
    class Holder(keras.Model):
        def __init__(self):
            super().__init__()
            self.cnn_model, self.decoder = cnn(), merge_decoder()

    message = r"model 'holder' has no call, only parts \(cnn, merge\); pass encoder= and decoder="
    refused(message, model=Holder(), tokenizer=INDEX, image_size=SIDE)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="text in a model")
def test_a_model_that_reads_text():
    image, text = keras.Input(IMAGE), keras.Input((), dtype="string", name="sentence")
    numbers = layers.TextVectorization(output_sequence_length=LENGTH, vocabulary=["a", "red"])(text)
    words = layers.LSTM(8)(layers.Embedding(SCORES, 7)(numbers))
    x = layers.add([layers.Dense(8)(layers.GlobalAveragePooling2D()(image)), words])
    model = keras.Model([image, text], layers.Dense(SCORES)(x))
    refused(
        "reads text at its input 'sentence'; pass a model of the words' numbers", model=model, tokenizer=INDEX
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"decoder": "merge.keras"}, "decoder: expected a Keras model, a layer or a function, got a str"),
        ({"decoder": None, "step": 3}, "step: expected a function or layer, got a int"),
        (
            {"decoder": None, "step": lambda word, features: word},
            "cannot be called on a word, the features and a",
        ),
    ],
)
def test_parts_that_cannot_be_called(changed, message):
    refused(message, **{key: value for key, value in parts(**changed).items() if value is not None})
