"""A trained classifier with its class names and the preprocessing of photos."""

from dataclasses import dataclass

import keras
import numpy as np

from gazeback.models.classifiers import class_names as names
from gazeback.models.classifiers.one_unit import OUTPUT, two_classes
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.errors import ModelError
from gazeback.models.photos import Photo


class _Named:
    """A model with the names of its answers."""

    model: keras.Model
    class_names: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        outputs = output_classes(self.model)
        if outputs == 1 and (model := two_classes(self.model)) is not None:
            outputs = 2
            object.__setattr__(self, "model", model)
            if len(self.class_names) == 1:
                object.__setattr__(self, "class_names", (f"not {self.class_names[0]}", *self.class_names))
        if not self.class_names:
            object.__setattr__(self, "class_names", names.numbered(outputs) if outputs > 1 else (OUTPUT,))
        if outputs != len(self.class_names):
            raise ModelError(f"{self.name}: {len(self.class_names)} class names for {outputs} outputs")

    @property
    def is_regression(self) -> bool:
        """Whether the model answers with one value instead of probabilities of classes."""
        return len(self.class_names) == 1

    def class_index(self, target: str | int) -> int:
        """The number of a class, given by its name, a synonym or its number; raises ModelError."""
        return names.find(str(target), self.class_names)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Compute class probabilities ``[n, classes]`` of preprocessed images
        ``[n, height, width, channels]``, or of arrays.

        If the model returns logits, this is their softmax. A regression's answer is its value.
        """
        answer = np.asarray(self.model.predict_on_batch(np.asarray(pixels, np.float32)), np.float32)
        if self.is_regression:
            return answer
        if answer.min() >= 0 and answer.max() <= 1 + 1e-5:
            return answer
        odds = np.exp(answer - answer.max(axis=-1, keepdims=True))
        return odds / odds.sum(axis=-1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Classifier(_Named):
    """A Keras classifier.

    model: images ``[n, height, width, channels]`` in, one value per class ``[n, classes]`` out. class_names:
    in the order of the outputs. preprocess: a photo to a ``ModelInput`` (``.pixels``, ``.to_photo``). name:
    for people. Raises ModelError if the number of names is not the number of outputs.

    A model with one sigmoid unit becomes one with two classes (see ``one_unit``); ``class_names`` are two, or
    the one of its unit. Without names, classes are numbered. A model with one unit of another kind is a
    regression, whose answer is a value.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    preprocess: Preprocessing
    name: str

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the model's input, in pixels."""
        return self.preprocess.height, self.preprocess.width

    def top(self, photo: Photo, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes of a photo: [(name, probability), ...], best first."""
        answer = self.probabilities(self.preprocess(photo).pixels[None])[0]
        return [(self.class_names[i], float(answer[i])) for i in np.argsort(-answer)[:count]]


@dataclass(frozen=True, eq=False)
class ArrayClassifier(_Named):
    """A Keras classifier of arrays that are no photos: signals, volumes, frames, maps of any channels.

    model: arrays ``[n, ..., channels]`` in, one value per class ``[n, classes]`` out; otherwise as
    ``Classifier``.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    name: str

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape of one array, its channels last; None where any size fits."""
        return tuple(self.model.inputs[0].shape[1:])


def output_classes(model: keras.Model) -> int:
    """The number of classes of a model; raises ModelError if the model is not a classifier of images."""
    outputs = model.outputs
    if len(outputs) != 1 or len(outputs[0].shape) != 2 or outputs[0].shape[1] is None:
        shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
        raise ModelError(f"{model.name}: expected one output [n, classes], the model has {shapes}")
    return int(outputs[0].shape[1])


def input_shape(
    model: keras.Model, unknown_height: int = 224, unknown_width: int = 224
) -> tuple[int, int, int]:
    """(height, width, channels) of a model's image input; raises ModelError if there is none."""
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    images = [shape for shape in shapes if len(shape) == 4 and shape[3] in (1, 3)]
    if len(shapes) != 1 or len(images) != 1:
        given = ", ".join(map(str, shapes))
        raise ModelError(f"{model.name}: expected one image input [n, height, width, 1 or 3], it has {given}")
    _, height, width, channels = images[0]
    return height or unknown_height, width or unknown_width, channels
