"""Eleven kinds of captioner as people publish them for Keras, each as its author would have it.

Every function trains one on captions of drawn scenes and returns what the author passes to `wrap_captioner`.
All look through one frozen encoder; what differs is how the words get to see it.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from zoo.encoder import preprocess
from zoo.scenes import INDEX, LENGTH, PAD, SIDE, WORDS, Scene, encoded

VOCABULARY = len(WORDS)
UNITS = 96
BATCH = 64


class Lesson:
    """What captioners learn from: the maps ``[n, 8, 8, 64]`` and the captions' numbers ``[n, LENGTH]``.

    ``effort``: the fraction of its usual epochs for which each is trained.
    """

    def __init__(self, encoder: keras.Model, training: list[Scene], effort: float = 1.0) -> None:
        self.encoder, self.effort = encoder, effort
        pixels = preprocess(np.stack([scene.pixels for scene in training]))
        self.maps = np.asarray(encoder.predict(pixels, batch_size=256, verbose=0))
        self.captions = np.array([encoded(scene) for scene in training], np.int32)
        self.pixels = np.stack([scene.pixels for scene in training[:200]])

    @property
    def sequences(self) -> tuple[np.ndarray, np.ndarray]:
        """The words that are read and the words that follow them: int32 ``[n, LENGTH - 1]`` each."""
        return self.captions[:, :-1], self.captions[:, 1:]

    def prefixes(self, padding: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each photo's number, every beginning of its caption padded to LENGTH, and the word after it.

        Half of the photos are enough, as each has eight beginnings.
        """
        captions = self.captions[: (len(self.captions) + 1) // 2]
        n, length = captions.shape
        rows = np.zeros((n, length - 1, LENGTH), np.int32)
        for end in range(1, length):
            place = slice(LENGTH - end, None) if padding == "pre" else slice(0, end)
            rows[:, end - 1, place] = captions[:, :end]
        photos = np.repeat(np.arange(n), length - 1)
        return photos, rows.reshape(-1, LENGTH), captions[:, 1:].ravel()

    def wrapped(self, **parts: Any) -> dict[str, Any]:
        """What every author passes, with their own parts."""
        return {
            "preprocess": preprocess,
            "image_size": (SIDE, SIDE),
            "tokenizer": INDEX,
            "start": "startseq",
            "end": "endseq",
            "unknown": "unk",
            "pad": INDEX[PAD],
            "mean": self.pixels,
            **parts,
        }


def _fit_next_word(decoder: keras.Model, lesson: Lesson, pooled: bool, padding: str, epochs: int) -> None:
    photos, prefixes, following = lesson.prefixes(padding)
    seen = lesson.maps.mean(axis=(1, 2)) if pooled else lesson.maps
    decoder.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    decoder.fit([seen[photos], prefixes], following, 256, round(lesson.effort * epochs), verbose=0)


def _merge(
    lesson: Lesson, language: Callable[[keras.KerasTensor], keras.KerasTensor], padding: str, epochs: int
) -> dict[str, Any]:
    """Tanti et al. 2017, as many tutorials have it: the photo's vector is added to what a reader of the words
    says; the answer is the next word, a softmax.
    """
    photo = keras.Input((lesson.maps.shape[-1],), name="photo")
    of_photo = layers.Dense(UNITS, activation="relu")(layers.Dropout(0.1)(photo))
    words = keras.Input((LENGTH,), name="text")
    of_words = language(layers.Embedding(VOCABULARY, 48, mask_zero=True)(words))
    together = layers.Dense(UNITS, activation="relu")(layers.add([of_photo, of_words]))
    decoder = keras.Model([photo, words], layers.Dense(VOCABULARY, activation="softmax")(together))
    _fit_next_word(decoder, lesson, True, padding, epochs)
    vectors = keras.Model(
        lesson.encoder.input, layers.GlobalAveragePooling2D()(lesson.encoder.output), name="vectors"
    )
    return lesson.wrapped(encoder=vectors, decoder=decoder, padding=padding, length=LENGTH)


def merge(lesson: Lesson) -> dict[str, Any]:
    return _merge(lesson, layers.LSTM(UNITS), "pre", 8)


def merge_bilstm(lesson: Lesson) -> dict[str, Any]:
    return _merge(lesson, layers.Bidirectional(layers.LSTM(UNITS // 2)), "post", 8)


def merge_two_lstms(lesson: Lesson) -> dict[str, Any]:
    first, second = layers.LSTM(UNITS, return_sequences=True), layers.LSTM(UNITS)
    return _merge(lesson, lambda words: second(first(words)), "pre", 14)


def merge_gru(lesson: Lesson) -> dict[str, Any]:
    return _merge(lesson, layers.GRU(UNITS), "post", 8)


def _fit_sequences(model: keras.Model, lesson: Lesson, seen: np.ndarray, logits: bool, epochs: int) -> None:
    read, following = lesson.sequences
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=logits))
    model.fit([seen, read], following, BATCH, round(lesson.effort * epochs), verbose=0)


def _joined(lesson: Lesson, decoder: keras.Model) -> keras.Model:
    """Encoder and decoder as one model of a picture and words, as it is saved for use."""
    picture, words = keras.Input((SIDE, SIDE, 3), name="picture"), keras.Input((None,), name="sentence")
    return keras.Model([picture, words], decoder([lesson.encoder(picture), words]))


def par_inject(lesson: Lesson) -> dict[str, Any]:
    """The photo's vector beside every word that the LSTM reads; all words at once; one joined model."""
    features, words = keras.Input(lesson.maps.shape[1:]), keras.Input((None,))
    photo = layers.Dense(48, activation="tanh")(layers.GlobalAveragePooling2D()(features))
    embedded = layers.Embedding(VOCABULARY, 48)(words)
    beside = ops.zeros_like(embedded) + photo[:, None]
    hidden = layers.LSTM(UNITS, return_sequences=True)(layers.Concatenate()([beside, embedded]))
    answer = layers.TimeDistributed(layers.Dense(VOCABULARY, activation="softmax"))(hidden)
    decoder = keras.Model([features, words], answer)
    _fit_sequences(decoder, lesson, lesson.maps, False, 12)
    return lesson.wrapped(model=_joined(lesson, decoder))


def init_inject(lesson: Lesson) -> dict[str, Any]:
    """The photo sets the LSTM's first state; logits."""
    features, words = keras.Input(lesson.maps.shape[1:]), keras.Input((None,))
    photo = layers.GlobalAveragePooling2D()(features)
    state = [layers.Dense(UNITS, activation="tanh")(photo) for _ in range(2)]
    embedded = layers.Embedding(VOCABULARY, 48, mask_zero=True)(words)
    hidden = layers.LSTM(UNITS, return_sequences=True)(embedded, initial_state=state)
    decoder = keras.Model([features, words], layers.Dense(VOCABULARY)(hidden))
    _fit_sequences(decoder, lesson, lesson.maps, True, 20)
    return lesson.wrapped(encoder=lesson.encoder, decoder=decoder)


def pre_inject(lesson: Lesson) -> dict[str, Any]:
    """Show and Tell (Vinyals et al. 2015): the photo is the first word, the first answer unused."""
    features, words = keras.Input(lesson.maps.shape[1:]), keras.Input((None,))
    photo = layers.Dense(48)(layers.GlobalAveragePooling2D()(features))
    steps = layers.Concatenate(axis=1)([photo[:, None], layers.Embedding(VOCABULARY, 48)(words)])
    hidden = layers.LSTM(UNITS, return_sequences=True)(steps)
    logits = layers.Dense(VOCABULARY)(hidden)
    learner = keras.Model([features, words], logits[:, 1:])
    _fit_sequences(learner, lesson, lesson.maps, True, 24)
    return lesson.wrapped(model=_joined(lesson, keras.Model([features, words], logits)))


def additive_attention(lesson: Lesson) -> dict[str, Any]:
    """The LSTM's output looks at the map's places through Keras' own AdditiveAttention; a softmax layer."""
    features, words = keras.Input(lesson.maps.shape[1:]), keras.Input((None,))
    places = layers.Dense(UNITS, activation="relu")(layers.Reshape((-1, lesson.maps.shape[-1]))(features))
    hidden = layers.LSTM(UNITS, return_sequences=True)(layers.Embedding(VOCABULARY, 48)(words))
    context = layers.AdditiveAttention()([hidden, places])
    together = layers.Dense(UNITS, activation="relu")(layers.Concatenate()([context, hidden]))
    answer = layers.Softmax()(layers.Dense(VOCABULARY)(together))
    decoder = keras.Model([features, words], answer)
    _fit_sequences(decoder, lesson, lesson.maps, False, 12)
    return lesson.wrapped(encoder=lesson.encoder, decoder=decoder)


class Bahdanau(keras.Model):
    """One step of Xu et al. 2015 as TensorFlow's older tutorial has it: attention, then a GRU cell."""

    def __init__(self) -> None:
        super().__init__()
        self.places = layers.Dense(UNITS, activation="relu")
        self.of_places, self.of_state, self.score = layers.Dense(64), layers.Dense(64), layers.Dense(1)
        self.embedding, self.gru = layers.Embedding(VOCABULARY, 48), layers.GRUCell(UNITS)
        self.hidden, self.words = layers.Dense(UNITS, activation="relu"), layers.Dense(VOCABULARY)

    def call(self, inputs: tuple[Any, Any, Any]) -> tuple[Any, Any]:
        """Words ``[n]``, maps and the state ``[n, UNITS]`` to logits ``[n, V]`` and the next state."""
        word, maps, state = inputs
        places = self.places(ops.reshape(maps, (-1, 64, 64)))
        energy = self.score(ops.tanh(self.of_places(places) + self.of_state(state)[:, None]))
        context = ops.sum(ops.softmax(energy, axis=1) * places, axis=1)
        step, _ = self.gru(ops.concatenate([context, self.embedding(word)], axis=-1), [state])
        return self.words(self.hidden(ops.concatenate([step, context], axis=-1))), step


class Unrolled(keras.Model):
    """The steps one after another, to train on whole captions."""

    def __init__(self, step: Bahdanau) -> None:
        super().__init__()
        self.step = step

    def call(self, inputs: tuple[Any, Any]) -> Any:
        maps, words = inputs
        state, found = ops.zeros((ops.shape(maps)[0], UNITS)), []
        for place in range(LENGTH - 1):
            scores, state = self.step((words[:, place], maps, state))
            found.append(scores)
        return ops.stack(found, axis=1)


def bahdanau(lesson: Lesson) -> dict[str, Any]:
    """A decoder called step by step with a state."""
    step = Bahdanau()
    step((lesson.captions[:1, 0], lesson.maps[:1], np.zeros((1, UNITS), np.float32)))
    _fit_sequences(Unrolled(step), lesson, lesson.maps, True, 12)

    def one_step(word: Any, maps: Any, state: Any) -> tuple[Any, Any]:
        state = ops.zeros((ops.shape(maps)[0], UNITS)) if state is None else state
        return step((word, maps, state))

    return lesson.wrapped(encoder=lesson.encoder, step=one_step)


class TransformerEncoder(layers.Layer):
    """As in Keras' example of image captioning."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        self.before, self.after = layers.LayerNormalization(), layers.LayerNormalization()
        self.dense = layers.Dense(width, activation="relu")

    def call(self, inputs: Any) -> Any:
        x = self.dense(self.before(inputs))
        return self.after(x + self.attention(query=x, value=x, key=x))


class PositionalEmbedding(layers.Layer):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens, self.positions = layers.Embedding(VOCABULARY, width), layers.Embedding(LENGTH + 8, width)
        self.scale = width**0.5

    def call(self, inputs: Any) -> Any:
        places = ops.arange(0, ops.shape(inputs)[-1])
        return self.tokens(inputs) * self.scale + self.positions(places)


class TransformerDecoder(layers.Layer):
    """Self-attention over the words so far, cross-attention over the places, a feed-forward part."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attention = layers.MultiHeadAttention(heads, width // heads)
        self.cross_attention = layers.MultiHeadAttention(heads, width // heads)
        self.wide, self.narrow = layers.Dense(2 * width, activation="gelu"), layers.Dense(width)
        self.norms = [layers.LayerNormalization() for _ in range(3)]
        self.supports_masking = True

    def call(self, inputs: Any, encoded: Any) -> Any:
        x = self.norms[0](inputs + self.self_attention(inputs, inputs, inputs, use_causal_mask=True))
        x = self.norms[1](x + self.cross_attention(query=x, value=encoded, key=encoded))
        return self.norms[2](x + self.narrow(self.wide(x)))


class KerasTransformer(keras.Model):
    """Keras' example: an encoder block over the places, a decoder block over the words; softmax."""

    def __init__(self, cnn: keras.Model, width: int = 64) -> None:
        super().__init__()
        self.cnn, self.places = cnn, layers.Reshape((64, 64))
        self.encoder, self.decoder = TransformerEncoder(width, 2), TransformerDecoder(width, 4)
        self.embedding = PositionalEmbedding(width)
        self.out = layers.Dense(VOCABULARY, activation="softmax")

    def call(self, images: Any, words: Any) -> Any:
        return self.decode(self.cnn(images), words)

    def decode(self, maps: Any, words: Any) -> Any:
        return self.out(self.decoder(self.embedding(words), self.encoder(self.places(maps))))


class Half(keras.Model):
    """The part of a captioner behind its frozen encoder, to train it on maps."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.whole = whole

    def call(self, inputs: tuple[Any, Any]) -> Any:
        return self.whole.decode(*inputs)


def keras_transformer(lesson: Lesson) -> dict[str, Any]:
    """A subclassed model with ``call(images, words)``."""
    model = KerasTransformer(lesson.encoder)
    model(preprocess(lesson.pixels[:1]), lesson.captions[:1, :-1])
    _fit_sequences(Half(model), lesson, lesson.maps, False, 24)
    return lesson.wrapped(model=model)


class TensorFlowTutorial(keras.Model):
    """TensorFlow's tutorial: two decoder layers whose cross-attention sees the map's places; logits."""

    def __init__(self, cnn: keras.Model, width: int = 64) -> None:
        super().__init__()
        self.cnn, self.embedding = cnn, PositionalEmbedding(width)
        self.decoders = [TransformerDecoder(width, 2) for _ in range(2)]
        self.out = layers.Dense(VOCABULARY)

    def call(self, inputs: tuple[Any, Any]) -> Any:
        image, words = inputs
        return self.decode(self.cnn(image), words)

    def decode(self, maps: Any, words: Any) -> Any:
        places = ops.reshape(maps, (ops.shape(maps)[0], -1, maps.shape[-1]))
        x = self.embedding(words)
        for decoder in self.decoders:
            x = decoder(x, places)
        return self.out(x)


def tensorflow_tutorial(lesson: Lesson) -> dict[str, Any]:
    """A subclassed model with ``call(inputs)``."""
    model = TensorFlowTutorial(lesson.encoder)
    model((preprocess(lesson.pixels[:1]), lesson.captions[:1, :-1]))
    _fit_sequences(Half(model), lesson, lesson.maps, True, 24)
    return lesson.wrapped(model=model)


ZOO: dict[str, Callable[[Lesson], dict[str, Any]]] = {
    "merge": merge,
    "merge, BiLSTM": merge_bilstm,
    "merge, two LSTMs": merge_two_lstms,
    "merge, GRU": merge_gru,
    "par-inject": par_inject,
    "init-inject": init_inject,
    "pre-inject": pre_inject,
    "additive attention": additive_attention,
    "Bahdanau, step by step": bahdanau,
    "Keras' Transformer": keras_transformer,
    "TensorFlow's tutorial": tensorflow_tutorial,
}
