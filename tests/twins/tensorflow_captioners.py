"""Captioners written with TensorFlow's own functions, as its tutorials and those after them have it."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from twins.own_captioners import CHANNELS, LENGTH, SCORES, SIDE, START, UNITS, Own, cnn, padded, seeded
from twins.published_captioners import BLANK, repeated


class Encoder(keras.Model):
    """A dense layer on places that another network computed, the tutorial's way."""

    def __init__(self):
        super().__init__()
        self.fc = layers.Dense(7)

    def call(self, x):
        return tf.nn.relu(self.fc(x))


class Attention(keras.Model):
    def __init__(self):
        super().__init__()
        self.W1, self.W2, self.V = layers.Dense(6), layers.Dense(6), layers.Dense(1)

    def call(self, features, hidden):
        with_time = tf.expand_dims(hidden, 1)
        score = self.V(tf.nn.tanh(self.W1(features) + self.W2(with_time)))
        weights = tf.nn.softmax(score, axis=1)
        return tf.reduce_sum(weights * features, axis=1), weights


class Decoder(keras.Model):
    """``call(x, features, hidden)`` of one word ``[n, 1]``; the GRU begins anew at each word."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(SCORES, 7)
        self.gru = layers.GRU(UNITS, return_sequences=True, return_state=True)
        self.fc1, self.fc2, self.attention = layers.Dense(UNITS), layers.Dense(SCORES), Attention()

    def call(self, x, features, hidden):
        context, weights = self.attention(features, hidden)
        x = tf.concat([tf.expand_dims(context, 1), self.embedding(x)], axis=-1)
        output, state = self.gru(x)
        x = tf.reshape(self.fc1(output), (-1, output.shape[2]))
        return self.fc2(x), state, weights

    def reset_state(self, batch_size):
        return tf.zeros((batch_size, UNITS))


def tutorial_by_steps():
    """The features of one network, reshaped by hand, through an encoder of its own."""
    network, encoder, decoder = cnn(), Encoder(), Decoder()

    def features(image):
        x = network(image)
        return encoder(tf.reshape(x, (tf.shape(x)[0], -1, x.shape[3])))

    def predict(pixels, prefix):
        seen, hidden = features(pixels), decoder.reset_state(batch_size=len(pixels))
        for word in prefix:
            scores, hidden, _ = decoder(tf.expand_dims([word] * len(pixels), 1), seen, hidden)
        return tf.nn.softmax(scores).numpy()

    predict(BLANK, [START])
    seeded(network, encoder, decoder)
    return Own({"encoder": features, "step": decoder, "image_size": SIDE}, predict)


def step_function():
    """A function of TensorFlow's operations that makes its own zeros."""
    network, decoder = cnn(tokens=True), Decoder()

    def step(word, features, state):
        if state is None:
            state = tf.zeros((tf.shape(features)[0], UNITS))
        scores, state, _ = decoder(tf.expand_dims(word, 1), features, state)
        return tf.nn.softmax(scores), state

    def predict(pixels, prefix):
        seen, state = network(pixels), None
        for word in prefix:
            scores, state = step(tf.constant([word] * len(pixels)), seen, state)
        return scores.numpy()

    predict(BLANK, [START])
    seeded(network, decoder)
    return Own({"encoder": network, "step": step, "name": "tf step"}, predict)


class SeqEmbedding(layers.Layer):
    def __init__(self, mask):
        super().__init__()
        self.positions = layers.Embedding(LENGTH + 20, UNITS)
        self.tokens = layers.Embedding(SCORES, UNITS, mask_zero=mask)
        self.add = layers.Add()

    def call(self, seq):
        seq = self.tokens(seq)
        x = tf.range(tf.shape(seq)[1])[tf.newaxis, :]
        return self.add([seq, self.positions(x)])


