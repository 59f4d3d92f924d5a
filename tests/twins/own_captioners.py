"""Captioners as people build them in Keras: tiny, seeded, untrained; and what their authors do with them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

SIDE, LENGTH, CHANNELS, UNITS = 24, 6, 5, 8
WORDS = ("startseq", "endseq", "a", "red", "blue", "dog", "and", "cat", "runs")
INDEX = {word: number for number, word in enumerate(WORDS, start=1)}
SCORES = len(WORDS) + 1
START, END = INDEX["startseq"], INDEX["endseq"]
CAPTION = "a red dog and cat"
IDS = [INDEX[word] for word in CAPTION.split()]


@dataclass(frozen=True)
class Own:
    """A captioner of somebody.

    ``arguments``: of ``wrap_captioner``; ``predict``: the author's own code, from images as the encoder reads
    them ``[n, SIDE, SIDE, 3]`` and the word numbers so far (start first) to probabilities ``[n, SCORES]``.
    """

    arguments: dict[str, Any]
    predict: Callable[[np.ndarray, list[int]], np.ndarray]


def scaled(pixels):
    """The preprocessing of the Inception family."""
    return pixels / 127.5 - 1


def photo(seed=0, size=(SIDE, SIDE)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def padded(prefix, n=1, before=True, length=LENGTH):
    """``pad_sequences`` of Keras, for n images."""
    row = np.zeros(length, np.int32)
    kept = prefix[-length:]
    row[length - len(kept) :] = kept
    if not before:
        row = np.roll(row, -(length - len(kept)))
    return np.repeat(row[None], n, axis=0)


def seeded(*models, seed=1):
    """Give models weights, from -1 to 1, that make a difference."""
    rng = np.random.default_rng(seed)
    for model in models:
        for weight in model.weights:
            if "seed" not in weight.path:
                least = 0.1 if "variance" in weight.path else -0.9
                weight.assign(rng.uniform(least, 0.9, weight.shape))


def greedy(own, pixels, length=LENGTH):
    """The author's loop: the most probable word until the end, or until it is none."""
    ids = [START]
    for _ in range(length):
        word = int(own.predict(pixels, ids)[0].argmax())
        if word in (0, END):
            break
        ids.append(word)
    return ids[1:]


