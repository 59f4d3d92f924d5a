"""Make one functional model of any captioner, and find its image input and its words' input."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
from keras import KerasTensor, tree

from gazeback.models.errors import ModelError
from gazeback.models.wrapping.graphs import graph_of, node_of, nodes_before, nodes_depending
from gazeback.models.wrapping.opening import is_opaque, name_of, opened, uncallable

Size = tuple[int, int]

WORD_NAMES = ("word", "text", "token", "caption", "sequence", "seq", "sentence", "ids", "target", "input_ids")
PICTURE_NAMES = (
    "image",
    "img",
    "feature",
    "photo",
    "picture",
    "encod",
    "visual",
    "vision",
    "context",
    "memory",
)


@dataclass(frozen=True, eq=False)
class Joined:
    """A captioner as one functional model.

    Attributes:
        model: of the image and the words, in this order, to the scores: the one that is traced.
        image, words, scores: the symbolic tensors at which the model can be cut. If the captioner is one
            layer of ``model``, they are tensors of that layer's own graph.
        prefix: of the paths of that layer's own layers in ``model``.
    """

    model: keras.Model
    image: Any
    words: Any
    scores: Any
    prefix: str = ""

    @property
    def asks_for_length(self) -> bool:
        """Whether a layer may ask for the number of words, although it is not fixed."""
        words = self.model.inputs[1]
        return words.shape[1] is None and any(
            is_opaque(node.operation) for node in nodes_depending(self.model.outputs, words)
        )


def shape_text(tensor: Any) -> str:
    """The shape of a symbolic tensor as ``[n, 224, 224, 3]``."""
    sides = ("any" if side is None else str(side) for side in tensor.shape[1:])
    return f"[{', '.join(('n', *sides))}]"


def joined(model: Any, image_size: Size | None, length: int | None, words: int) -> Joined:
    """Read a joined model, whose inputs may have any names and any order.

    Args:
        model: functional, sequential or subclassed.
        image_size: (height, width) where the model leaves it open.
        length: of the words' input where the model leaves it open.
        words: the number of words; of several outputs the one with as many scores is meant.

    Raises:
        ModelError: it does not have one input for each.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(f"model: expected a keras.Model of the image and the words, got {_kind(model)}")
    if graph_of(model) is None:
        return _called(model, image_size, length, words)
    _check_numbers(model)
    image, of_words = _roles(model)
    scores = scores_of(model.outputs, words, model.name)
    fresh = (
        _image_input(image.shape, image_size, model.name),
        _words_input(of_words.shape, length, model.name),
    )
    given = _filled(model, {id(image): fresh[0], id(of_words): fresh[1]})
    found = scores_of(tree.flatten(opened(model, given)), words, model.name)
    whole = keras.Model(list(fresh), found, name="captioner")
    if node_of(found).operation is not model:
        return Joined(whole, *fresh, found)
    return Joined(whole, image, of_words, scores, f"{model.name}/")


def _called(model: keras.Model, image_size: Size | None, length: int | None, words: int) -> Joined:
    """A subclassed model: ``call(inputs)`` or ``call(image, words)``, in either order."""
    if type(model).call in (keras.Model.call, keras.Layer.call):
        parts = [part.name for part in model.layers]
        raise ModelError(
            f"model {model.name!r} has no call, only parts ({', '.join(parts)}); pass encoder= and decoder=, "
            "functions that call these parts as its author does"
        )
    pictures = [shape for shape in _built_shapes(model) if len(shape) == 4]
    picture = pictures[0] if len(pictures) == 1 else (None, None, None, 3)
    image = _image_input(picture, image_size, model.name)
    # How many words there were when it was built says nothing.
    text = _words_input((None, None), length, model.name)
    scores = _scores(model, image, text, words, "the image")
    return Joined(keras.Model([image, text], scores, name="captioner"), image, text, scores)


def with_encoder(
    encoder: Any, decoder: Any, image_size: Size | None, length: int | None, words: int
) -> Joined:
    """Join an encoder and a decoder, which reads the encoder's features and the words.

    The encoder's map is flattened or reshaped to the decoder's input if the sizes allow it.

    Raises:
        ModelError: the two do not fit, or the decoder's inputs cannot be told apart.
    """
    image, features = encoded(encoder, image_size)
    if not callable(decoder):
        raise ModelError(f"decoder: expected a Keras model, a layer or a function, got {_kind(decoder)}")
    if graph_of(decoder) is None:
        text = _words_input((None, None), length, name_of(decoder))
        scores = _scores(decoder, features, text, words, "the features")
    else:
        parts = tree.flatten(features)
        _check_numbers(decoder)
        read, of_words = _decoder_roles(decoder, parts)
        text = _words_input(of_words.shape, length, decoder.name)
        given = {id(x): _fitted(part, x, decoder.name) for part, x in zip(parts, read, strict=True)}
        found = opened(decoder, _filled(decoder, given | {id(of_words): text}))
        scores = scores_of(tree.flatten(found), words, decoder.name)
    return Joined(keras.Model([image, text], scores, name="captioner"), image, text, scores)