class CausalSelfAttention(layers.Layer):
    def __init__(self):
        super().__init__()
        self.mha, self.add, self.norm = (
            layers.MultiHeadAttention(2, 4),
            layers.Add(),
            layers.LayerNormalization(),
        )

    def call(self, x):
        return self.norm(self.add([x, self.mha(query=x, value=x, use_causal_mask=True)]))


class CrossAttention(layers.Layer):
    def __init__(self):
        super().__init__()
        self.mha, self.add, self.norm = (
            layers.MultiHeadAttention(2, 4),
            layers.Add(),
            layers.LayerNormalization(),
        )

    def call(self, x, y, **keywords):
        attention, scores = self.mha(query=x, value=y, return_attention_scores=True)
        self.last_attention_scores = scores
        return self.norm(self.add([x, attention]))


class FeedForward(layers.Layer):
    def __init__(self):
        super().__init__()
        self.seq = keras.Sequential(
            [layers.Dense(2 * UNITS, activation="relu"), layers.Dense(UNITS), layers.Dropout(0.1)]
        )
        self.norm = layers.LayerNormalization()

    def call(self, x):
        return self.norm(x + self.seq(x))


class DecoderLayer(layers.Layer):
    def __init__(self):
        super().__init__()
        self.own, self.cross, self.ff = CausalSelfAttention(), CrossAttention(), FeedForward()

    def call(self, inputs, training=False):
        in_seq, out_seq = inputs
        out_seq = self.own(out_seq)
        out_seq = self.cross(out_seq, in_seq)
        self.last_attention_scores = self.cross.last_attention_scores
        return self.ff(out_seq)


class TokenOutput(layers.Layer):
    """Logits with a bias that bans some words."""

    def __init__(self):
        super().__init__()
        self.dense, self.bias = layers.Dense(SCORES), None

    def adapt(self, counts):
        bias = np.log(counts / counts.sum() + 1e-9)
        bias[0] = -1e9
        self.bias = bias

    def call(self, x):
        return self.dense(x) + self.bias


class Captioner(keras.Model):
    """``call(inputs)`` of the image, or of its features, and the words."""

    def __init__(self, mask):
        super().__init__()
        self.feature_extractor, self.seq_embedding = cnn(name="own_cnn"), SeqEmbedding(mask)
        self.decoder_layers = [DecoderLayer() for _ in range(2)]
        self.output_layer = TokenOutput()
        self.output_layer.adapt(np.arange(1.0, SCORES + 1))

    def call(self, inputs):
        image, txt = inputs
        if image.shape[-1] == 3:
            image = self.feature_extractor(image)
        image = tf.reshape(image, (tf.shape(image)[0], -1, CHANNELS))
        txt = self.seq_embedding(txt)
        for layer in self.decoder_layers:
            txt = layer(inputs=(image, txt))
        return self.output_layer(txt)


def tutorial(mask=True, **more):
    model = Captioner(mask)

    def predict(pixels, prefix):
        return tf.nn.softmax(model((pixels, repeated(prefix, len(pixels))))).numpy()[:, -1]

    predict(BLANK, [START])
    seeded(model)
    return Own({"model": model, "image_size": SIDE, "name": "tutorial", **more}, predict)


