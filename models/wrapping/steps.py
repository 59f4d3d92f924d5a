"""Run a decoder that is called word by word with a state, and unroll it over a caption."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops, tree

from gazeback.models.caption_generator import NO_WORD, Reading
from gazeback.models.errors import ModelError
from gazeback.models.language_half import State
from gazeback.models.wrapping.graphs import Subgraph
from gazeback.models.wrapping.joining import scores_of
from gazeback.models.wrapping.opening import name_of, opened, uncallable
from gazeback.models.wrapping.prediction import Prediction
from gazeback.models.wrapping.stages import Stage, Stages
from gazeback.models.wrapping.tokenizers import TokenizerWords

INITIAL_STATES = ("reset_state", "reset_states", "get_initial_state", "initial_state", "init_state")
"""Methods of a decoder that people give the number of images to get a state of zeros."""


@dataclass(frozen=True, eq=False)
class StepModels:
    """A step function as two functional models: of word and features, and of word, features and state.

    Attributes:
        first: what it does without a state; ``onward``: with one. Both return the scores, then the state.
        word_axis: a word is read as ``[n, 1]``, not as ``[n]``.
    """

    first: keras.Model
    onward: keras.Model
    word_axis: bool

    @classmethod
    def of(cls, step: Any, features: Any, words: int, batch: int | None, zeros: bool = False) -> StepModels:
        """Call a step function on symbolic tensors.

        Args:
            step: ``(word, features, state) -> (scores, state, ...)``.
            features: what the encoder makes of the image, one tensor or several in a structure.
            words: the number of words.
            batch: how many images, or None where the function does not ask for it.
            zeros: it cannot begin without a state: zeros of a size that its layers tell.

        Raises:
            ModelError: it does not run, or does not return scores of words and a state.
        """
        reasons: list[Exception] = []
        for word_axis in (False, True):
            for state in _zero_states(step) if zeros else [_no_state]:
                try:
                    return cls._called(step, features, words, batch, word_axis, state)
                except Exception as error:  # a foreign function raises nearly anything
                    reasons.append(error)
        if not reasons:
            raise ModelError(f"step {name_of(step)!r}: nothing tells the size of its first state")
        telling = next((error for error in reasons if isinstance(error, ModelError)), None)
        raise telling or ModelError(uncallable(name_of(step), "a word, the features and a state", reasons))

    @classmethod
    def _called(
        cls,
        step: Any,
        features: Any,
        words: int,
        batch: int | None,
        word_axis: bool,
        state: Callable[[Any], Any],
    ) -> StepModels:
        shape = (1,) if word_axis else ()
        word = keras.Input(shape, batch_size=batch, dtype="int32", name="word")
        seen = tree.map_structure(
            lambda x: keras.Input(x.shape[1:], batch_size=batch, dtype=x.dtype), features
        )
        inputs = [word, *tree.flatten(seen)]
        scores, after = _split(opened(step, word, seen, state(word)), words, step)
        first = keras.Model(inputs, [scores, *tree.flatten(after)], name="first_step")
        before = tree.map_structure(
            lambda x: keras.Input(batch_shape=(batch, *x.shape[1:]), dtype=x.dtype), after
        )
        scores, again = _split(opened(step, word, seen, before), words, step)
        if [x.shape for x in tree.flatten(again)] != [x.shape for x in tree.flatten(after)]:
            raise ModelError(
                f"step {name_of(step)!r} returns a state of other shapes than it is given; expected the same"
            )
        onward = keras.Model(
            [*inputs, *tree.flatten(before)], [scores, *tree.flatten(again)], name="onward_step"
        )
        return cls(first, onward, word_axis)

    @classmethod
    def stored(cls, whole: keras.Model, features: int, states: int) -> StepModels:
        """Those in a model that :meth:`StepReader.stored` made, of so many features and states."""
        begin, after = features, features + 1 + states
        first = keras.Model(whole.inputs[1 : 2 + features], whole.outputs[begin:after], name="first_step")
        onward = keras.Model(whole.inputs[1:], whole.outputs[after:], name="onward_step")
        return cls(first, onward, len(whole.inputs[1].shape) == 2)

    def unrolled(self, image: Any, features: Any, length: int) -> keras.Model:
        """The captioner for captions of one length: image and words ``[n, length]`` to one output per word.

        Args:
            image, features: symbolic, of the encoder.
        """
        words = keras.Input((length,), batch_size=image.shape[0], dtype="int32", name="words")
        outputs, state = [], None
        for t in range(length):
            word = words[:, t : t + 1] if self.word_axis else words[:, t]
            read = [word, *tree.flatten(features)]
            scores, *state = self.first(read) if state is None else self.onward([*read, *state])
            outputs.append(scores)
        return keras.Model([image, words], outputs, name="captioner")


def _no_state(word: Any) -> None:
    return None


def _zero_states(step: Any) -> Iterator[Callable[[Any], Any]]:
    """The initial states of zeros to try, each as a function of the word."""
    owner = getattr(step, "__self__", step)
    for name in INITIAL_STATES:
        method = getattr(owner, name, None)
        if callable(method):
            yield partial(_zeros_like, method)
    for layer in _recurrent_layers(owner):
        yield partial(_zeros_of, layer)


def _zeros_of(layer: Any, word: Any) -> Any:
    return tree.map_structure(lambda units: _zeros(word, (units,)), layer.state_size)


def _zeros_like(method: Callable[..., Any], word: Any) -> Any:
    return tree.map_structure(lambda x: _zeros(word, x.shape[1:]), _of_one(method))


def _of_one(method: Callable[..., Any]) -> Any:
    """A decoder's state for one image."""
    try:
        return method(batch_size=1)
    except TypeError:
        return method(1) if inspect.signature(method).parameters else method()