def encoded(encoder: Any, image_size: Size | None, batch: int | None = None) -> tuple[Any, Any]:
    """Call an encoder on a new image input: return the input, and its features, a tensor or several.

    Args:
        encoder: a model, layer or function of the image.
        image_size: (height, width) where it leaves it open.
        batch: how many images, where something asks for that.

    Raises:
        ModelError: it does not read one image.
    """
    if not callable(encoder):
        raise ModelError(f"encoder: expected a Keras model of the image, got {_kind(encoder)}")
    graph = graph_of(encoder)
    if graph is None and isinstance(encoder, keras.Sequential):
        raise ModelError(f"encoder {encoder.name!r} is not built: call it once on an image, encoder(images)")
    shapes = [x.shape for x in graph.inputs] if graph is not None else _built_shapes(encoder)
    if graph is not None and (len(shapes) != 1 or len(shapes[0]) != 4):
        given = ", ".join(f"{x.name!r} {shape_text(x)}" for x in graph.inputs)
        raise ModelError(
            f"encoder {encoder.name!r}: expected one image input [n, height, width, channels], it has {given}"
        )
    shape = shapes[0] if len(shapes) == 1 and len(shapes[0]) == 4 else (None, None, None, 3)
    image = _image_input(shape, image_size, name_of(encoder), batch)
    features = opened(encoder, image)
    parts = tree.flatten(features)
    if not parts or not all(isinstance(x, KerasTensor) for x in parts):
        raise ModelError(
            f"encoder {name_of(encoder)!r}: expected tensors that it computes from the image, the features; "
            f"got {features!r}"
        )
    return image, parts[0] if len(parts) == 1 else features


def _image_input(
    shape: Sequence[int | None], size: Size | None, name: str, batch: int | None = None
) -> KerasTensor:
    """Make an image input of the size that the model has, or that the user gives."""
    height, width = shape[1:3]
    if size is None and (height is None or width is None):
        raise ModelError(
            f"{name!r} leaves the size of the image open; pass image_size=(height, width), the size that it "
            "was trained at"
        )
    wanted = size or (height, width)
    if any(side is not None and side != given for side, given in zip((height, width), wanted, strict=True)):
        raise ModelError(
            f"image_size: {name!r} reads images of {height} x {width}, got {wanted[0]} x {wanted[1]}"
        )
    return keras.Input((*wanted, shape[3] or 3), batch_size=batch, name="image")


def _check_numbers(model: Any) -> None:
    """Raise ModelError for a model that reads text."""
    text = [x.name for x in model.inputs if str(x.dtype) == "string"]
    if text:
        raise ModelError(
            f"{model.name!r} reads text at its input {text[0]!r}; pass a model of the words' numbers, "
            "without the TextVectorization, and that layer as tokenizer="
        )


def _words_input(shape: Sequence[int | None], length: int | None, name: str) -> KerasTensor:
    if len(shape) != 2:
        raise ModelError(f"{name!r}: expected words [n, length] at its words' input, it reads {list(shape)}")
    if shape[1] is not None and length is not None and shape[1] != length:
        raise ModelError(f"length: {name!r} reads {shape[1]} words, got length={length}; leave it out")
    return keras.Input((shape[1] or length,), dtype="int32", name="words")


def _roles(model: Any) -> tuple[Any, Any]:
    """Find the image input and the words' input of a functional model."""
    images = [x for x in model.inputs if len(x.shape) == 4]
    rest = [x for x in model.inputs if len(x.shape) != 4]
    listed = ", ".join(f"{x.name!r} {shape_text(x)}" for x in model.inputs)
    if not images:
        vectors = [x for x in model.inputs if not any(x is y for y in _read_as_words(model))]
        hint = (
            f": it reads features, {vectors[0].name!r} {shape_text(vectors[0])}; pass the network that "
            "computes them as encoder= and this one as decoder="
            if len(vectors) == 1
            else "; pass one that reads the image and the words"
        )
        raise ModelError(f"model {model.name!r} has no image input [n, height, width, channels]{hint}")
    if len(images) > 1:
        raise ModelError(
            f"model {model.name!r} has {len(images)} inputs that could be the image: {listed}; pass a model "
            "of one image and the words, such as keras.Model([image, words], model([image, other, words]))"
        )
    if len(rest) > 1:
        rest = [x for x in rest if any(x is y for y in _read_as_words(model))]
    if len(rest) != 1:
        raise ModelError(
            f"model {model.name!r}: expected one input for the words [n, length] beside the image, its "
            f"inputs are {listed}; pass a model of the image and the words alone"
        )
    return images[0], rest[0]