class KerasEncoderBlock(layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(1, UNITS, dropout=0.0)
        self.norm_1, self.norm_2 = layers.LayerNormalization(), layers.LayerNormalization()
        self.dense = layers.Dense(UNITS, activation="relu")

    def call(self, inputs, training, mask=None):
        inputs = self.dense(self.norm_1(inputs))
        found = self.attention(query=inputs, value=inputs, key=inputs, attention_mask=None, training=training)
        return self.norm_2(inputs + found)


class KerasEmbedding(layers.Layer):
    def __init__(self):
        super().__init__()
        self.tokens = layers.Embedding(SCORES, UNITS)
        self.positions = layers.Embedding(LENGTH, UNITS)
        self.scale = tf.math.sqrt(tf.cast(UNITS, tf.float32))

    def call(self, inputs):
        positions = tf.range(start=0, limit=tf.shape(inputs)[-1], delta=1)
        return self.tokens(inputs) * self.scale + self.positions(positions)

    def compute_mask(self, inputs, mask=None):
        return tf.math.not_equal(inputs, 0)


class KerasDecoderBlock(layers.Layer):
    """Keras' example: the mask of the words is an argument, and combined with the causal one."""

    def __init__(self):
        super().__init__()
        self.attention_1 = layers.MultiHeadAttention(2, UNITS, dropout=0.1)
        self.attention_2 = layers.MultiHeadAttention(2, UNITS, dropout=0.1)
        self.ffn_1, self.ffn_2 = layers.Dense(9, activation="relu"), layers.Dense(UNITS)
        self.norms = [layers.LayerNormalization() for _ in range(3)]
        self.embedding, self.out = KerasEmbedding(), layers.Dense(SCORES, activation="softmax")
        self.dropout_1, self.dropout_2 = layers.Dropout(0.3), layers.Dropout(0.5)
        self.supports_masking = True

    def call(self, inputs, encoder_outputs, training, mask=None):
        inputs = self.embedding(inputs)
        causal_mask = self.get_causal_attention_mask(inputs)
        padding_mask, combined_mask = None, causal_mask
        if mask is not None:
            padding_mask = tf.cast(mask[:, :, tf.newaxis], dtype=tf.int32)
            combined_mask = tf.cast(mask[:, tf.newaxis, :], dtype=tf.int32)
            combined_mask = tf.minimum(combined_mask, causal_mask)
        first = self.attention_1(
            query=inputs, value=inputs, key=inputs, attention_mask=combined_mask, training=training
        )
        out_1 = self.norms[0](inputs + first)
        second = self.attention_2(
            query=out_1, value=encoder_outputs, key=encoder_outputs, attention_mask=padding_mask,
            training=training,
        )  # fmt: skip
        out_2 = self.norms[1](out_1 + second)
        ffn = self.dropout_1(self.ffn_1(out_2), training=training)
        ffn = self.norms[2](self.ffn_2(ffn) + out_2, training=training)
        return self.out(self.dropout_2(ffn, training=training))

    def get_causal_attention_mask(self, inputs):
        input_shape = tf.shape(inputs)
        batch_size, sequence_length = input_shape[0], input_shape[1]
        i, j = tf.range(sequence_length)[:, tf.newaxis], tf.range(sequence_length)
        mask = tf.reshape(tf.cast(i >= j, dtype="int32"), (1, input_shape[1], input_shape[1]))
        mult = tf.concat([tf.expand_dims(batch_size, -1), tf.constant([1, 1], dtype=tf.int32)], axis=0)
        return tf.tile(mask, mult)


class ImageCaptioningModel(keras.Model):
    """Keras' example holds its parts, and calls them in its own steps of training."""

    def __init__(self):
        super().__init__()
        self.cnn_model, self.encoder, self.decoder = (
            cnn(tokens=True),
            KerasEncoderBlock(),
            KerasDecoderBlock(),
        )


def keras_example(mask=True):
    whole = ImageCaptioningModel()

    def encoder(image):
        return whole.encoder(whole.cnn_model(image), training=False)

    def decoder(features, words):
        given = tf.math.not_equal(words, 0) if mask else None
        return whole.decoder(words, features, training=False, mask=given)

    def predict(pixels, prefix):
        words = tf.constant(padded(prefix, len(pixels), before=False))
        return decoder(encoder(pixels), words).numpy()[:, len(prefix) - 1]

    predict(BLANK, [START])
    seeded(whole.cnn_model, whole.encoder, whole.decoder)
    arguments = {"encoder": encoder, "decoder": decoder, "image_size": SIDE, "length": LENGTH}
    return Own({**arguments, "name": "keras example"}, predict)


def masks(words):
    """The look-ahead mask and the padding mask of the Transformer tutorial: 1 is hidden."""
    size = tf.shape(words)[1]
    ahead = 1 - tf.linalg.band_part(tf.ones((size, size)), -1, 0)
    padding = tf.cast(tf.math.equal(words, 0), tf.float32)[:, tf.newaxis, tf.newaxis, :]
    return tf.maximum(padding, ahead)


class HandMadeAttention(layers.Layer):
    """Multi-head attention by hand, from the Transformer tutorial."""

    def __init__(self, heads=2):
        super().__init__()
        self.heads, self.depth = heads, UNITS // heads
        self.wq, self.wk, self.wv, self.dense = (layers.Dense(UNITS) for _ in range(4))

    def split_heads(self, x, batch_size):
        x = tf.reshape(x, (batch_size, -1, self.heads, self.depth))
        return tf.transpose(x, perm=[0, 2, 1, 3])

    def call(self, v, k, q, mask=None):
        batch_size = tf.shape(q)[0]
        q = self.split_heads(self.wq(q), batch_size)
        k = self.split_heads(self.wk(k), batch_size)
        v = self.split_heads(self.wv(v), batch_size)
        logits = tf.matmul(q, k, transpose_b=True) / tf.math.sqrt(tf.cast(tf.shape(k)[-1], tf.float32))
        if mask is not None:
            logits += mask * -1e9
        weights = tf.nn.softmax(logits, axis=-1)
        x = tf.transpose(tf.matmul(weights, v), perm=[0, 2, 1, 3])
        return self.dense(tf.reshape(x, (batch_size, -1, UNITS))), weights


class HandMadeDecoder(keras.Model):
    """``call(x, enc_output, training, look_ahead_mask)`` of the Transformer tutorial."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(SCORES, UNITS)
        angles = np.arange(40)[:, None] / 10 ** (np.arange(UNITS) / 4)
        self.pos_encoding = tf.cast(np.sin(angles)[np.newaxis, ...], tf.float32)
        self.mha1, self.mha2 = HandMadeAttention(), HandMadeAttention()
        self.ffn = keras.Sequential([layers.Dense(12, activation="relu"), layers.Dense(UNITS)])
        self.norm1, self.norm2 = layers.LayerNormalization(epsilon=1e-6), layers.LayerNormalization()
        self.final_layer = layers.Dense(SCORES)

    def call(self, x, enc_output, training, look_ahead_mask):
        seq_len = tf.shape(x)[1]
        x = self.embedding(x) * tf.math.sqrt(tf.cast(UNITS, tf.float32))
        x += self.pos_encoding[:, :seq_len, :]
        attn1, _ = self.mha1(x, x, x, look_ahead_mask)
        out1 = self.norm1(attn1 + x)
        attn2, weights = self.mha2(enc_output, enc_output, out1, None)
        return self.final_layer(self.norm2(out1 + self.ffn(attn2 + out1))), {"block2": weights}


def hand_made():
    network, decoder = cnn(tokens=True), HandMadeDecoder()

    def decode(features, words):
        return decoder(words, features, training=False, look_ahead_mask=masks(words))[0]

    def predict(pixels, prefix):
        words = tf.constant(repeated(prefix, len(pixels)))
        return tf.nn.softmax(decode(network(pixels), words)).numpy()[:, -1]

    predict(BLANK, [START])
    seeded(network, decoder)
    return Own({"encoder": network, "decoder": decode, "name": "hand made"}, predict)


PUBLISHED = {
    "tutorial by steps": tutorial_by_steps,
    "step function": step_function,
    "tutorial, masks": tutorial,
    "tutorial, no masks": lambda: tutorial(mask=False),
    "tutorial, length": lambda: tutorial(length=LENGTH, padding="post"),
    "Keras' example": lambda: keras_example(mask=False),
    "Keras' example, masks": keras_example,
    "hand made": hand_made,
}