def cnn(side=SIDE, name="cnn", pooling=False, tokens=False):
    """Two convolutions on images -1..1; the last map is 5 x 5."""
    image = keras.Input((side, side, 3))
    x = layers.Conv2D(6, 3, 2, activation="relu", name="early")(image)
    x = layers.Conv2D(CHANNELS, 3, 2, activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D()(x) if pooling else x
    return keras.Model(image, layers.Reshape((-1, CHANNELS))(x) if tokens else x, name=name)


def language(kind, embedded):
    """The language half of a merge captioner: one vector of the words."""
    if kind == "bilstm":
        return layers.Bidirectional(layers.LSTM(UNITS // 2))(embedded)
    if kind == "two":
        return layers.LSTM(UNITS)(layers.LSTM(UNITS, return_sequences=True)(embedded))
    return (layers.GRU if kind == "gru" else layers.LSTM)(UNITS)(embedded)


def merge_decoder(kind="lstm", softmax=True, masks=True, swapped=False):
    """Merge: words alone are read, image and words are added, the next word is predicted."""
    inputs1, inputs2 = keras.Input((CHANNELS,)), keras.Input((LENGTH,))
    fe2 = layers.Dense(UNITS, activation="relu")(layers.Dropout(0.5)(inputs1))
    se1 = layers.Embedding(SCORES, 7, mask_zero=masks)(inputs2)
    decoder1 = layers.add([fe2, language(kind, layers.Dropout(0.5)(se1))])
    decoder2 = layers.Dense(UNITS, activation="relu")(decoder1)
    outputs = layers.Dense(SCORES, activation="softmax" if softmax else None)(decoder2)
    return keras.Model([inputs2, inputs1] if swapped else [inputs1, inputs2], outputs, name="merge")


def merge(kind="lstm", softmax=True, masks=True, before=True, swapped=False):
    encoder, decoder = cnn(pooling=True), merge_decoder(kind, softmax, masks, swapped)
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        features = np.asarray(encoder(pixels))
        words = padded(prefix, len(pixels), before)
        found = np.asarray(decoder([words, features] if swapped else [features, words]))
        return found if softmax else np.asarray(ops.softmax(found))

    padding = {} if before else {"padding": "post"}
    return Own({"encoder": encoder, "decoder": decoder, **padding}, predict)


def joined(**how):
    """The same in one model, the words first; the encoder lies in it as one layer."""
    own = merge(**how)
    image, words = keras.Input((SIDE, SIDE, 3), name="picture"), keras.Input((LENGTH,), name="so_far")
    scores = own.arguments["decoder"]([own.arguments["encoder"](image), words])
    model = keras.Model([words, image], scores, name="joined")
    return Own(
        {"model": model},
        lambda pixels, prefix: np.asarray(model([padded(prefix, len(pixels)), pixels])),
    )


def by_name():
    """Inputs in a dict, a flattened map, and dense layers of the encoder behind it."""
    picture, caption = keras.Input((SIDE, SIDE, 3), name="a_picture"), keras.Input((LENGTH,), name="b_words")
    x = layers.Flatten()(cnn()(picture))
    x = layers.Dense(UNITS, activation="relu", name="fc2")(layers.Dense(9, activation="relu", name="fc1")(x))
    words = layers.LSTM(UNITS)(layers.Embedding(SCORES, 7)(caption))
    scores = layers.Dense(SCORES)(layers.concatenate([x, words]))
    scores = layers.Activation("softmax")(scores)
    model = keras.Model({"b_words": caption, "a_picture": picture}, scores, name="by_name")
    seeded(model)

    def predict(pixels, prefix):
        given = {"a_picture": pixels, "b_words": padded(prefix, len(pixels))}
        return np.asarray(model(given))

    return Own({"model": model}, predict)


def par_inject(sequence=False):
    """The image stands beside every word; one word, or all of them through TimeDistributed."""
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((LENGTH,))
    x = layers.Dense(7)(cnn(pooling=True)(image))
    embedded = layers.Embedding(SCORES, 7, mask_zero=not sequence)(words)
    x = layers.Concatenate()([layers.RepeatVector(LENGTH)(x), embedded])
    x = layers.LSTM(UNITS, return_sequences=sequence)(x)
    last = layers.Dense(SCORES, activation="softmax")
    model = keras.Model([image, words], layers.TimeDistributed(last)(x) if sequence else last(x))
    seeded(model)

    def predict(pixels, prefix):
        found = np.asarray(model([pixels, padded(prefix, len(pixels), not sequence)]))
        return found[:, len(prefix) - 1] if sequence else found

    return Own({"model": model}, predict)


def init_inject():
    """The image is the LSTM's first state; words of any length, logits of all steps."""
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((None,), dtype="int32")
    x = cnn(pooling=True)(image)
    states = [layers.Dense(UNITS, activation="tanh")(x), layers.Dense(UNITS)(x)]
    x = layers.LSTM(UNITS, return_sequences=True)(layers.Embedding(SCORES, 7)(words), initial_state=states)
    model = keras.Model([image, words], layers.TimeDistributed(layers.Dense(SCORES))(x))
    seeded(model)

    def predict(pixels, prefix):
        found = model([pixels, np.array([prefix] * len(pixels))])
        return np.asarray(ops.softmax(found))[:, -1]

    return Own({"model": model}, predict)


def pre_inject(softmax=True):
    """The image is the first step, which has seen no word; softmax as a layer."""
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((None,), dtype="int32")
    x = layers.Reshape((1, 7))(layers.Dense(7)(cnn(pooling=True)(image)))
    x = layers.Concatenate(axis=1)([x, layers.Embedding(SCORES, 7)(words)])
    x = layers.Dense(SCORES)(layers.LSTM(UNITS, return_sequences=True)(x))
    model = keras.Model([image, words], layers.Softmax()(x))
    seeded(model)

    def predict(pixels, prefix):
        return np.asarray(model([pixels, np.array([prefix] * len(pixels))]))[:, -1]

    return Own({"model": model}, predict)


class TwoArguments(keras.Model):
    """A subclassed model, ``call(image, words)``."""

    def __init__(self):
        super().__init__()
        self.cnn = cnn(name="own_cnn")
        self.embedding = layers.Embedding(SCORES, 7)
        self.project = layers.Dense(7, activation="relu")
        self.lstm = layers.LSTM(UNITS, return_sequences=True)
        self.out = layers.Dense(SCORES)

    def call(self, image, words, training=False):
        x = self.project(ops.mean(self.cnn(image), axis=(1, 2)))
        return self.out(self.lstm(self.embedding(words) + x[:, None]))


class OneArgument(TwoArguments):
    """The same, ``call(inputs)``; it reads the number of images off the map."""

    def call(self, inputs, training=False):
        image, words = inputs
        maps = self.cnn(image)
        places = ops.reshape(maps, (ops.shape(maps)[0], -1, maps.shape[-1]))
        x = self.project(ops.mean(places, axis=1))
        return self.out(self.lstm(self.embedding(words) + x[:, None]))


def subclassed(kind):
    model = kind()
    arguments = {"model": model, "image_size": SIDE, "name": "subclassed"}

    def predict(pixels, prefix):
        words = np.array([prefix] * len(pixels))
        found = model([pixels, words]) if kind is OneArgument else model(pixels, words)
        return np.asarray(ops.softmax(found))[:, -1]

    predict(np.zeros((1, SIDE, SIDE, 3), np.float32), [START])
    seeded(model)
    return Own(arguments, predict)


class Bahdanau(keras.Model):
    """A decoder of the attention tutorials: ``call(x, features, hidden)`` reads one word."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(SCORES, 7)
        self.gru = layers.GRU(UNITS, return_sequences=True, return_state=True)
        self.w1, self.w2, self.v = layers.Dense(6), layers.Dense(6), layers.Dense(1)
        self.fc1, self.fc2 = layers.Dense(UNITS), layers.Dense(SCORES)

    def call(self, x, features, hidden):
        score = self.v(ops.tanh(self.w1(features) + self.w2(ops.expand_dims(hidden, 1))))
        weights = ops.softmax(score, axis=1)
        context = ops.sum(weights * features, axis=1)
        x = ops.concatenate([ops.expand_dims(context, 1), self.embedding(x)], axis=-1)
        output, state = self.gru(x)
        x = ops.reshape(self.fc1(output), (-1, UNITS))
        return self.fc2(x), state, weights

    def reset_state(self, batch_size):
        return ops.zeros((batch_size, UNITS))


def attention_by_steps():
    """The encoder's map is read as 25 tokens; the decoder's own zeros are its first state."""
    encoder, decoder = cnn(tokens=True), Bahdanau()

    def predict(pixels, prefix):
        features, hidden = encoder(pixels), decoder.reset_state(batch_size=len(pixels))
        for word in prefix:
            scores, hidden, _ = decoder(np.full((len(pixels), 1), word), features, hidden)
        return np.asarray(ops.softmax(scores))

    predict(np.zeros((1, SIDE, SIDE, 3), np.float32), [START])
    seeded(encoder, decoder)
    return Own({"encoder": encoder, "step": decoder}, predict)


def cell_by_steps(zeros=False):
    """A function with a cell: the state begins as a layer of the mean features, or as zeros that it makes."""
    encoder, embedding = cnn(), layers.Embedding(SCORES, 7)
    cell, begin = layers.LSTMCell(UNITS), layers.Dense(UNITS)
    out = layers.Dense(SCORES, activation="softmax")

    def step(word, features, state):
        mean = ops.mean(features, axis=(1, 2))
        if state is None:
            first = ops.zeros((ops.shape(features)[0], UNITS)) if zeros else begin(mean)
            state = [first, first]
        h, state = cell(ops.concatenate([embedding(word), mean], axis=-1), state)
        return out(h), state

    def predict(pixels, prefix):
        features, state = encoder(pixels), None
        for word in prefix:
            scores, state = step(np.full(len(pixels), word), features, state)
        return np.asarray(scores)

    predict(np.zeros((1, SIDE, SIDE, 3), np.float32), [START])
    seeded(encoder, embedding, cell, out, *([] if zeros else [begin]))
    return Own({"encoder": encoder, "step": step, "name": "cell"}, predict)


class EncoderBlock(layers.Layer):
    """Self-attention over the image's tokens, after a dense layer."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.attention = layers.MultiHeadAttention(2, 4)
        self.first, self.second = layers.LayerNormalization(), layers.LayerNormalization()
        self.dense = layers.Dense(UNITS, activation="relu")

    def call(self, inputs, training, mask=None):
        inputs = self.dense(self.first(inputs))
        attended = self.attention(
            query=inputs, value=inputs, key=inputs, attention_mask=None, training=training
        )
        return self.second(inputs + attended)


class Positions(layers.Layer):
    """Embeddings of words and of their places, for a length that is known when they are looked up."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.tokens, self.places = layers.Embedding(SCORES, UNITS), layers.Embedding(LENGTH, UNITS)

    def call(self, inputs):
        places = ops.arange(start=0, stop=ops.shape(inputs)[-1], step=1)
        return self.tokens(inputs) * ops.sqrt(ops.cast(UNITS, "float32")) + self.places(places)


class DecoderBlock(layers.Layer):
    """Causal self-attention, attention over the image, and the probabilities of all next words."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.attention_1 = layers.MultiHeadAttention(2, 4, dropout=0.1)
        self.attention_2 = layers.MultiHeadAttention(2, 4, dropout=0.1)
        self.feed_1, self.feed_2 = layers.Dense(9, activation="relu"), layers.Dense(UNITS)
        self.norms = [layers.LayerNormalization() for _ in range(3)]
        self.embedding = Positions()
        self.out = layers.Dense(SCORES, activation="softmax")
        self.dropout = layers.Dropout(0.3)

    def call(self, inputs, encoder_outputs, training, mask=None):
        inputs = self.embedding(inputs)
        causal = self.causal_mask(inputs)
        attended = self.attention_1(
            query=inputs, value=inputs, key=inputs, attention_mask=causal, training=training
        )
        first = self.norms[0](inputs + attended)
        seen = self.attention_2(query=first, value=encoder_outputs, key=encoder_outputs, training=training)
        second = self.norms[1](first + seen)
        fed = self.feed_2(self.dropout(self.feed_1(second), training=training))
        return self.out(self.dropout(self.norms[2](fed + second), training=training))

    def causal_mask(self, inputs):
        shape = ops.shape(inputs)
        i, j = ops.arange(shape[1])[:, None], ops.arange(shape[1])
        mask = ops.reshape(ops.cast(i >= j, "int32"), (1, shape[1], shape[1]))
        return ops.broadcast_to(mask, (shape[0], shape[1], shape[1]))


def transformer():
    """An encoder block and a decoder block, as two layers that their author calls one after the other."""
    features, block, decoder = cnn(tokens=True), EncoderBlock(), DecoderBlock()

    def encoder(image):
        return block(features(image), training=False)

    def predict(pixels, prefix):
        words = padded(prefix, len(pixels), before=False)
        return np.asarray(decoder(words, encoder(pixels), training=False))[:, len(prefix) - 1]

    predict(np.zeros((1, SIDE, SIDE, 3), np.float32), [START])
    seeded(features, block, decoder)
    arguments = {"encoder": encoder, "decoder": decoder, "image_size": SIDE, "length": LENGTH}
    return Own(arguments, predict)


class CrossAttention(keras.Model):
    """``call(inputs)`` of the image and the words: several layers of attention, logits of all steps."""

    def __init__(self):
        super().__init__()
        self.features = cnn(name="own_cnn")
        self.embedding = Positions()
        self.self_attention = [layers.MultiHeadAttention(1, 6) for _ in range(2)]
        self.cross_attention = [layers.MultiHeadAttention(1, 6) for _ in range(2)]
        self.feed = [
            keras.Sequential([layers.Dense(9, activation="relu"), layers.Dense(UNITS)]) for _ in range(2)
        ]
        self.norm = layers.LayerNormalization()
        self.out = layers.Dense(SCORES)

    def call(self, inputs):
        image, text = inputs
        image = self.features(image)
        image = ops.reshape(image, (ops.shape(image)[0], -1, CHANNELS))
        text = self.embedding(text)
        for own, cross, feed in zip(self.self_attention, self.cross_attention, self.feed, strict=True):
            text = self.norm(text + own(query=text, value=text, use_causal_mask=True))
            text = text + cross(query=text, value=image)
            text = text + feed(text)
        return self.out(text)


def cross_attention(length=LENGTH):
    model = CrossAttention()

    def predict(pixels, prefix):
        return np.asarray(ops.softmax(model((pixels, np.array([prefix] * len(pixels))))))[:, -1]

    predict(np.zeros((1, SIDE, SIDE, 3), np.float32), [START])
    seeded(model)
    return Own({"model": model, "length": length, "name": "cross"}, predict)


KINDS = {
    "merge": merge,
    "merge, logits": lambda: merge(softmax=False),
    "merge, padded behind": lambda: merge(before=False),
    "merge, no masks": lambda: merge(masks=False),
    "merge, words first": lambda: merge(swapped=True),
    "merge, GRU": lambda: merge("gru"),
    "merge, two LSTMs": lambda: merge("two"),
    "merge, joined": joined,
    "by name": by_name,
    "par-inject": par_inject,
    "par-inject, all words": lambda: par_inject(sequence=True),
    "init-inject": init_inject,
    "pre-inject": pre_inject,
    "subclassed, two arguments": lambda: subclassed(TwoArguments),
    "subclassed, one argument": lambda: subclassed(OneArgument),
    "merge, BiLSTM": lambda: merge("bilstm", masks=False),
    "transformer": transformer,
    "cross-attention": cross_attention,
    "attention by steps": attention_by_steps,
    "cell by steps": cell_by_steps,
    "cell by steps, own zeros": lambda: cell_by_steps(zeros=True),
}

ALWAYS = (
    "merge, padded behind", "merge, words first", "merge, joined", "merge, BiLSTM", "par-inject, all words",
    "init-inject", "pre-inject", "subclassed, two arguments", "transformer", "attention by steps",
    "cell by steps, own zeros",
)  # fmt: skip


def parameters(kinds, always=ALWAYS):
    """The kinds of captioners as parameters of a test: some are fast tests, the others slow ones."""
    return [pytest.param(kind, marks=() if kind in always else pytest.mark.slow) for kind in kinds]
