"""More captioners in the styles that people publish: tiny, seeded, untrained; with what their authors do."""

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
    EncoderBlock,
    Own,
    cnn,
    padded,
    seeded,
)

BLANK = np.zeros((1, SIDE, SIDE, 3), np.float32)


def repeated(prefix, n):
    return np.array([prefix] * n, np.int32)


def par_inject_post():
    """Two sequential branches, the image repeated at each step; a BiLSTM over both; padded behind."""
    of_image = keras.Sequential(
        [keras.Input((CHANNELS,)), layers.Dense(7, activation="relu"), layers.RepeatVector(LENGTH)]
    )
    of_words = keras.Sequential(
        [
            keras.Input((LENGTH,)),
            layers.Embedding(SCORES, 7),
            layers.LSTM(UNITS, return_sequences=True),
            layers.TimeDistributed(layers.Dense(7)),
        ]
    )
    both = layers.Concatenate(axis=1)([of_image.outputs[0], of_words.outputs[0]])
    x = layers.Bidirectional(layers.LSTM(UNITS, return_sequences=False))(both)
    scores = layers.Activation("softmax")(layers.Dense(SCORES)(x))
    decoder = keras.Model([of_image.inputs[0], of_words.inputs[0]], scores, name="two_branches")
    encoder = cnn(pooling=True)
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        return np.asarray(decoder([np.asarray(encoder(pixels)), padded(prefix, len(pixels), before=False)]))

    return Own({"encoder": encoder, "decoder": decoder, "padding": "post"}, predict)


def image_as_first_word():
    """The image's vector as the first of the LSTM's steps, and added again behind it."""
    image, words = keras.Input((CHANNELS,)), keras.Input((LENGTH,))
    features = layers.Dense(UNITS, activation="relu")(layers.BatchNormalization()(image))
    merged = layers.concatenate(
        [layers.Reshape((1, UNITS))(features), layers.Embedding(SCORES, UNITS, mask_zero=False)(words)],
        axis=1,
    )
    x = layers.add([layers.LSTM(UNITS, return_sequences=True)(merged), merged])
    x = layers.add([layers.Dropout(0.5)(layers.LSTM(UNITS)(x)), features])
    x = layers.Dropout(0.5)(layers.Dense(UNITS, activation="relu")(x))
    decoder = keras.Model([image, words], layers.Dense(SCORES, activation="softmax")(x))
    encoder = cnn(pooling=True)
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        return np.asarray(decoder([np.asarray(encoder(pixels)), padded(prefix, len(pixels))]))

    return Own({"encoder": encoder, "decoder": decoder}, predict)


def dot_attention():
    """Luong's attention by the layers Dot: a map of places, and an LSTM's outputs, next word."""
    places, words = keras.Input((25, CHANNELS)), keras.Input((LENGTH,))
    seen = layers.Dense(UNITS)(places)
    read = layers.LSTM(UNITS, return_sequences=True)(layers.Embedding(SCORES, 7, mask_zero=True)(words))
    weights = layers.Activation("softmax")(layers.Dot(axes=[2, 2])([read, seen]))
    context = layers.Dot(axes=[2, 1])([weights, seen])
    x = layers.GlobalAveragePooling1D()(layers.Concatenate()([context, read]))
    decoder = keras.Model([places, words], layers.Dense(SCORES, activation="softmax")(x))
    encoder = cnn(tokens=True)
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        return np.asarray(decoder([np.asarray(encoder(pixels)), padded(prefix, len(pixels))]))

    return Own({"encoder": encoder, "decoder": decoder}, predict)


