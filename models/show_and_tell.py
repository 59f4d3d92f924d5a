"""Show and Tell as one Keras functional model: from the pixels to the logits of every next word.

Source: Vinyals, Toshev, Bengio, Erhan, *Show and Tell*, CVPR 2015 and TPAMI 2017 (im2txt): the globally
pooled last map, embedded without activation, is the LSTM's first input; then come the start token and the
words.

Difference from the paper: the image embedding is batch-normalised. Without this it grows to ten times the
length of the word embeddings and saturates the gates at the image step. At inference this is a fixed affine
map.
"""

from collections.abc import Callable

import keras
from keras import layers

POOL = "pool"
IMAGE_EMBEDDING = "image_embedding"
IMAGE_SCALE = "image_scale"
WORD_EMBEDDING = "word_embedding"
LSTM = "lstm"
WORD_LOGITS = "word_logits"


def build(
    encoder: keras.Model,
    vocabulary_size: int,
    embedding_size: int = 256,
    units: int = 512,
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
    language = (
        layers.Dropout(feature_dropout, name="feature_dropout"),
        layers.Dense(embedding_size, name=IMAGE_EMBEDDING),
        layers.BatchNormalization(momentum=0.98, name=IMAGE_SCALE),
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
    )
    by_name = {layer.name: layer for layer in language}
    words = keras.Input((None,), dtype="int32", name="words")
    pooled = layers.GlobalAveragePooling2D(name=POOL)(encoder.output)
    return keras.Model(
        [encoder.input, words], _connect(by_name.__getitem__, pooled, words), name="show_and_tell"
    )


def _connect(
    layer: Callable[[str], layers.Layer], pooled: keras.KerasTensor, words: keras.KerasTensor
) -> keras.KerasTensor:
    """The logits that the named layers compute from pooled features ``[n, C]`` and words ``[n, T]``."""
    image = layer(IMAGE_EMBEDDING)(layer("feature_dropout")(pooled))
    image = layer("image_step")(layer(IMAGE_SCALE)(image))
    embedded = layer("word_dropout")(layer(WORD_EMBEDDING)(words))
    steps = layer("input_dropout")(layer("image_then_words")([image, embedded]))
    return layer(WORD_LOGITS)(layer("output_dropout")(layer(LSTM)(steps)))


def decoder(model: keras.Model) -> keras.Model:
    """The captioner's own layers after the pooling, as a model of pooled features ``[n, C]`` and words
    ``[n, T]``.
    """
    pooled = keras.Input(model.get_layer(POOL).output.shape[1:], name="pooled")
    words = keras.Input((None,), dtype="int32", name="words")
    return keras.Model([pooled, words], _connect(model.get_layer, pooled, words), name="decoder")