def _recurrent_layers(owner: Any) -> list[Any]:
    """The recurrent layers and cells that a function or layer uses."""
    closure = inspect.getclosurevars(owner) if inspect.isfunction(owner) else None
    known = [owner] if closure is None else [*closure.nonlocals.values(), *closure.globals.values()]
    held = [x for x in known if isinstance(x, keras.Layer)]
    layers = [layer for x in held for layer in x._flatten_layers()]
    return [layer for layer in layers if hasattr(layer, "state_size")]


def _zeros(word: Any, shape: Sequence[int]) -> Any:
    """Zeros ``[n, ...]`` for as many images as there are words."""
    zeros = ops.cast(ops.zeros_like(ops.reshape(word, (-1, *[1] * len(shape)))), "float32")
    return ops.tile(zeros, (1, *shape))


def _split(found: Any, words: int, step: Any) -> tuple[Any, Any]:
    """Split the result of a step into the scores and the state."""
    if not isinstance(found, list | tuple) or len(found) < 2:
        raise ModelError(
            f"step {name_of(step)!r}: expected (scores, state), it returns a {type(found).__name__}"
        )
    scores = scores_of([found[0]], words, name_of(step))
    if len(scores.shape) == 3 and scores.shape[1] != 1:
        raise ModelError(
            f"step {name_of(step)!r}: expected scores of one word [n, words], got {[*scores.shape]}"
        )
    state = tree.map_structure(lambda x: x, found[1])
    if isinstance(state, KerasTensor):
        # A state of several tensors may come apart, as an LSTM's does.
        alike = [x for x in found[1:] if isinstance(x, KerasTensor) and x.shape == state.shape]
        state = alike if len(alike) > 1 else state
    if not all(isinstance(x, KerasTensor) for x in tree.flatten(state)):
        raise ModelError(f"step {name_of(step)!r}: expected a state of tensors, got {found[1]!r}")
    return scores, state


