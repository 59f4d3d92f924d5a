"""Load a classifier by name or from a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import keras

from gazeback.models import efficientnet_lite
from gazeback.models.classifiers import (
    alexnet,
    applications,
    class_names,
    doodlenet,
    googlenet,
    half_precision,
    keras_files,
    squeezenet,
    weight_files,
)
from gazeback.models.classifiers.classifier import ArrayClassifier, Classifier, output_classes
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.errors import ModelError, first_line
from gazeback.models.from_code import made_by, names_code
from gazeback.models.model_files import load_model

IMAGENET = "imagenet"
SKETCH = "sketch"
EFFICIENTNET_LITE0 = "efficientnetlite0"


@dataclass(frozen=True)
class Network:
    """A network whose weights are in a file: how to build it, its preprocessing, and the names of its
    files."""

    build: Callable[[], keras.Model]
    preprocess: Preprocessing
    files: tuple[str, ...]
    flattened: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


NETWORKS = {
    "alexnet": Network(
        alexnet.build,
        Preprocessing(alexnet.IMAGE_SIZE, alexnet.IMAGE_SIZE, values="bvlc"),
        ("*alexnet*.onnx", "*alexnet*.npz"),
        {"fc6": alexnet.LAST_MAP_SHAPE},
    ),
    "googlenet": Network(
        googlenet.build,
        Preprocessing(googlenet.IMAGE_SIZE, googlenet.IMAGE_SIZE, values="bvlc"),
        ("*googlenet*.npz", "*googlenet*.onnx"),
    ),
    "squeezenet": Network(
        squeezenet.build,
        Preprocessing(squeezenet.IMAGE_SIZE, squeezenet.IMAGE_SIZE, values="bvlc"),
        ("*squeezenet*.npz",),
    ),
    "doodlenet": Network(
        doodlenet.build,
        Preprocessing(
            doodlenet.IMAGE_SIZE, doodlenet.IMAGE_SIZE, 1, placement="sketch", dilations=1, margin=1
        ),
        ("*doodlenet*.h5",),
    ),
}


def load_classifier(
    name: str | Path,
    weights: str | Path | None = IMAGENET,
    *,
    preprocessing: str | None = None,
    placement: str = "squeeze",
) -> Classifier:
    """Load a classifier by name, from a file, or from your own code.

    Args:
        name: a network of ``keras.applications`` ("densenet121"); "efficientnet-lite0"; "sketch" (bundled);
            "alexnet", "googlenet", "squeezenet", "doodlenet"; a ``.keras``, ``.h5`` or ``.hdf5`` file; or
            "package.module:function", which returns a Keras model or a ``Classifier``.
        weights: "imagenet", the network's usual weights (those of ``keras.applications`` are downloaded once;
            those of "efficientnet-lite0" and "sketch" are installed); None, random weights; or a file or
            folder of weights, which "alexnet", "googlenet" (``.npz``, ``.onnx``), "squeezenet" (``.npz``) and
            "doodlenet" (``.h5``) need. A file of a model has its own.
        preprocessing: for models of other programs, what is done to RGB pixels 0..255: "none",
            "unit" (0..1), or one of the modes of ``keras.applications``, "tf", "torch" and "caffe".
        placement: "squeeze" resizes the whole photo, its aspect ratio not kept; "crop" takes its centre,
            aspect ratio kept.

    Raises:
        ModelError: there is no such classifier, or its weights are missing, broken or of another network.
    """
    text = str(name)
    key = text.lower().replace("-", "").replace("_", "").replace(" ", "")
    if text.endswith((".keras", *keras_files.HDF5)) or names_code(text):
        if weights != IMAGENET:
            kind = "your own model" if names_code(text) else f"a {Path(text).suffix} file"
            raise ModelError(f"{text}: {kind} has weights of its own; leave the weights out")
        if names_code(text):
            return _of_code(text, preprocessing, placement)
        return keras_files.load(Path(text), preprocessing, placement)
    if preprocessing is not None:
        raise ModelError(f"{text} has its own preprocessing; choosing one is for .keras files")
    if key in NETWORKS:
        return _from_file(key, weights, placement)
    if key == EFFICIENTNET_LITE0:
        return _efficientnet_lite0(weights, placement)
    if key == SKETCH:
        _check_bundled(text, weights)
        return half_precision.load(random=weights is None)
    if key in applications.known():
        return applications.load(key, weights, placement)
    raise ModelError(_unknown(text))


def _of_code(source: str, preprocessing: str | None, placement: str) -> Classifier:
    found = made_by(source)
    if isinstance(found, Classifier):
        return found
    if not isinstance(found, keras.Model):
        raise ModelError(
            f"{source}: expected a Keras model or a gazeback.models.Classifier, it returned a "
            f"{type(found).__name__}"
        )
    return keras_files.of_model(found, source, preprocessing, placement)


def load_array_classifier(source: str | Path) -> ArrayClassifier:
    """Load a classifier of signals, volumes or other arrays: a ``.keras``, ``.h5`` or ``.hdf5`` file, or
    "package.module:function", which returns a Keras model. Raises ModelError."""
    text = str(source)
    if names_code(text):
        found = made_by(text)
        model = getattr(found, "model", found)
        if not isinstance(model, keras.Model):
            raise ModelError(f"{text}: expected a Keras model, it returned a {type(found).__name__}")
        return keras_files.array_classifier(model, text)
    if text.endswith((".keras", *keras_files.HDF5)):
        path = Path(text)
        return keras_files.array_classifier(load_model(path, keras_files.EXPECTED), path)
    raise ModelError(f"{text}: reads photos; an array needs a FILE.keras or package.module:function")


def known_classifiers() -> tuple[str, ...]:
    """The names that ``load_classifier`` accepts."""
    return (SKETCH, "efficientnet-lite0", *NETWORKS, *applications.known())


def _from_file(name: str, weights: str | Path | None, placement: str) -> Classifier:
    network = NETWORKS[name]
    model = network.build()
    names = None
    if weights is not None:
        if weights == IMAGENET:
            raise ModelError(
                f"{name}: its weights do not come with the package; name a file or a folder with "
                f"{' or '.join(network.files)}"
            )
        path = weight_files.find(weights, network.files, name)
        _load_weights(model, path, network)
        names = class_names.beside(path, output_classes(model))
    if names is None and output_classes(model) == class_names.IMAGENET_CLASSES:
        names = class_names.imagenet()
    preprocess = network.preprocess
    if preprocess.placement != "sketch":
        preprocess = Preprocessing(
            preprocess.height, preprocess.width, placement=placement, values=preprocess.values
        )
    return Classifier(model, names or class_names.numbered(output_classes(model)), preprocess, name)


def _load_weights(model: keras.Model, path: Path, network: Network) -> None:
    if path.suffix != ".h5":
        return weight_files.load(model, path, network.flattened)
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise nearly anything on a file of another network
        raise ModelError(f"{path}: not the weights of {model.name} ({first_line(error)})") from None


def _efficientnet_lite0(weights: str | Path | None, placement: str) -> Classifier:
    _check_bundled("efficientnet-lite0", weights)
    model = efficientnet_lite.build() if weights is None else efficientnet_lite.efficientnet_lite0()
    size = efficientnet_lite.IMAGE_SIZE
    preprocess = Preprocessing(size, size, placement=placement)
    return Classifier(model, class_names.imagenet(), preprocess, "efficientnet-lite0")


def _check_bundled(name: str, weights: str | Path | None) -> None:
    if weights not in (None, IMAGENET):
        raise ModelError(f"{name} comes with its weights; leave the weights out ({weights} was given)")


def _unknown(name: str) -> str:
    close = get_close_matches(name.lower(), known_classifiers(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    ours = ", ".join((SKETCH, "efficientnet-lite0", *NETWORKS))
    return (
        f"unknown classifier {name!r}; {hint}expected a FILE.keras, a network of keras.applications "
        f"(vgg16, densenet121, ...), package.module:function, or one of {ours}"
    )