def _decoder_roles(decoder: Any, features: Sequence[Any]) -> tuple[list[Any], Any]:
    """Find the decoder's inputs for the features, in their order, and its words' input."""
    listed = ", ".join(f"{x.name!r} {shape_text(x)}" for x in decoder.inputs)
    if len(decoder.inputs) != 1 + len(features):
        given = "the image's features" if len(features) == 1 else f"the {len(features)} features"
        raise ModelError(
            f"decoder {decoder.name!r}: expected {1 + len(features)} inputs, {given} and the words; it has "
            f"{len(decoder.inputs)}: {listed}"
        )
    for tell in (
        _read_as_words(decoder),
        [x for x in decoder.inputs if "int" in str(x.dtype)],
        [x for x in decoder.inputs if len(x.shape) == 2],
        [x for x in decoder.inputs if not any(_fits(part, x) for part in features)],
        [x for x in decoder.inputs if _sounds_like(x.name, WORD_NAMES)],
    ):
        if len(tell) == 1:
            return _paired(features, [x for x in decoder.inputs if x is not tell[0]]), tell[0]
    raise ModelError(
        f"decoder {decoder.name!r}: which of its inputs are the words? {listed} look alike; give the words' "
        'input dtype="int32" or the name "words"'
    )


def _paired(features: Sequence[Any], inputs: list[Any]) -> list[Any]:
    """Assign features to inputs: in their order if that fits, else by their shapes."""
    if all(_fits(part, x) for part, x in zip(features, inputs, strict=True)):
        return inputs
    found, free = [], list(inputs)
    for part in features:
        found.append(next((x for x in free if _fits(part, x)), free[0]))
        free = [x for x in free if x is not found[-1]]
    return found


def _read_as_words(model: Any) -> list[Any]:
    """Find the inputs that an embedding reads, directly or after slices and transpositions."""
    found = set()
    for node in nodes_before(model.outputs):
        if isinstance(node.operation, keras.layers.Embedding) or "Embedding" in type(node.operation).__name__:
            tensor = node.input_tensors[0]
            while not node_of(tensor).is_input and len(node_of(tensor).input_tensors) == 1:
                tensor = node_of(tensor).input_tensors[0]
            found.add(id(tensor))
        inner = graph_of(node.operation)
        if inner is not None and not node.is_input:
            inside = _read_as_words(inner)
            pairs = zip(inner.inputs, node.input_tensors, strict=False)
            found.update(id(outer) for own, outer in pairs if any(own is x for x in inside))
    return [x for x in model.inputs if id(x) in found]


def _sounds_like(name: str, parts: Sequence[str]) -> bool:
    return any(part in name.lower() for part in parts)


def _fits(features: Any, read: Any) -> bool:
    return _same(features.shape, read.shape) or _size(features) == _size(read) is not None


def _same(a: Sequence[int | None], b: Sequence[int | None]) -> bool:
    return len(a) == len(b) and all(None in (x, y) or x == y for x, y in zip(a[1:], b[1:], strict=True))


def _size(tensor: Any) -> int | None:
    sides = tensor.shape[1:]
    return None if None in sides else prod(sides)


def _fitted(features: Any, read: Any, name: str) -> Any:
    """Reshape the features for a decoder: a map may become tokens or one vector."""
    if _same(features.shape, read.shape):
        return features
    sides = tuple(read.shape[1:])
    if _size(features) is not None and _fits(features, read):
        return keras.layers.Reshape(sides, name="features_as_read")(features)
    if len(sides) == 2 and len(features.shape) == 4 and sides[-1] in (None, features.shape[-1]):
        return keras.layers.Reshape((-1, features.shape[-1]), name="features_as_read")(features)
    raise ModelError(
        f"the encoder gives features {shape_text(features)}, decoder {name!r} reads {shape_text(read)}; pass "
        "as encoder the network that computed the features it was trained on"
    )


def _filled(model: Any, given: dict[int, Any]) -> Any:
    """The input structure of a functional model, with other tensors in the places of its inputs."""
    graph = graph_of(model)
    assert graph is not None
    return tree.map_structure(lambda x: given[id(x)], graph._inputs_struct)