class ByKey(keras.Model):
    """``call(inputs)`` of a dict; a GRU whose first state is the image."""

    def __init__(self):
        super().__init__()
        self.cnn, self.pool = cnn(name="own_cnn"), layers.GlobalMaxPooling2D()
        self.embed, self.begin = layers.Embedding(SCORES, 7, mask_zero=True), layers.Dense(UNITS, "tanh")
        self.gru, self.out = layers.GRU(UNITS, return_sequences=True), layers.Dense(SCORES)

    def call(self, inputs, training=False):
        state = self.begin(self.pool(self.cnn(inputs["image"], training=training)))
        return self.out(self.gru(self.embed(inputs["caption"]), initial_state=state))


def dict_inputs():
    model = ByKey()

    def predict(pixels, prefix):
        found = model({"image": pixels, "caption": repeated(prefix, len(pixels))})
        return np.asarray(ops.softmax(found))[:, -1]

    predict(BLANK, [START])
    seeded(model)
    return Own({"model": model}, predict)


def inference_decoder():
    """Of translation's tutorials: a decoder model of one word and the states, which the encoder begins."""
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(cnn()(image))
    encoder = keras.Model(image, [layers.Dense(UNITS)(x), layers.Dense(UNITS)(x)], name="states")
    word, h, c = keras.Input((1,)), keras.Input((UNITS,)), keras.Input((UNITS,))
    embedded = layers.Embedding(SCORES, 7)(word)
    output, *states = layers.LSTM(UNITS, return_sequences=True, return_state=True)(
        embedded, initial_state=[h, c]
    )
    decoder = keras.Model([word, h, c], [layers.Dense(SCORES, activation="softmax")(output), *states])
    seeded(encoder, decoder)

    def step(word, features, state):
        scores, h, c = decoder([word, *(features if state is None else state)])
        return scores, [h, c]

    def predict(pixels, prefix):
        state = encoder(pixels)
        for word in prefix:
            scores, *state = decoder([ops.convert_to_tensor(np.full((len(pixels), 1), word)), *state])
        return np.asarray(scores)[:, 0]

    return Own({"encoder": encoder, "step": step, "name": "inference"}, predict)


class ShowAttendTell(keras.layers.Layer):
    """Xu et al.: an LSTM cell, a gate on the context, and the mean of the places as the first state."""

    def __init__(self):
        super().__init__()
        self.embed, self.cell = layers.Embedding(SCORES, 7), layers.LSTMCell(UNITS)
        self.w, self.u, self.v = layers.Dense(6), layers.Dense(6), layers.Dense(1)
        self.gate, self.h, self.c = (
            layers.Dense(CHANNELS, "sigmoid"),
            layers.Dense(UNITS),
            layers.Dense(UNITS),
        )
        self.l_h, self.l_z, self.out = layers.Dense(7), layers.Dense(7), layers.Dense(SCORES)

    def call(self, word, features, states):
        if states is None:
            mean = ops.mean(features, axis=1)
            states = (ops.tanh(self.h(mean)), ops.tanh(self.c(mean)))
        h = states[0]
        energy = self.v(ops.tanh(self.w(features) + self.u(h)[:, None, :]))
        alpha = ops.softmax(ops.squeeze(energy, -1))
        z = self.gate(h) * ops.einsum("np,npc->nc", alpha, features)
        embedded = self.embed(word)
        h, states = self.cell(ops.concatenate([embedded, z], -1), list(states))
        return self.out(ops.tanh(embedded + self.l_h(h) + self.l_z(z))), tuple(states), alpha


def show_attend_tell():
    encoder, decoder = cnn(tokens=True), ShowAttendTell()

    def predict(pixels, prefix):
        features, state = encoder(pixels), None
        for word in prefix:
            scores, state, _ = decoder(np.full(len(pixels), word), features, state)
        return np.asarray(ops.softmax(scores))

    predict(BLANK, [START])
    seeded(encoder, decoder)
    return Own({"encoder": encoder, "step": decoder}, predict)


