"""Captioners with habits of their own: slices after the softmax, Lambda layers, keywords, einops."""

import keras
import numpy as np
from keras import layers, ops
from twins.own_captioners import (
    CHANNELS,
    LENGTH,
    SCORES,
    SIDE,
    START,
    UNITS,
    Own,
    cnn,
    padded,
    seeded,
)
from twins.published_captioners import BLANK, repeated


def softmax_then_slice():
    """The softmax of all steps, of which the last is the answer."""
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((LENGTH,), dtype="int32")
    x = layers.RepeatVector(LENGTH)(layers.Dense(7)(cnn(pooling=True)(image)))
    x = layers.LSTM(UNITS, return_sequences=True)(layers.concatenate([x, layers.Embedding(SCORES, 7)(words)]))
    x = layers.TimeDistributed(layers.Dense(SCORES, activation="softmax"))(x)
    model = keras.Model([image, words], layers.Lambda(lambda x: x[:, -1, :])(x))
    seeded(model)
    return Own(
        {"model": model}, lambda pixels, prefix: np.asarray(model([pixels, padded(prefix, len(pixels))]))
    )


def dense_of_step_then_slice():
    """The softmax as an operator in a subclassed model; the last step is cut out by its call."""

    class Last(keras.Model):
        def __init__(self):
            super().__init__()
            self.cnn, self.pool = cnn(name="own_cnn"), layers.GlobalAveragePooling2D()
            self.begin, self.embed = layers.Dense(UNITS), layers.Embedding(SCORES, 7)
            self.gru, self.out = layers.GRU(UNITS, return_sequences=True), layers.Dense(SCORES)

        def call(self, inputs, training=None, mask=None, **kwargs):
            image, words = inputs
            x = self.gru(self.embed(words), initial_state=self.begin(self.pool(self.cnn(image))))
            return ops.softmax(self.out(x))[:, -1]

    model = Last()

    def predict(pixels, prefix):
        return np.asarray(model([pixels, repeated(prefix, len(pixels))]))

    predict(BLANK, [START])
    seeded(model)
    return Own({"model": model}, predict)


def lambdas():
    """Lambda layers of operators on the image's way, and GloVe vectors that are not trained."""
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Lambda(lambda x: x * 2.0 - 0.5)(image)
    x = layers.Conv2D(CHANNELS, 5, 4, activation="relu", name="last")(x)
    x = layers.Lambda(lambda x: ops.mean(x, axis=[1, 2]))(x)
    encoder = keras.Model(image, layers.Lambda(lambda x: x / ops.norm(x, axis=-1, keepdims=True))(x))
    features, words = keras.Input((CHANNELS,)), keras.Input((LENGTH,))
    embedding = layers.Embedding(SCORES, 7, trainable=False, mask_zero=True)
    x = layers.add([layers.Dense(UNITS, "elu")(features), layers.LSTM(UNITS, dropout=0.2)(embedding(words))])
    decoder = keras.Model([features, words], layers.Dense(SCORES, "softmax")(layers.BatchNormalization()(x)))
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        return np.asarray(decoder([np.asarray(encoder(pixels)), padded(prefix, len(pixels))]))

    return Own({"encoder": encoder, "decoder": decoder}, predict)


def sequential_encoder():
    """A Sequential encoder, whose network stands in it, and a decoder that pads behind and reads masks."""
    encoder = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), cnn(), layers.GlobalAveragePooling2D(), layers.Dense(6)]
    )
    features, words = keras.Input((6,)), keras.Input((LENGTH,))
    x = layers.LSTM(UNITS)(layers.Embedding(SCORES, 7, mask_zero=True)(words))
    x = layers.Multiply()([layers.Dense(UNITS, "tanh")(features), x])
    decoder = keras.Model([features, words], layers.Softmax()(layers.Dense(SCORES)(x)))
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        return np.asarray(decoder([np.asarray(encoder(pixels)), padded(prefix, len(pixels), before=False)]))

    return Own({"encoder": encoder, "decoder": decoder, "padding": "post"}, predict)


def zero_states():
    """A decoder with more inputs: its first states, which its author always gives as zeros."""
    encoder = cnn(pooling=True)
    features, words = keras.Input((CHANNELS,)), keras.Input((LENGTH,))
    h, c = keras.Input((UNITS,), name="h0"), keras.Input((UNITS,), name="c0")
    x = layers.LSTM(UNITS)(layers.Embedding(SCORES, 7)(words), initial_state=[h, c])
    x = layers.add([layers.Dense(UNITS)(features), x])
    decoder = keras.Model([features, words, h, c], layers.Dense(SCORES, "softmax")(x))
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        zero = np.zeros((len(pixels), UNITS), np.float32)
        return np.asarray(decoder([np.asarray(encoder(pixels)), padded(prefix, len(pixels)), zero, zero]))

    def decode(features, words):
        zero = ops.zeros_like(features[:, :1]) * ops.ones((1, UNITS))
        return decoder([features, words, zero, zero])

    return Own(
        {"encoder": encoder, "decoder": decode, "length": LENGTH, "padding": "pre", "name": "zeros"}, predict
    )


