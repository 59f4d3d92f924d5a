"""What is interpreted: a classifier up to its logits, or a captioner up to the last map of its encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.interpretation.forward import Forward
from gazeback.eval.interpretation.layers import filter_layers
from gazeback.models.captioner import Captioner
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.photos import load_photo


@dataclass(frozen=True, eq=False)
class Network:
    """A Keras model, how it reads photos, and its filters.

    last: the layer whose map is the answer, of a captioner; None for a classifier, which answers with logits.
    """

    model: keras.Model
    preprocess: Preprocessing
    last: str | None
    forward: Forward

    @classmethod
    def of(cls, source: Classifier | Captioner) -> Network:
        """The network of a classifier or a captioner. Raises UserError where it has no layer with maps."""
        if isinstance(source, Captioner):
            preprocess = Preprocessing(source.image_size, source.image_size)
            last: str | None = source.features_layer
        else:
            preprocess, last = source.preprocess, None
        tracer = tracer_of(source.model)
        answer = tracer.target(last)
        forward = Forward(tracer.graph, answer, filter_layers(tracer.graph, answer))
        return cls(source.model, preprocess, last, forward)

    def read(self, path: Path) -> np.ndarray:
        """A photo as the network reads it. Raises PhotoError."""
        return self.preprocess(load_photo(path)).pixels
