"""The query of a compared method: one neuron for each image, on any tensor of the flat graph.

A compared method is one function ``method(query, **options)``. :func:`compared` gives it the public
signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from inspect import Parameter, signature
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Graph, Tensor
from gazeback.cnn_trace.head import handoff_maps
from gazeback.cnn_trace.layout import as_stored, channels_last, shape_last
from gazeback.cnn_trace.recording import check_inputs, shapes_of
from gazeback.cnn_trace.rules.activation import is_output_activation, kind
from gazeback.cnn_trace.tracer import tracer_of
from gazeback.grounding.methods import load_method
from gazeback.models.errors import UserError

# Coordinates of a neuron: the strongest index along this axis, or every index.
STRONGEST, EVERYWHERE = -1, -2


@dataclass(frozen=True, eq=False)
class Query:
    """One neuron of one tensor for each image.

    Attributes:
        model, graph: the Keras model, and the flat graph of its tracer.
        arrays: one array per model input, batch first.
        start: the tensor that the neurons belong to: logits, or a layer's output.
        pattern: int32 ``[n, rank - 1]``, the neurons' coordinates on it, the channel last. ``STRONGEST``
            leaves a coordinate open: the strongest neuron that fits is used. ``EVERYWHERE`` means all
            neurons.
        output_activation: the function from the start's values to probabilities: ``"softmax"``,
            ``"sigmoid"``, or None for a layer's output.
    """

    model: keras.Model
    graph: Graph
    arrays: tuple[np.ndarray, ...]
    start: Tensor
    pattern: np.ndarray
    output_activation: str | None

    @classmethod
    def of(
        cls,
        model: keras.Model,
        images: Any,
        target: Any = None,
        layer: str | None = None,
        output: int | str = 0,
        any_rank: bool = False,
    ) -> Query:
        """Make a query from a user's arguments, which are those of :func:`gazeback.cnn_trace.trace`.

        Raises:
            TraceError: an input that does not fit the model, or a layer that it does not have; UserError: a
                target or an output that it does not have, or that depends on no image.
        """
        tracer = tracer_of(model)
        graph = tracer.graph
        arrays = check_inputs(graph, images)
        start = tracer.target(layer, output)
        tracer.check_start(start)
        image = graph.image_inputs[0]
        if len(image.shape) != 4 and not any_rank:
            raise UserError(
                "this method explains images [n, height, width, channels]; input "
                f"{image.name!r} has the shape {list(image.shape)}"
            )
        shapes = shapes_of(graph, tuple(x.shape[1:] for x in arrays), len(arrays[0]))
        shape = shape_last(start, shapes[start])
        pattern = _pattern(target, start.name, shape)
        output_activation = None if layer is not None else _probabilities(graph.output(output), shape)
        return cls(model, graph, tuple(arrays), start, pattern, output_activation)

    @property
    def image(self) -> Tensor:
        """The input whose pixels are explained: the first with height, width and channels."""
        return self.graph.image_inputs[0]

    @property
    def pixels(self) -> np.ndarray:
        """The images, float32 ``[n, H, W, C]``, with the values that the model reads."""
        return channels_last(self.image, self.arrays[self.graph.inputs.index(self.image)])

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """The actual shape of a tensor for these images, channels last."""
        sizes = tuple(x.shape[1:] for x in self.arrays)
        return shape_last(tensor, shapes_of(self.graph, sizes, len(self.pattern))[tensor])

    def at_neurons(self, neurons: np.ndarray) -> Query:
        """The same query for given neurons: int ``[n, rank - 1]``."""
        return replace(self, pattern=neurons.astype(np.int32))

    def with_pixels(self, pixels: np.ndarray, image: np.ndarray) -> Query:
        """The same query for other pixels ``[m, H, W, C]``; ``image`` int ``[m]`` is the index of each one's
        neuron."""
        stored = as_stored(self.image, pixels).astype(self.image.dtype, copy=False)
        arrays = [
            stored if tensor is self.image else array[image]
            for tensor, array in zip(self.graph.inputs, self.arrays, strict=True)
        ]
        return replace(self, arrays=tuple(arrays), pattern=self.pattern[image])

    def map_of(self, layer: str | None) -> Tensor:
        """Find the map ``[n, h, w, c]`` of a layer before the start; None: the last one.

        Raises:
            TraceError: there is no such layer; UserError: it has no map, the start does not depend on it, or
                there are several last maps.
        """
        if layer is None:
            return self._last_map()
        tensor = self.graph.call_of(layer).outputs[0]
        if not tensor.is_map or tensor.call not in self.graph.ancestors([self.start]):
            raise UserError(
                f"layer {layer!r} is no map with height and width that {self.start.name!r} depends on; name "
                "a convolution or a pooling layer before it"
            )
        return tensor

    def _last_map(self) -> Tensor:
        call = self.start.call
        below = [t for t in (call.inputs if call else ()) if t.call is None or t.call.depends_on_image]
        maps: set[Tensor] = set().union(*(handoff_maps(self.graph, tensor, None) for tensor in below))
        maps -= set(self.graph.inputs)
        if len(maps) != 1:
            names = ", ".join(sorted(repr(tensor.name) for tensor in maps)) or "none"
            raise UserError(
                f"{self.start.name!r} has no single last map before it (found: {names}); name one with at="
            )
        return maps.pop()


def compared(
    method: Callable[..., np.ndarray],
    default_layer: Callable[[Query], str] | None = None,
    any_rank: bool = False,
) -> Callable[..., np.ndarray]:
    """Decorate a compared method with the public signature.

    Args:
        method: ``method(query, **options)`` returns float32 ``[n, H, W]``, one map per image.
        default_layer: the layer to start from if none is named; None starts from the model's output.
        any_rank: whether it also explains signals and volumes.

    Returns:
        ``explain(model, images, target=None, *, layer=None, output=0, **options)``. The arguments are those
        of :func:`gazeback.cnn_trace.trace`, with one target for each image and no lists; the options are
        keywords. It raises the errors of :meth:`Query.of` and of the method.
    """

    @wraps(method, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def explain(
        model: keras.Model,
        images: Any,
        target: Any = None,
        *,
        layer: str | None = None,
        output: int | str = 0,
        **options: Any,
    ) -> np.ndarray:
        _check_options(method, options)
        if layer is None and default_layer is not None:
            layer = default_layer(Query.of(model, images, output=output))
        return method(Query.of(model, images, target, layer, output, any_rank), **options)

    asked = list(signature(explain, follow_wrapped=False).parameters.values())[:-1]
    options = list(signature(method).parameters.values())[1:]
    own = [o if o.kind is Parameter.VAR_KEYWORD else o.replace(kind=Parameter.KEYWORD_ONLY) for o in options]
    explain.__signature__ = signature(method).replace(parameters=[*asked, *own])  # type: ignore[attr-defined]
    return explain


def _check_options(method: Callable[..., np.ndarray], given: Mapping[str, Any]) -> None:
    """Raise TraceError for an option that a method does not take."""
    known = list(signature(method).parameters.values())[1:]
    names = [one.name for one in known]
    unknown = [name for name in given if name not in names]
    if unknown and not any(one.kind is Parameter.VAR_KEYWORD for one in known):
        takes = ", ".join(["layer", "output", *names])
        raise TraceError(f"method {method.__name__!r} has no option {unknown[0]!r}; it takes {takes}")


def explain(name: str, model: keras.Model, images: Any, target: Any = None, **options: Any) -> np.ndarray:
    """Explain images by a compared method.

    Args:
        name: of a registered method (docs/compared.md).
        model, images, target: as for :func:`gazeback.cnn_trace.trace`; one target for each image, no lists.
        options: ``layer`` and ``output``, as there, and the method's own.

    Returns:
        float32 ``[n, H, W]``: one map per image, at its resolution.

    Raises:
        UserError, TraceError: there is no such method, or something does not fit.
    """
    return load_method(name)(model, images, target, **options)


def _probabilities(output: Tensor, shape: Sequence[int]) -> str:
    """The function that turns the logits of an output into probabilities; without an activation, a softmax is
    assumed."""
    call = output.call
    if call is not None and is_output_activation(call):
        return "sigmoid" if kind(call) == "sigmoid" else "softmax"
    return "sigmoid" if shape[-1] == 1 else "softmax"


def _pattern(target: Any, name: str, shape: Sequence[int]) -> np.ndarray:
    """Turn a target into a pattern int32 ``[n, rank - 1]``: None, an int, a tuple, or an integer array
    ``[n]`` or ``[n, rank - 1]``.
    """
    images, rank = shape[0], len(shape) - 1
    pattern = np.full((images, rank), STRONGEST, np.int32)
    if target is None:
        return pattern
    if isinstance(target, tuple) and target[:1] == (...,) and len(target) == 2:
        pattern[:] = EVERYWHERE
        target = target[1]
    given = np.asarray(target)
    if given.dtype.kind not in "iu" or isinstance(target, list):
        raise UserError(
            "a target is None, an int, a tuple of ints, (..., channel) or an integer array with one for each "
            f"image, got {target!r}"
        )
    if isinstance(target, np.ndarray) and given.ndim:
        fits = given.shape in ((images,), (images, rank))
        columns = slice(None) if given.ndim == 2 else -1
    else:
        fits = given.ndim == 0 or len(given) == rank
        columns = slice(None) if given.ndim else -1
    if not fits:
        raise UserError(
            f"target {target!r} does not fit {name!r} of shape {list(shape)}: a tuple has {rank} "
            f"coordinates, an array one row for each of the {images} images"
        )
    pattern[:, columns] = given
    limits = np.array(shape[1:])
    if (given < 0).any() or (pattern >= limits).any():
        raise UserError(f"target {target!r} is out of range: {name!r} has the shape {limits.tolist()}")
    return pattern