@dataclass(frozen=True, eq=False)
class StepReader:
    """A captioner that reads one word at a time and has a state.

    Attributes:
        image, features: symbolic, of the encoder.
        traced: the same for the images that are traced: one where the function asks how many there are.
        build: the step's models for a number of images, None for any number; None where there are only those
        for one image.
        models: those that are traced; ``sized``: they are for one image, as the function asks how many there
        are. stages: the encoder in parts.
        prediction: whether its scores are probabilities; ``words``: its words.
    """

    image: Any
    features: Any
    traced: tuple[Any, Any]
    build: Callable[..., StepModels] | None
    models: StepModels
    sized: bool
    stages: Stages
    prediction: Prediction
    words: TokenizerWords
    _unrolled: dict[int, keras.Model] = field(default_factory=dict, init=False, repr=False)
    _compiled: dict[tuple[str, int | None], Stage] = field(default_factory=dict, init=False, repr=False)

    def start(self, features: np.ndarray) -> State:
        """The state before the first word; ``features``: maps ``[n, h, w, C]``."""
        return tuple(self.stages.digest(np.asarray(features, np.float32)))

    def step(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        """Read one word per row, int ``[n]``; return log p(next word) ``[n, V]`` and the new state."""
        scores, after = self.scores(state, words)
        return self.prediction.log_probabilities(scores), after

    def scores(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        """As :meth:`step`, with the decoder's scores instead of log-probabilities."""
        word = np.asarray(words, np.int32)
        if self.build is None and len(word) > 1:
            return self._one_by_one(state, word)
        word = word[:, None] if self.models.word_axis else word
        seen = len(tree.flatten(self.features))
        which = "onward" if len(state) > seen else "first"
        scores, *after = self._stage(which, len(word) if self.sized else None)(word, *state)
        return scores.reshape(len(word), -1), (*state[:seen], *after)

    def _one_by_one(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        found = [self.scores(tuple(x[i : i + 1] for x in state), words[i : i + 1]) for i in range(len(words))]
        states = zip(*(after for _, after in found), strict=True)
        return np.concatenate([scores for scores, _ in found]), tuple(np.concatenate(x) for x in states)

    def _stage(self, which: str, batch: int | None) -> Stage:
        if (which, batch) not in self._compiled:
            models = self.models
            if self.build is not None and batch not in (None, 1):
                models = self.build(batch=batch)
            model = getattr(models, which)
            self._compiled[which, batch] = Stage([Subgraph(model.inputs, model.outputs)])
        return self._compiled[which, batch]

    def all_steps(self, features: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log p(next word) after each of the words ``[n, T]`` (start first): ``[n, T, V]``."""
        state, found = self.start(features), []
        for t in range(words.shape[1]):
            log_p, state = self.step(state, words[:, t])
            found.append(log_p)
        return np.stack(found, axis=1)

    def unrolled(self, length: int) -> keras.Model:
        """The captioner for captions of one length, made once."""
        if length not in self._unrolled:
            self._unrolled[length] = self.models.unrolled(*self.traced, length)
        return self._unrolled[length]

    def readings(self, ids: Sequence[int]) -> list[Reading]:
        """The caption unrolled: output j has read the start word and the words before word j."""
        length = len(ids)
        words = np.array([[self.words.start, *ids[:-1]]], np.int32)
        columns = np.arange(NO_WORD, length - 1)[None]
        every = tuple(range(length))
        # Scores with an axis of one step, [n, 1, V], keep it.
        axis = [0] * (len(self.models.first.outputs[0].shape) - 2)
        neurons = np.array([[*axis, number] for number in ids])
        return [Reading(self.unrolled(length), words, columns, every, neurons, every)]

    def stored(self) -> tuple[keras.Model, dict[str, Any]]:
        """The encoder and the step's models as one, in which no layer stands twice; and its counts."""
        first, onward, features = self.models.first, self.models.onward, tree.flatten(self.features)
        outputs = [*features, *first.outputs, *onward.outputs]
        whole = keras.Model([self.image, *onward.inputs], outputs, name="captioner")
        states = len(first.outputs) - 1
        return whole, {"features": len(features), "states": states, "sized": self.sized}

    def trial(self, features: np.ndarray, words: Sequence[int]) -> np.ndarray:
        """The scores after some words, ``[n, V]``; ``features``: maps ``[n, h, w, C]``."""
        state = self.start(features)
        for word in words:
            scores, state = self.scores(state, np.full(len(features), word))
        return scores
