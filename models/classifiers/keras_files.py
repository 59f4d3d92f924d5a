"""Write and read classifiers in ``.keras`` files.

Files written here also hold class names and preprocessing, in the member ``gazeback_classifier.json``. Keras
ignores it, so ``keras.models.load_model`` opens the file, too. Files of other programs have no such member.
"""

import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from gazeback.models.classifiers import class_names
from gazeback.models.classifiers.classifier import Classifier, input_shape, output_classes
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.errors import ModelError

MEMBER = "gazeback_classifier.json"
CAPTIONER_MEMBER = "gazeback.npz"
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
    partial = path.with_name(f".{path.stem}.partial.keras")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        classifier.model.save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(MEMBER, json.dumps(about))
        os.replace(partial, path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, preprocessing: str | None = None, placement: str = "squeeze") -> Classifier:
    """Read the classifier in a ``.keras`` file; no code of the file is run (Keras' safe mode).

    A file of another program needs ``preprocessing``, a key of ``preprocessing.VALUES``, and its class names
    are searched by ``class_names.beside``. Raises ModelError.
    """
    about = None if path.suffix in HDF5 and path.is_file() else _read_member(path)
    model = _read_model(path)
    if about is None:
        return of_model(model, path, preprocessing, placement)
    classes, shape = output_classes(model), input_shape(model)
    try:
        if preprocessing is None:
            preprocess = Preprocessing(**about["preprocessing"])
        else:
            preprocess = Preprocessing(*shape, placement=placement, values=preprocessing)
        names = tuple(about["class_names"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: a broken classifier file ({MEMBER}: {error})") from None
    return Classifier(model, names or class_names.numbered(classes), preprocess, path.stem)


def of_model(model: keras.Model, source: str | Path, preprocessing: str | None, placement: str) -> Classifier:
    """A classifier of a model of another program, whose ``source`` is a file or a function's name.

    Raises ModelError if it is no classifier of images.
    """
    if not getattr(model, "outputs", None):
        model = _with_outputs(model, source)
    classes, shape = output_classes(model), input_shape(model)
    preprocess = Preprocessing(*shape, placement=placement, values=preprocessing or "none")
    names = class_names.beside(source, classes) if isinstance(source, Path) else None
    name = source.stem if isinstance(source, Path) else model.name
    return Classifier(model, names or class_names.numbered(classes), preprocess, name)


def _read_member(path: Path) -> dict[str, Any] | None:
    """What ``save`` stored beside the model; None in a file of another program."""
    expected = "expected a .keras file with a classifier"
    if path.is_dir():
        raise ModelError(f"{path}: {expected}, got a folder")
    if not path.exists():
        raise ModelError(f"{path}: no such file; {expected}")
    try:
        with zipfile.ZipFile(path) as archive:
            if CAPTIONER_MEMBER in archive.namelist():
                raise ModelError(f"{path}: a captioner, not a classifier; use gazeback ground --model")
            if MEMBER not in archive.namelist():
                return None
            about = json.loads(archive.read(MEMBER))
    except zipfile.BadZipFile:
        raise ModelError(f"{path}: not a .keras file, or a broken one (it is no complete zip)") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from None
    if not isinstance(about, dict):
        raise ModelError(f"{path}: a broken classifier file ({MEMBER} holds no object)")
    return about


def _read_model(path: Path) -> keras.Model:
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers raise on a damaged configuration
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"{path}: Keras cannot load it ({reason})") from None
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path}: expected a keras.Model, got a {type(model).__name__}")
    return model


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