def stacked_cells():
    """RNN of stacked cells, GELU, and a class of its own for the joined model's head."""
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((None,), dtype="int32")
    x = layers.Dense(7, activation="gelu")(layers.Flatten()(layers.MaxPooling2D(2)(cnn()(image))))
    x = layers.Embedding(SCORES, 7)(words) + x[:, None]
    x = layers.RNN([layers.LSTMCell(UNITS), layers.GRUCell(UNITS)], return_sequences=True)(x)
    model = keras.Model([words, image], layers.Dense(SCORES)(layers.LayerNormalization()(x)))
    seeded(model)

    def predict(pixels, prefix):
        return np.asarray(ops.softmax(model([repeated(prefix, len(pixels)), pixels])))[:, -1]

    return Own({"model": model}, predict)


def multi_scale():
    """Maps of two layers, pooled side by side, then attention of Keras over the last."""
    base = cnn()
    early, last = base.get_layer("early").output, base.get_layer("last").output
    words = keras.Input((None,), dtype="int32")
    pooled = layers.concatenate([layers.GlobalAveragePooling2D()(early), layers.GlobalMaxPooling2D()(last)])
    x = layers.GRU(UNITS, return_sequences=True)(
        layers.Embedding(SCORES, 7)(words), initial_state=layers.Dense(UNITS)(pooled)
    )
    places = layers.Dense(UNITS)(layers.Reshape((25, CHANNELS))(last))
    x = layers.concatenate([x, layers.Attention(use_scale=True)([x, places])])
    model = keras.Model([base.input, words], layers.Dense(SCORES)(x))
    seeded(model)

    def predict(pixels, prefix):
        return np.asarray(ops.softmax(model([pixels, repeated(prefix, len(pixels))])))[:, -1]

    return Own({"model": model}, predict)


class Inner(keras.Model):
    """An encoder that is a subclassed model of its own, with a network in a network."""

    def __init__(self):
        super().__init__()
        self.backbone, self.project = cnn(), layers.Dense(UNITS)

    def call(self, images, training=False):
        x = self.backbone(images, training=training)
        return self.project(ops.reshape(x, (-1, 25, CHANNELS)))


class Outer(keras.Model):
    """Encoder and decoder as subclassed models; log probabilities come out."""

    def __init__(self):
        super().__init__()
        self.encoder = Inner()
        self.embedding, self.lstm = layers.Embedding(SCORES, UNITS), layers.LSTM(UNITS, return_sequences=True)
        self.attention, self.out = layers.AdditiveAttention(), layers.Dense(SCORES)

    def call(self, image, caption, training=False):
        places = self.encoder(image, training=training)
        x = self.lstm(self.embedding(caption))
        x = ops.concatenate([x, self.attention([x, places])], axis=-1)
        return ops.log_softmax(self.out(x), axis=-1)


def nested_classes():
    model = Outer()

    def predict(pixels, prefix):
        return np.exp(np.asarray(model(pixels, repeated(prefix, len(pixels)))))[:, -1]

    predict(BLANK, [START])
    seeded(model)
    return Own({"model": model, "image_size": SIDE, "name": "outer"}, predict)


def state_in_pieces():
    """A step that returns the two tensors of an LSTM's state one after the other, and attention weights."""
    encoder, embed, cell = cnn(tokens=True), layers.Embedding(SCORES, 7), layers.LSTMCell(UNITS)
    score, out = layers.Dense(1), layers.Dense(SCORES)

    def step(word, features, state):
        if state is None:
            zero = ops.zeros((ops.shape(features)[0], UNITS))
            state = [zero, zero]
        weights = ops.softmax(score(ops.tanh(features + ops.sum(state[0], -1)[:, None, None])), axis=1)
        h, (h, c) = cell(ops.concatenate([embed(word), ops.sum(weights * features, 1)], -1), list(state))
        return out(h), h, c, weights

    def predict(pixels, prefix):
        features, state = encoder(pixels), None
        for word in prefix:
            scores, *state, _ = step(np.full(len(pixels), word), features, state)
        return np.asarray(ops.softmax(scores))

    predict(BLANK, [START])
    seeded(encoder, embed, cell, score, out)
    return Own({"encoder": encoder, "step": step, "name": "pieces"}, predict)


PUBLISHED = {
    "state in pieces": state_in_pieces,
    "softmax, then a slice": softmax_then_slice,
    "softmax, then the last step": dense_of_step_then_slice,
    "lambdas": lambdas,
    "sequential encoder": sequential_encoder,
    "zero states": zero_states,
    "stacked cells": stacked_cells,
    "multi scale": multi_scale,
    "nested classes": nested_classes,
}
