"""Write and read classifiers in ``.keras`` files.

Files written here also hold class names and preprocessing, in the member ``gazeback_classifier.json``. Keras
ignores it, so ``keras.models.load_model`` opens the file, too. Files of other programs have no such member.
"""

import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import keras
import msgspec
from msgspec import Meta

from gazeback.models.classifiers import class_names
from gazeback.models.classifiers.classifier import ArrayClassifier, Classifier, input_shape, output_classes
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.errors import ModelError
from gazeback.models.model_files import load_model
from gazeback.models.reading import Known, Side, decode_json, read_member
from gazeback.models.writing import json_text, whole, writing_to

MEMBER = "gazeback_classifier.json"
CAPTIONER_MEMBER = "gazeback.npz"
EXPECTED = "a .keras file with a classifier"
MOST_STROKES = 1000
"""The most dilations and the widest margin of a sketch, in pixels."""
HDF5 = (".h5", ".hdf5")
"""Endings of the files that Keras wrote before ``.keras``."""


def save(classifier: Classifier, path: str | Path) -> None:
    """Write a classifier to a ``.keras`` file atomically; raises ModelError."""
    path = Path(path)
    if path.suffix != ".keras":
        raise ModelError(f"{path}: a classifier is stored in a file that ends in .keras")
    about = {
        "name": classifier.name,
        "class_names": classifier.class_names,
        "preprocessing": asdict(classifier.preprocess),
    }
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as temporary:
            classifier.model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(MEMBER, json_text(about))


def load(path: Path, preprocessing: str | None = None, placement: str = "squeeze") -> Classifier:
    """Read the classifier in a ``.keras`` file; no code of the file is run (Keras' safe mode).

    A file of another program needs ``preprocessing``, a key of ``preprocessing.VALUES``, and its class names
    are searched by ``class_names.beside``. Raises ModelError.
    """
    about = None if path.suffix in HDF5 else _read_about(path)
    model = load_model(path, EXPECTED)
    if about is None:
        return of_model(model, path, preprocessing, placement)
    shape = input_shape(model)
    if preprocessing is None:
        preprocess = Preprocessing(**msgspec.structs.asdict(about.preprocessing))
    else:
        preprocess = Preprocessing(*shape, placement=placement, values=preprocessing)
    given = (preprocess.height, preprocess.width, preprocess.channels)
    if given != input_shape(model, preprocess.height, preprocess.width):
        raise ModelError(f"{path}: its preprocessing makes inputs {given}, its model reads {shape}")
    names = about.class_names
    return Classifier(model, names, preprocess, path.stem)


def of_model(model: keras.Model, source: str | Path, preprocessing: str | None, placement: str) -> Classifier:
    """A classifier of a model of another program, whose ``source`` is a file or a function's name.

    Raises ModelError if it is no classifier of images.
    """
    if not _has_outputs(model):
        model = _with_outputs(model, source)
    classes, shape = output_classes(model), input_shape(model)
    preprocess = Preprocessing(*shape, placement=placement, values=preprocessing or "none")
    names = _names_beside(source, classes) if isinstance(source, Path) else None
    name = source.stem if isinstance(source, Path) else model.name
    return Classifier(model, names or (), preprocess, name)


def array_classifier(model: keras.Model, source: str | Path) -> ArrayClassifier:
    """A classifier of a model that reads one array with places and channels. Raises ModelError if it does
    not."""
    if not _has_outputs(model):
        model = _with_outputs(model, source)
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or not 3 <= len(shapes[0]) <= 5:
        given = ", ".join(str(list(shape)) for shape in shapes)
        raise ModelError(
            f"{source}: expected a model with one input [n, length, channels], [n, height, width, channels] "
            f"or [n, depth, height, width, channels], it has {given}"
        )
    names = _names_beside(source, output_classes(model)) if isinstance(source, Path) else None
    return ArrayClassifier(model, names or (), source.stem if isinstance(source, Path) else model.name)


def _has_outputs(model: keras.Model) -> bool:
    try:
        return bool(getattr(model, "outputs", None))
    except ValueError:  # older versions of Keras, of a model that is not built
        return False


def _names_beside(path: Path, outputs: int) -> tuple[str, ...] | None:
    """The names in a file beside the model; one unit may have one name, or one for each of two classes."""
    found = class_names.beside(path, outputs)
    return found or (class_names.beside(path, 2) if outputs == 1 else None)


class _PreprocessingAbout(Known):
    height: Side
    width: Side
    channels: int = 3
    placement: str = "squeeze"
    values: str = "none"
    dilations: Annotated[int, Meta(ge=0, le=MOST_STROKES)] = 0
    margin: Annotated[int, Meta(ge=0, le=MOST_STROKES)] = 0


class _About(Known):
    """What ``save`` stores beside the model."""

    class_names: tuple[str, ...]
    preprocessing: _PreprocessingAbout


def _read_about(path: Path) -> _About | None:
    """What ``save`` stored beside the model; None in a file of another program."""
    if read_member(path, CAPTIONER_MEMBER, EXPECTED, ModelError) is not None:
        raise ModelError(f"{path}: a captioner, not a classifier; use gazeback ground --model")
    about = read_member(path, MEMBER, EXPECTED, ModelError)
    if about is None:
        return None
    return decode_json(about, _About, f"{path}: {MEMBER}", "what a classifier file holds", ModelError)


def _with_outputs(model: keras.Model, path: str | Path) -> keras.Model:
    """Wrap a subclassed model in a functional model, whose input and output shapes are known."""
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not isinstance(shape, list | tuple) or not all(side is None or side > 0 for side in shape):
        raise ModelError(
            f"{path}: model {model.name!r} is not built, so its shapes are unknown; call it once on an "
            "image, model(images), before it is saved"
        )
    image = keras.Input(tuple(shape[1:]), name="image")
    return keras.Model(image, model(image), name=f"{model.name}_on_images")