def scores_of(outputs: Sequence[Any], words: int, name: str) -> Any:
    """Find the output that scores words: the first with at least as many scores as words.

    Raises:
        ModelError: there is none.
    """
    tensors = [x for x in outputs if isinstance(x, KerasTensor)]
    likely = [x for x in tensors if len(x.shape) in (2, 3) and x.shape[-1] is not None]
    fitting = [x for x in likely if x.shape[-1] >= words]
    found = (fitting or likely)[:1]
    if not found or "float" not in str(found[0].dtype):
        given = ", ".join(f"{shape_text(x)} of {x.dtype}" for x in tensors)
        raise ModelError(
            f"{name!r} gives no scores of words, float [n, words] or [n, steps, words]: its output is "
            f"{given or 'no tensor'}"
        )
    return found[0]


def _scores(called: Any, picture: Any, text: Any, words: int, what: str) -> Any:
    """Call a model, layer or function on the image (or its features) and the words, and find the scores."""
    name, tried, reasons = name_of(called), [], []
    for first in _orders(called):
        try:
            found = opened(called, *_arguments_of(called, picture, text, first))
            tried.append(scores_of(tree.flatten(found), words, name))
        except Exception as error:  # a foreign ``call`` raises nearly anything on the wrong order
            reasons.append(error)
    tried = [one for one in tried if one.shape[-1] >= words] or tried
    if not tried:
        raise ModelError(uncallable(name, f"{what} and the words", reasons))
    if len(tried) > 1 and not _tells_order(called):
        raise ModelError(
            f"{name!r} can be called on {what} and the words in either order; say which comes first by the "
            f"names of its arguments (such as features, words), or pass lambda features, words: ..."
        )
    return tried[0]


def _orders(called: Any) -> tuple[str, str]:
    """The orders of the two inputs to try, the likely one first."""
    first = _words_first(called, _arguments(called))
    return ("words", "picture") if first else ("picture", "words")


def _arguments_of(called: Any, picture: Any, text: Any, first: str) -> list[Any]:
    """The arguments of a call: apart, in one list, or by the names that a subclassed model was built with.

    Masks that the call insists on are None.
    """
    names, pictures = _arguments(called), tree.flatten(picture)
    keys = _built_keys(called)
    if len(names) < 2 and keys:
        of_words = _key_of_words(keys)
        rest = iter(pictures)
        return [{key: text if key == of_words else next(rest) for key in keys}]
    asked = [name for name in names if "mask" not in name]
    spread = len(pictures) > 1 and len(asked) != 2
    seen = pictures if spread else [picture]
    inputs = [*seen, text] if first == "picture" else [text, *seen]
    return [*inputs, *[None] * (len(names) - len(asked))] if len(asked) >= 2 else [inputs]


def _built_keys(called: Any) -> dict[str, Sequence[int | None]]:
    """The names and shapes of the inputs in a dict that a subclassed model was built with, if it was."""
    shapes = list((getattr(called, "_build_shapes_dict", None) or {}).values())
    return shapes[0] if len(shapes) == 1 and isinstance(shapes[0], dict) else {}


def _key_of_words(keys: dict[str, Sequence[int | None]]) -> str | None:
    """Find the words among named inputs, by their shape or by their name."""
    flat = [key for key, shape in keys.items() if len(shape) == 2]
    named = [key for key in flat if _sounds_like(key, WORD_NAMES)]
    return next(iter(flat if len(flat) == 1 else named), None)


def _words_first(called: Any, names: Sequence[str]) -> bool:
    shapes = _built_shapes(called)
    if len(names) < 2 and len(shapes) == 2 and len(shapes[0]) != len(shapes[1]):
        return len(shapes[0]) < len(shapes[1])
    return len(names) >= 2 and (_sounds_like(names[1], PICTURE_NAMES) or (_sounds_like(names[0], WORD_NAMES)))


def _tells_order(called: Any) -> bool:
    names = _arguments(called)
    shapes = _built_shapes(called)
    if len(names) < 2 and _built_keys(called):
        return True
    if len(names) < 2:
        return len(shapes) == 2 and len(shapes[0]) != len(shapes[1])
    heard = [(_sounds_like(n, PICTURE_NAMES), _sounds_like(n, WORD_NAMES)) for n in names[:2]]
    return any(picture != text for picture, text in heard)


def _arguments(called: Any) -> list[str]:
    """The names of the arguments that a call needs."""
    function: Callable[..., Any] = called.call if isinstance(called, keras.Layer) else called
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in kinds and parameter.default is inspect.Parameter.empty and name != "training"
    ]


def _built_shapes(model: Any) -> list[tuple[int | None, ...]]:
    """The shapes with which a subclassed model was built, as a flat list."""
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    flat = []
    for shape in shapes.values():
        nested = shape.values() if isinstance(shape, dict) else shape
        if all(isinstance(side, int | None) for side in nested):
            flat.append(tuple(nested))
        else:
            flat.extend(tuple(one) for one in nested)
    return flat


def _kind(given: Any) -> str:
    return f"a {type(given).__name__}"
