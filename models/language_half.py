"""The language half of a captioner, one word at a time: log p(next word | picture, words so far).

Beam search needs many short steps on few rows, where a compiled graph's overhead would exceed the
arithmetic. The layers of ``show_and_tell`` are therefore repeated here in NumPy. A captioner with other
layers is run through Keras again for every prefix: slower, same numbers.
"""

from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
from threadpoolctl import ThreadpoolController

from gazeback.models import show_and_tell
from gazeback.models.wrapping.graphs import Subgraph

State = tuple[np.ndarray, ...]

# The products of one step are small: several threads would mostly wait for each other.
one_thread = ThreadpoolController().wrap(limits=1, user_api="blas")


class LanguageHalf(Protocol):
    """The interface that beam search uses. A state is a tuple of arrays whose first axis is the rows."""

    def start(self, features: np.ndarray) -> State:
        """The state after the image step; ``features``: maps ``[n, h, w, C]`` or pooled vectors ``[n,
        C]``.
        """
        ...

    def step(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        """Read one word per row, int ``[n]``; return log p(next word) ``[n, V]`` and the new state."""
        ...


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis, safe against overflow."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def pooled(features: np.ndarray) -> np.ndarray:
    """Average maps ``[n, h, w, C]`` over height and width; return pooled vectors ``[n, C]`` unchanged."""
    features = np.asarray(features, np.float32)
    if features.ndim not in (2, 4):
        raise ValueError(
            f"expected feature maps [n, h, w, C] or pooled vectors [n, C], got shape {features.shape}"
        )
    return features.mean(axis=(1, 2)) if features.ndim == 4 else features


@dataclass(frozen=True)
class ShowAndTellSteps:
    """The layers of ``show_and_tell`` after the last map, as arrays. C features, E embedding, H units, V
    words.
    """

    image_weights: np.ndarray  # [C, E], batch normalisation folded in
    image_bias: np.ndarray  # [E]
    beside: tuple[np.ndarray, np.ndarray] | None  # [C, H] and [H]; None if the photo is shown only once
    embedding: np.ndarray  # [V, E]
    input_weights: np.ndarray  # [E, 4H], gates in Keras' order: input, forget, cell, output
    state_weights: np.ndarray  # [H, 4H]
    bias: np.ndarray  # [4H]
    word_weights: np.ndarray  # [H, V]
    word_bias: np.ndarray  # [V]

    @classmethod
    def of(cls, model: keras.Model) -> "ShowAndTellSteps | None":
        """Read the arrays from a captioner built by ``show_and_tell.build``; None if its layers are
        others.
        """
        by_name = {layer.name: layer for layer in model.layers}
        if not _is_show_and_tell(by_name):
            return None

        def weights_of(name: str) -> list[np.ndarray]:
            return by_name[name].get_weights()

        weights, bias = weights_of(show_and_tell.IMAGE_EMBEDDING)
        gamma, beta, mean, variance = weights_of(show_and_tell.IMAGE_SCALE)
        scale = gamma / np.sqrt(variance + by_name[show_and_tell.IMAGE_SCALE].epsilon)
        beside = weights_of(show_and_tell.BESIDE) if show_and_tell.at_every_word(model) else None
        return cls(
            weights * scale,
            (bias - mean) * scale + beta,
            None if beside is None else (beside[0], beside[1]),
            *weights_of(show_and_tell.WORD_EMBEDDING),
            *weights_of(show_and_tell.LSTM),
            *weights_of(show_and_tell.WORD_LOGITS),
        )

    def start(self, features: np.ndarray) -> State:
        features = pooled(features)
        image = features @ self.image_weights + self.image_bias
        nothing = np.zeros((len(image), self.state_weights.shape[0]), np.float32)
        state = self._lstm(image, nothing, nothing)
        if self.beside is None:
            return state
        weights, bias = self.beside
        return (*state, image, features @ weights + bias)

    @one_thread
    def step(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        said, state = self._say(state, words)
        return log_softmax(said @ self.word_weights + self.word_bias), state

    @one_thread
    def all_steps(self, features: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log p(next word) after each of the words ``[n, T]``: ``[n, T, V]``."""
        state, all_said = self.start(features), []
        for step in range(words.shape[1]):
            said, state = self._say(state, words[:, step])
            all_said.append(said)
        return log_softmax(np.stack(all_said, axis=1) @ self.word_weights + self.word_bias)

    def _say(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        """Read one word per row; return the word layer's input ``[n, H]`` and the new state."""
        embedded = self.embedding[words]
        if self.beside is None:
            hidden, cell = self._lstm(embedded, *state)
            return hidden, (hidden, cell)
        hidden, cell, image, beside = state
        hidden, cell = self._lstm(embedded + image, hidden, cell)
        return hidden + beside, (hidden, cell, image, beside)

    def _lstm(self, x: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> State:
        gates = x @ self.input_weights + hidden @ self.state_weights + self.bias
        i, f, g, o = np.split(gates, 4, axis=1)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(cell), cell


def _is_show_and_tell(by_name: dict[str, keras.layers.Layer]) -> bool:
    """Whether the layers have the kinds and settings that ``ShowAndTellSteps`` repeats, in that order."""
    dense = [show_and_tell.IMAGE_EMBEDDING, show_and_tell.WORD_LOGITS]
    dense += [show_and_tell.BESIDE] if show_and_tell.BESIDE in by_name else []
    kinds: dict[str, type[keras.layers.Layer]] = {
        show_and_tell.POOL: keras.layers.GlobalAveragePooling2D,
        show_and_tell.IMAGE_SCALE: keras.layers.BatchNormalization,
        show_and_tell.WORD_EMBEDDING: keras.layers.Embedding,
        show_and_tell.LSTM: keras.layers.LSTM,
    }
    kinds |= dict.fromkeys(dense, keras.layers.Dense)
    if not all(isinstance(by_name.get(name), kind) for name, kind in kinds.items()):
        return False
    lstm = by_name[show_and_tell.LSTM]
    return (
        all(by_name[name].activation is keras.activations.linear for name in dense)
        and lstm.activation is keras.activations.tanh
        and lstm.recurrent_activation is keras.activations.sigmoid
        and lstm.use_bias
        and not lstm.go_backwards
        and not by_name[show_and_tell.WORD_EMBEDDING].mask_zero
    )


class PrefixSteps:
    """Steps of any other captioner: at every step the whole prefix runs through the layers after the last
    map.
    """

    def __init__(self, model: keras.Model, features_layer: str) -> None:
        maps = model.get_layer(features_layer).output
        self._map_size = [side or 1 for side in maps.shape[1:3]]
        self._half = Subgraph([maps, model.inputs[1]], [model.output])

    def start(self, features: np.ndarray) -> State:
        maps = self._maps(features)
        return maps, np.zeros((len(maps), 0), np.int32)

    def step(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        maps, prefix = state
        prefix = np.concatenate([prefix, np.asarray(words, np.int32)[:, None]], axis=1)
        return self.all_steps(maps, prefix)[:, -1], (maps, prefix)

    def all_steps(self, features: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log p(next word) after each of the words ``[n, T]``: ``[n, T, V]``."""
        (logits,) = self._half(
            [keras.ops.convert_to_tensor(self._maps(features)), keras.ops.convert_to_tensor(words)]
        )
        return log_softmax(keras.ops.convert_to_numpy(logits))[:, 1:]

    def _maps(self, features: np.ndarray) -> np.ndarray:
        """Turn pooled vectors into maps that are constant over height and width."""
        features = np.asarray(features, np.float32)
        if features.ndim == 2:
            features = np.tile(features[:, None, None, :], (1, *self._map_size, 1))
        return features
