"""A trained caption generator that can be explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models import bundled, captioner_file
from gazeback.models.caption_generator import NO_WORD, Caption, CaptionGenerator, Reading
from gazeback.models.errors import ModelError
from gazeback.models.from_code import made_by, names_code
from gazeback.models.language_half import PrefixSteps, ShowAndTellSteps
from gazeback.models.reading import read_member
from gazeback.models.support import MEMBER, Support
from gazeback.models.vocabulary import Vocabulary
from gazeback.models.word_cues import supported
from gazeback.models.wrapping.wrap import load_wrapped

__all__ = ["Caption", "Captioner", "load_captioner"]


@dataclass
class Captioner(CaptionGenerator):
    """A caption generator: one functional model and its vocabulary.

    ``model``: inputs ``image`` float32 ``[n, s, s, 3]`` (RGB 0..255) and ``words`` int32 ``[n, T]`` (start
    first); output logits float32 ``[n, T + 1, V]``, whose step 0 has seen only the image and predicts
    nothing. ``mean_features`` ``[C]``: the globally pooled last map, averaged over the training photos; or
    ``[h, w, C]``, the averaged map, if the model does not pool it. ``features_layer``: the layer whose output
    is the last spatial map ``[n, h, w, C]``. ``once``: words that beam search generates at most once.
    """

    model: keras.Model
    vocabulary: Vocabulary
    mean_features: np.ndarray
    features_layer: str
    name: str
    once: tuple[int, ...] = ()

    @property
    def image_size(self) -> int:
        """The side of the model's square input in pixels."""
        return int(self.model.inputs[0].shape[1])

    @cached_property
    def _encoder(self) -> keras.Model:
        encoder = keras.Model(self.model.inputs[0], self.model.get_layer(self.features_layer).output)
        encoder.compile(jit_compile=False)
        return encoder

    @cached_property
    def _steps(self) -> ShowAndTellSteps | PrefixSteps:
        return ShowAndTellSteps.of(self.model) or PrefixSteps(self.model, self.features_layer)

    def features(self, images: np.ndarray) -> np.ndarray:
        """The last spatial map: images ``[n, s, s, 3]`` (RGB 0..255) to float32 ``[n, h, w, C]``. One CNN
        pass.
        """
        images = np.asarray(images, np.float32)
        expected = (self.image_size, self.image_size, 3)
        if images.shape[1:] != expected:
            raise ValueError(
                f"expected images of shape [n, {', '.join(map(str, expected))}], got {images.shape}"
            )
        return np.asarray(self._encoder.predict_on_batch(images))

    def log_probabilities(self, features: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log p(next word) after each input word, in nats: float32 ``[n, T, V]``. Runs the language half
        only.

        ``features``: maps ``[n, h, w, C]`` or pooled vectors ``[n, C]`` (the mean picture:
        ``mean_features[None]``). ``words``: int ``[n, T]``, start first.
        """
        words = np.asarray(words, np.int32)
        if words.ndim != 2 or len(words) != len(features):
            raise ValueError(f"expected words [n, T] for {len(features)} images, got shape {words.shape}")
        return self._steps.all_steps(features, words)

    def readings(self, ids: Sequence[int]) -> list[Reading]:
        """One reading of the whole caption: output step 0 has seen only the image, step j + 1 predicts word
        j."""
        words = np.array([[self.vocabulary.start, *ids[:-1]]], np.int32)
        columns = np.arange(NO_WORD, len(ids) - 1)[None]
        neurons = np.column_stack([np.arange(len(ids)) + 1, ids])
        return [Reading(self.model, words, columns, tuple(range(len(ids))), neurons)]

    def save(self, path: str | Path) -> None:
        """Write the captioner to a ``.keras`` file, which ``load_captioner`` reads; raises ModelError."""
        names = {"name": self.name, "features_layer": self.features_layer}
        support = None if self.support is None else self.support.to_bytes()
        captioner_file.write(
            Path(path), self.model, self.vocabulary, self.mean_features, self.once, support, **names
        )


def load_captioner(source: str | Path | None = None) -> Any:
    """Load the bundled captioner (None), another bundled one ("show_and_tell_flickr8k", or of drawn scenes
    "scenes-gap" and "scenes-flatten"), a ``.keras`` file that a captioner's ``save`` wrote, or what your own
    function ``"package.module:function"`` returns.

    Raises ModelError, which says what is wrong, if a file is missing or broken or is not a captioner. A
    file's code is never run (Keras' safe mode, no pickles). Returns a ``CaptionGenerator``.
    """
    source = bundled.DEFAULT if source is None else source
    if isinstance(source, str) and source in bundled.LOADERS:
        captioner = Captioner(**bundled.LOADERS[source]())
        file = bundled.WEIGHTS / f"{captioner.name}_support.npz"
        return supported(captioner, Support.read(file, str(file)) if file.is_file() else None)
    if names_code(source):
        return _of_code(str(source))
    path = Path(source)
    found: CaptionGenerator = load_wrapped(path) or Captioner(**captioner_file.read(path))
    stored = read_member(path, MEMBER, captioner_file.EXPECTED, ModelError)
    return supported(found, None if stored is None else Support.read(stored, f"{path}: {MEMBER}"))


def _of_code(source: str) -> CaptionGenerator:
    found = made_by(source)
    if not isinstance(found, CaptionGenerator):
        raise ModelError(
            f"{source}: expected a captioner, it returned a {type(found).__name__}; return what "
            "gazeback.models.wrap_captioner makes of your model"
        )
    return found
