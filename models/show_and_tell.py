"""Caption generators as one Keras functional model: from the pixels to the logits of every next word.

``build(..., attention_size=0)`` is *Show and Tell* (Vinyals, Toshev, Bengio, Erhan, CVPR 2015 and TPAMI 2017,
im2txt): the globally pooled last map, embedded without activation, is the LSTM's first input; then come the
start token and the words.

Otherwise the photo is shown at every word, as in *Knowing When to Look* (Lu, Xiong, Parikh, Socher, CVPR
2017, section 2.1, spatial attention): the image embedding is added to each word's embedding, and the LSTM's
output h_t attends to the places of the last map. The attended places' sum is added to h_t before the word
layer. The scores are dot products (Luong et al., EMNLP 2015), not the paper's small network.

Difference from the papers: the image embedding is batch-normalised. Without this it grows to ten times the
length of the word embeddings and saturates the gates at the image step. At inference this is a fixed affine
map.
"""

from collections.abc import Callable, Sequence

import keras
from keras import layers

POOL = "pool"
IMAGE_EMBEDDING = "image_embedding"
IMAGE_SCALE = "image_scale"
WORD_EMBEDDING = "word_embedding"
LSTM = "lstm"
WORD_LOGITS = "word_logits"
PLACES = "places"
KEYS = "keys"
VALUES = "values"
QUERY = "query"
ATTENTION = "attention"


def build(
    encoder: keras.Model,
    vocabulary_size: int,
    embedding_size: int = 256,
    units: int = 512,
    attention_size: int = 0,
    dropout: float = 0.35,
    feature_dropout: float = 0.15,
    word_dropout: float = 0.1,
) -> keras.Model:
    """Build a captioner from an encoder and a language half.

    Inputs: the encoder's image ``[n, s, s, 3]`` and ``words``, int32 ``[n, T]``, the first of which is the
    start token. Output: logits ``[n, T + 1, vocabulary_size]``; step 0 has seen only the image and predicts
    nothing, step t has read words 0..t-1 and predicts word t. ``attention_size`` is the length of keys and
    queries; 0 is plain Show and Tell. ``dropout`` acts on the LSTM's inputs and outputs, ``feature_dropout``
    on the pooled features; ``word_dropout`` removes whole words, so that the network has to look at the
    picture.
    """
    pooled = layers.GlobalAveragePooling2D(name=POOL)(encoder.output)
    pooled = layers.Dropout(feature_dropout, name="feature_dropout")(pooled)
    embedded = layers.Dense(embedding_size, name=IMAGE_EMBEDDING)(pooled)
    photo = [layers.BatchNormalization(momentum=0.98, name=IMAGE_SCALE)(embedded)]
    made = [
        layers.Embedding(
            vocabulary_size,
            embedding_size,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.5),
            name=WORD_EMBEDDING,
        ),
        layers.Dropout(word_dropout, noise_shape=(None, None, 1), name="word_dropout"),
        layers.Reshape((1, embedding_size), name="image_step"),
        layers.Concatenate(axis=1, name="image_then_words"),
        layers.Dropout(dropout, name="input_dropout"),
        layers.LSTM(units, return_sequences=True, name=LSTM),
        layers.Dropout(dropout, name="output_dropout"),
        layers.Dense(vocabulary_size, name=WORD_LOGITS),
    ]
    if attention_size:
        rows, columns, channels = encoder.output.shape[1:]
        places = layers.Reshape((rows * columns, channels), name=PLACES)(encoder.output)
        # small keys: with the usual ones the attention would start at a single place, and learn nothing
        small = keras.initializers.VarianceScaling(1 / attention_size)
        keys = layers.Dense(attention_size, kernel_initializer=small, name=KEYS)(places)
        photo += [layers.Dense(units, name=VALUES)(places), keys]
        made += [
            layers.Add(name="image_and_word"),
            layers.Dense(attention_size, name=QUERY),
            layers.Attention(name=ATTENTION),
            layers.Add(name="said_and_seen"),
        ]
    words = keras.Input((None,), dtype="int32", name="words")
    logits = _logits({layer.name: layer for layer in made}.__getitem__, photo, words)
    name = "spatial_attention" if attention_size else "show_and_tell"
    return keras.Model([encoder.input, words], logits, name=name)


def _logits(
    layer: Callable[[str], layers.Layer], photo: Sequence[keras.KerasTensor], words: keras.KerasTensor
) -> keras.KerasTensor:
    """The logits that the named layers compute from what they know of the photo and words ``[n, T]``."""
    image, *values_and_keys = photo
    image = layer("image_step")(image)
    embedded = layer("word_dropout")(layer(WORD_EMBEDDING)(words))
    if values_and_keys:
        embedded = layer("image_and_word")([embedded, image])
    steps = layer("input_dropout")(layer("image_then_words")([image, embedded]))
    hidden = layer(LSTM)(steps)
    if values_and_keys:
        hidden = layer("said_and_seen")([hidden, layer(ATTENTION)([layer(QUERY)(hidden), *values_and_keys])])
    return layer(WORD_LOGITS)(layer("output_dropout")(hidden))


def attention_size(model: keras.Model) -> int:
    """The length of the attention's keys and queries; 0 in plain Show and Tell."""
    return next((layer.units for layer in model.layers if layer.name == KEYS), 0)


def of_photo(model: keras.Model) -> list[keras.KerasTensor]:
    """All that the language half knows of the photo: the image embedding ``[n, E]``, and with attention the
    values ``[n, places, units]`` and keys ``[n, places, A]`` of the places of the last map.
    """
    names = {layer.name for layer in model.layers}
    return [model.get_layer(name).output for name in (IMAGE_SCALE, VALUES, KEYS) if name in names]


def decoder(model: keras.Model) -> keras.Model:
    """The captioner's own layers after :func:`of_photo`, as a model of these tensors and words ``[n, T]``."""
    photo = [keras.Input(tensor.shape[1:]) for tensor in of_photo(model)]
    words = keras.Input((None,), dtype="int32", name="words")
    return keras.Model([*photo, words], _logits(model.get_layer, photo, words), name="decoder")