def two_stacked_steps():
    """Anderson et al. 2018: an LSTM for attention and one for language, their states in a nested dict."""
    encoder = cnn(tokens=True)
    embed, attend, speak = layers.Embedding(SCORES, 7), layers.LSTMCell(UNITS), layers.LSTMCell(UNITS)
    score, out = layers.Dense(1), layers.Dense(SCORES)

    def step(word, features, state):
        if state is None:
            zero = ops.zeros((ops.shape(features)[0], UNITS))
            state = {"attend": [zero, zero], "speak": [zero, zero]}
        x = ops.concatenate([state["speak"][0], ops.mean(features, 1), embed(word)], -1)
        h, one = attend(x, state["attend"])
        tiled = ops.repeat(h[:, None], features.shape[1], axis=1)
        weights = ops.softmax(score(ops.tanh(ops.concatenate([features, tiled], -1))), axis=1)
        seen = ops.sum(weights * features, 1)
        h, two = speak(ops.concatenate([seen, h], -1), state["speak"])
        return out(h), {"attend": one, "speak": two}

    def predict(pixels, prefix):
        features, state = encoder(pixels), None
        for word in prefix:
            scores, state = step(np.full(len(pixels), word), features, state)
        return np.asarray(ops.softmax(scores))

    predict(BLANK, [START])
    seeded(encoder, embed, attend, speak, score, out)
    return Own({"encoder": encoder, "step": step, "name": "top down"}, predict)


def convolutional():
    """Aneja et al. 2018: causal convolutions with gates read the words; all words at once."""
    image, words = keras.Input((SIDE, SIDE, 3)), keras.Input((None,), dtype="int32")
    seen = layers.Dense(7)(layers.GlobalAveragePooling2D()(cnn()(image)))
    x = layers.Embedding(SCORES, 7)(words) + seen[:, None, :]
    for _ in range(2):
        a = layers.Conv1D(7, 3, padding="causal")(x)
        b = layers.Conv1D(7, 3, padding="causal", activation="sigmoid")(x)
        x = layers.Add()([x, layers.Multiply()([a, b])])
    model = keras.Model([image, words], layers.Dense(SCORES)(layers.LayerNormalization()(x)))
    seeded(model)

    def predict(pixels, prefix):
        return np.asarray(ops.softmax(model([pixels, repeated(prefix, len(pixels))])))[:, -1]

    return Own({"model": model}, predict)


class Patches(keras.layers.Layer):
    """Patch and position embeddings with a class token, as vision transformers have them."""

    def __init__(self):
        super().__init__()
        self.patch = layers.Conv2D(UNITS, 6, 6)
        self.positions = layers.Embedding(17, UNITS)

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, UNITS), name="class_token")

    def call(self, image):
        x = self.patch(image)
        x = ops.reshape(x, (ops.shape(x)[0], -1, UNITS))
        first = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, UNITS))
        return ops.concatenate([first, x], axis=1) + self.positions(ops.arange(17))


def vision_transformer():
    """A ViT encoder whose class token begins a GRU; the decoder is a subclassed model."""
    image = keras.Input((SIDE, SIDE, 3))
    x = EncoderBlock()(Patches()(image), training=False)
    encoder = keras.Model(image, x, name="vit")

    class Decoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.gru = layers.Embedding(SCORES, 7), layers.GRU(UNITS, return_sequences=True)
            self.out = layers.Dense(SCORES)

        def call(self, features, captions):
            return self.out(self.gru(self.embedding(captions), initial_state=features[:, 0]))

    decoder = Decoder()

    def predict(pixels, prefix):
        found = decoder(encoder(pixels), repeated(prefix, len(pixels)))
        return np.asarray(ops.softmax(found))[:, -1]

    predict(BLANK, [START])
    seeded(encoder, decoder)
    return Own({"encoder": encoder, "decoder": decoder}, predict)


