"""Fast versions of methods for the words of a caption: through the decoder alone, or with one pass of the
encoder.

The general version (:func:`gazeback.grounding.methods.explained_words`) runs the whole model for each word.
The methods of `SHORT_ROUTES` start from the last map, which is known. The maps of "activation" and "grad-cam"
agree with those of the general version up to a factor. The maps of "occlusion" differ by design: the score
is the log-probability.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.eval.baselines.autodiff import Watch, compiled, signals
from gazeback.eval.baselines.occlusion import SIZE, STRIDE, occluded, scaled, spread, windows
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.models.caption_generator import CaptionGenerator
from gazeback.models.captioner import Captioner
from gazeback.models.wrapping.graphs import Subgraph


@dataclass(frozen=True)
class Question:
    """A question: the pixels that some words of a caption came from.

    Attributes:
        image: float32 [size, size, 3] in 0..255.
        features: float32 [h, w, C], the last map for this image.
        word_ids: the whole caption without start and end.
        positions: the indices of the words, from 0.
    """

    image: np.ndarray
    features: np.ndarray
    word_ids: list[int]
    positions: list[int]

    def upsampled(self, maps: np.ndarray) -> np.ndarray:
        """Upsample maps [n, h, w] from the last map's resolution to the image's."""
        return upsampled(maps, *self.image.shape[:2])


Method = Callable[[Question], np.ndarray]
"""A method: from a question to maps float [n, size, size], non-negative, one per position."""


class GradCam:
    """Grad-CAM at a captioner's last map (Selvaraju et al., ICCV 2017, equations 1 and 2).

    The score of a word is its logit at its time step, before the softmax. The gradient passes only through
    the language half, which starts from the last map. So a sentence costs one batched pass of the language
    half, and no pass of the encoder.
    """

    def __init__(self, captioner: Captioner) -> None:
        model = captioner.model
        last_map = model.get_layer(captioner.features_layer).output
        self._language = Subgraph([last_map, model.inputs[1]], [model.output])
        self._start = captioner.vocabulary.start
        specs = [
            keras.KerasTensor(last_map.shape, "float32"),
            keras.KerasTensor((None, None), "int32"),
            keras.KerasTensor((None,), "int32"),
        ]
        self._gradients = compiled(self._gradients_of_logits, specs, model.variables)

    def __call__(self, features: np.ndarray, word_ids: Sequence[int], positions: Sequence[int]) -> np.ndarray:
        """Compute the maps of the words at some positions of a caption.

        `features` float32 [h, w, C] is the photo's last map, `word_ids` the caption without start and end,
        and `positions` are indices of its words, from 0. Returns float32 [n, h, w], non-negative, at the
        map's resolution.
        """
        n = len(positions)
        repeated = np.repeat(features[None], n, axis=0)
        words = np.repeat(np.array([[self._start, *word_ids]], np.int32), n, axis=0)
        gradients = as_array(self._gradients(repeated, words, np.array(positions, np.int32)))
        alpha = gradients.mean(axis=(1, 2))  # equation 1
        return np.maximum(np.einsum("nc,hwc->nhw", alpha, features), 0)  # equation 2

    def _gradients_of_logits(self, features: Any, words: Any, positions: Any) -> Any:
        # step 0 is the photo's and step 1 the start token's, which predicts the word at position 0
        steps = positions[:, None] + 1
        asked = ops.take_along_axis(words, steps, axis=1)

        def scored(watch: Watch) -> tuple[Any, None]:
            (logits,) = self._language([watch("map", features), words])
            here = ops.arange(ops.shape(logits)[1], dtype="int32") == steps
            word = ops.arange(ops.shape(logits)[2], dtype="int32") == asked
            return ops.where(here[:, :, None] & word[:, None, :], logits, 0.0), None

        # every word reads its own copy of the map, so the gradient of the sum is that of each word
        [gradients], _ = signals(scored, ["map"])
        return gradients


def _activation(captioner: Captioner) -> Method:
    """The channel sum of the last map, for every word."""

    def answer(question: Question) -> np.ndarray:
        total = question.upsampled(question.features.sum(axis=-1)[None])
        return np.repeat(np.maximum(total, 0), len(question.positions), axis=0)

    return answer


def _grad_cam(captioner: Captioner) -> Method:
    grad_cam = GradCam(captioner)
    return lambda asked: asked.upsampled(grad_cam(asked.features, asked.word_ids, asked.positions))


class _Occlusion:
    """Measures the drop of a word's log-probability, given the words before it, when a window is covered.

    Source: Zeiler and Fergus 2014, section 4.2; a rise counts as 0. The encoder runs once on each covered
    photo, for all words of all captions of a photo that are explained one after another.
    """

    def __init__(self, captioner: CaptionGenerator) -> None:
        self._captioner = captioner
        size = captioner.side
        self._side, step = scaled(SIZE, size), scaled(STRIDE, size)
        self._corners = windows((size, size), self._side, step)
        self._image: np.ndarray | None = None

    def __call__(self, question: Question) -> np.ndarray:
        if self._image is not question.image:
            covered = occluded(question.image, self._corners, self._side, "mean")
            self._maps = np.concatenate([self._captioner.features(batch) for _, batch in covered])
            self._image = question.image
        before = self._scores(question.features[None], question)
        drops = before - self._scores(self._maps, question)
        return np.maximum(spread(drops.T, self._corners, self._side, question.image.shape[:2]), 0)

    def _scores(self, maps: np.ndarray, question: Question) -> np.ndarray:
        """Log-probabilities float32 [m, n] of the words of the question, for maps [m, h, w, C]."""
        words = np.array([[self._captioner.vocabulary.start, *question.word_ids[:-1]]], np.int32)
        scores = self._captioner.log_probabilities(maps, np.repeat(words, len(maps), axis=0))
        return scores[:, question.positions, [question.word_ids[p] for p in question.positions]]


GENERAL_ROUTES: Mapping[str, Callable[[CaptionGenerator], Method]] = {"occlusion": _Occlusion}
"""The fast versions that run any captioner, as they ask only for its features and its log-probabilities."""

SHORT_ROUTES: Mapping[str, Callable[[Captioner], Method]] = {
    "activation": _activation,
    "grad-cam": _grad_cam,
    **GENERAL_ROUTES,
}
"""The fast versions by the names of methods; they replace the general version."""
