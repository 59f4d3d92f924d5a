"""Caption generators as one Keras functional model: from the pixels to the logits of every next word.

``build(..., every_word=False)`` is *Show and Tell* (Vinyals, Toshev, Bengio, Erhan, CVPR 2015 and TPAMI 2017,
im2txt): the globally pooled last map, embedded without activation, is the LSTM's first input; then come the
start token and the words.

With ``every_word`` the photo is also shown at every word: its embedding is added to each word's embedding
("par-inject"), and a second one to the LSTM's output before the word layer ("merge": Tanti, Gatt, Camilleri,
*Where to put the image in an image caption generator*, NLE 2018, section 3; Mao et al., *m-RNN*, ICLR 2015,
equation 3, without the activation).

Difference from the papers: the first image embedding is batch-normalised. Without this it grows to ten times
the length of the word embeddings and saturates the gates at the image step. At inference this is a fixed
affine map.
"""

from collections.abc import Callable, Sequence

import keras
from keras import layers

POOL = "pool"
IMAGE_EMBEDDING = "image_embedding"
IMAGE_SCALE = "image_scale"
WORD_EMBEDDING = "word_embedding"
LSTM = "lstm"
BESIDE = "image_beside_lstm"
WORD_LOGITS = "word_logits"


def build(
    encoder: keras.Model,
    vocabulary_size: int,
    embedding_size: int = 256,
    units: int = 512,
    every_word: bool = False,
    dropout: float = 0.35,
    feature_dropout: float = 0.15,
    word_dropout: float = 0.1,
) -> keras.Model:
    """Build a captioner from an encoder and a language half.

    Inputs: the encoder's image ``[n, s, s, 3]`` and ``words``, int32 ``[n, T]``, the first of which is the
    start token. Output: logits ``[n, T + 1, vocabulary_size]``; step 0 has seen only the image and predicts
    nothing, step t has read words 0..t-1 and predicts word t. ``dropout`` acts on the LSTM's inputs and
    outputs, ``feature_dropout`` on the pooled features; ``word_dropout`` removes whole words, so that the
    network has to look at the picture.
    """
    pooled = layers.GlobalAveragePooling2D(name=POOL)(encoder.output)
    pooled = layers.Dropout(feature_dropout, name="feature_dropout")(pooled)
    embedded = layers.Dense(embedding_size, name=IMAGE_EMBEDDING)(pooled)
    photo = [layers.BatchNormalization(momentum=0.98, name=IMAGE_SCALE)(embedded)]
    made = [
        layers.Reshape((1, embedding_size), name="image_step"),
        layers.Embedding(
            vocabulary_size,
            embedding_size,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.5),
            name=WORD_EMBEDDING,
        ),
        layers.Dropout(word_dropout, noise_shape=(None, None, 1), name="word_dropout"),
        layers.Concatenate(axis=1, name="image_then_words"),
        layers.Dropout(dropout, name="input_dropout"),
        layers.LSTM(units, return_sequences=True, name=LSTM),
        layers.Dropout(dropout, name="output_dropout"),
        layers.Dense(vocabulary_size, name=WORD_LOGITS),
    ]
    if every_word:
        photo.append(layers.Dense(units, name=BESIDE)(pooled))
        made += [
            layers.Add(name="image_and_word"),
            layers.Reshape((1, units), name="image_at_every_step"),
            layers.Add(name="said_and_seen"),
        ]
    words = keras.Input((None,), dtype="int32", name="words")
    logits = _logits({layer.name: layer for layer in made}.__getitem__, photo, words)
    name = "show_at_every_word" if every_word else "show_and_tell"
    return keras.Model([encoder.input, words], logits, name=name)


def _logits(
    layer: Callable[[str], layers.Layer], photo: Sequence[keras.KerasTensor], words: keras.KerasTensor
) -> keras.KerasTensor:
    """The logits that the named layers compute from what they know of the photo and words ``[n, T]``."""
    image, *beside = photo
    image = layer("image_step")(image)
    embedded = layer("word_dropout")(layer(WORD_EMBEDDING)(words))
    if beside:
        embedded = layer("image_and_word")([embedded, image])
    steps = layer("input_dropout")(layer("image_then_words")([image, embedded]))
    hidden = layer(LSTM)(steps)
    if beside:
        hidden = layer("said_and_seen")([hidden, layer("image_at_every_step")(beside[0])])
    return layer(WORD_LOGITS)(layer("output_dropout")(hidden))


def at_every_word(model: keras.Model) -> bool:
    """Whether a captioner sees the photo at every word."""
    return any(layer.name == BESIDE for layer in model.layers)


def of_photo(model: keras.Model) -> list[keras.KerasTensor]:
    """All that the language half knows of the photo: the image embedding ``[n, E]``, and the one beside the
    LSTM's output ``[n, units]`` if the photo is shown at every word.
    """
    names = (IMAGE_SCALE, BESIDE) if at_every_word(model) else (IMAGE_SCALE,)
    return [model.get_layer(name).output for name in names]


def decoder(model: keras.Model) -> keras.Model:
    """The captioner's own layers after :func:`of_photo`, as a model of these tensors and words ``[n, T]``."""
    photo = [keras.Input(tensor.shape[1:]) for tensor in of_photo(model)]
    words = keras.Input((None,), dtype="int32", name="words")
    return keras.Model([*photo, words], _logits(model.get_layer, photo, words), name="decoder")