class Tied(keras.Model):
    """The output layer is the embedding, transposed; sines for places; attention weights come out, too."""

    def __init__(self):
        super().__init__()
        self.cnn, self.project = cnn(name="own_cnn"), layers.Dense(UNITS)
        self.embedding = layers.Embedding(SCORES, UNITS)
        angles = np.arange(50)[:, None] / 10 ** (np.arange(UNITS) / 4)
        self.sines = np.where(np.arange(UNITS) % 2, np.cos(angles), np.sin(angles))[None].astype("float32")
        self.attend = layers.MultiHeadAttention(2, 4)
        self.cross = layers.MultiHeadAttention(2, 4)
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]

    def call(self, images, captions, training=False):
        x = self.cnn(images)
        x = self.project(ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1])))
        y = self.embedding(captions)
        y = y * ops.sqrt(float(UNITS)) + self.sines[:, : ops.shape(captions)[1]]
        y = self.norms[0](y + self.attend(y, y, use_causal_mask=True, training=training))
        seen, weights = self.cross(y, x, return_attention_scores=True, training=training)
        y = self.norms[1](y + seen)
        return ops.matmul(y, ops.transpose(self.embedding.embeddings)), weights


def tied():
    model = Tied()

    def predict(pixels, prefix):
        return np.asarray(ops.softmax(model(pixels, repeated(prefix, len(pixels)))[0]))[:, -1]

    predict(BLANK, [START])
    seeded(model)
    return Own({"model": model, "image_size": SIDE, "name": "tied", "length": LENGTH}, predict)


def two_networks():
    """Features of two networks, side by side: no one map holds all that the words see."""
    image = keras.Input((SIDE, SIDE, 3))
    one, two = cnn(name="one", pooling=True), cnn(name="two", pooling=True)
    encoder = keras.Model(image, layers.Concatenate()([one(image), two(image)]), name="pair")
    features, words = keras.Input((2 * CHANNELS,)), keras.Input((LENGTH,), dtype="int32")
    x = layers.add([layers.Dense(UNITS)(features), layers.LSTM(UNITS)(layers.Embedding(SCORES, 7)(words))])
    decoder = keras.Model([features, words], layers.Dense(SCORES, activation="softmax")(x))
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        return np.asarray(decoder([np.asarray(encoder(pixels)), padded(prefix, len(pixels))]))

    return Own({"encoder": encoder, "decoder": decoder}, predict)


def two_features():
    """Lu et al. 2017: an encoder that gives the places and a vector, and a decoder of both."""
    image = keras.Input((SIDE, SIDE, 3))
    maps = cnn()(image)
    places = layers.Dense(UNITS, activation="relu")(layers.Reshape((-1, CHANNELS))(maps))
    whole = layers.Dense(7, activation="relu")(layers.GlobalAveragePooling2D()(maps))
    encoder = keras.Model(image, [places, whole], name="places_and_vector")
    v, g, words = keras.Input((25, UNITS)), keras.Input((7,)), keras.Input((None,), dtype="int32")
    embedded = layers.Embedding(SCORES, 7)(words)
    x = layers.LSTM(UNITS, return_sequences=True)(embedded + g[:, None])
    x = layers.Concatenate()([x, layers.Attention()([x, v])])
    decoder = keras.Model([v, g, words], layers.Dense(SCORES)(x), name="adaptive")
    seeded(encoder, decoder)

    def predict(pixels, prefix):
        found = decoder([*map(np.asarray, encoder(pixels)), repeated(prefix, len(pixels))])
        return np.asarray(ops.softmax(found))[:, -1]

    return Own({"encoder": encoder, "decoder": decoder}, predict)


PUBLISHED = {
    "par-inject, padded behind": par_inject_post,
    "image as the first word": image_as_first_word,
    "dot attention": dot_attention,
    "dict of inputs": dict_inputs,
    "decoder model with states": inference_decoder,
    "show, attend and tell": show_attend_tell,
    "two stacked steps": two_stacked_steps,
    "convolutional": convolutional,
    "vision transformer": vision_transformer,
    "tied, attention weights": tied,
    "two networks": two_networks,
    "two features": two_features,
}
