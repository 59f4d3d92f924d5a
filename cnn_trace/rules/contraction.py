"""Rules of products that are summed over axes: EinsumDense, einsum, matmul.

The factors are a tensor and weights, or several tensors. Attention is such a product. Its weights, which are
the output of a softmax, are constants, and it is linear in its values.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules import dense
from gazeback.cnn_trace.rules.dense_fan import DenseFan, groups
from gazeback.cnn_trace.rules.gates import is_gate
from gazeback.cnn_trace.rules.geometry import Field, SeesEverything, in_place
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.rules.operators import LayerOf, as_layer
from gazeback.cnn_trace.selection import CNNFixations
from gazeback.cnn_trace.step import Step

Below = tuple[list[tuple[Tensor, np.ndarray]], Any]

# The largest number of terms that are computed at a time.
_CHUNK_VALUES = 1 << 22


@dataclass(frozen=True)
class Contraction:
    """A sum of products in Einstein's notation, one letter for each axis.

    Attributes:
        operands: tensors of the model, batch axis first, and at most one constant, without a batch axis.
        letters: the letters of each operand.
        output: the letters of the output; the first is the batch axis.
        trunk: the operands to which evidence and coefficients propagate; the others are constants.
    """

    operands: tuple[Any, ...]
    letters: tuple[str, ...]
    output: str
    trunk: tuple[int, ...]

    @property
    def others(self) -> list[int]:
        """The operands whose values are needed: all except a trunk of one operand."""
        return [i for i in range(len(self.operands)) if i not in self.trunk or len(self.trunk) > 1]


def contraction(call: Call) -> Contraction:
    """Read the contraction that a call computes.

    Raises:
        TraceError: it mixes the images of a batch, or takes a diagonal.
    """
    operands, letters, output = _READERS[type(call.operation).__name__](call)
    batch = output[:1]
    kept = []
    for operand, axes in zip(operands, letters, strict=True):
        if isinstance(operand, Tensor):
            if axes[:1] != batch or batch in axes[1:]:
                raise TraceError(f"{call.name!r} mixes the images of a batch, for which there is no rule")
        elif batch in axes:
            operand, axes = _without_batch(call, operand, axes, batch)
        if len(set(axes)) < len(axes):
            raise TraceError(f"{call.name!r} takes a diagonal, for which there is no rule")
        kept.append((operand, axes))
    kept = _with_one_constant(kept, output)
    tensors = [i for i, (operand, _) in enumerate(kept) if isinstance(operand, Tensor)]
    trunk = [i for i in tensors if not is_gate(kept[i][0])] or tensors
    return Contraction(
        tuple(operand for operand, _ in kept), tuple(axes for _, axes in kept), output, tuple(trunk)
    )


def _without_batch(call: Call, constant: Any, axes: str, batch: str) -> tuple[Any, str]:
    place = axes.index(batch)
    if constant.shape[place] != 1:
        raise TraceError(
            f"{call.name!r} multiplies with a constant of {constant.shape[place]} images, for which there is "
            "no rule"
        )
    return np.squeeze(as_array(constant), place), axes.replace(batch, "")


def _with_one_constant(kept: list[tuple[Any, str]], output: str) -> list[tuple[Any, str]]:
    """The tensors, and the product of all constants."""
    tensors = [(operand, letters) for operand, letters in kept if isinstance(operand, Tensor)]
    constants = [(operand, letters) for operand, letters in kept if not isinstance(operand, Tensor)]
    wanted = set(output).union(*(letters for _, letters in tensors))
    while len(constants) > 1:
        (a, of_a), (b, of_b) = constants[:2]
        later = wanted.union(*(letters for _, letters in constants[2:]))
        constants[:2] = [_multiplied(as_array(a), of_a, as_array(b), of_b, later)]
    return tensors + constants


Read = tuple[list[Any], list[str], str]


def _read_einsum_dense(call: Call) -> Read:
    x = call.inputs[0]
    return _of_equation(call, call.operation.equation, [x, call.operation.kernel])


def _read_einsum(call: Call) -> Read:
    return _of_equation(call, call.operation.subscripts, list(call.arguments))


def _of_equation(call: Call, equation: str, operands: list[Any]) -> Read:
    """Read an equation; an ellipsis becomes letters, and a missing right side is the letters that occur
    once."""
    left, _, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    ranks = [
        len(operand.shape) - len(term.replace("...", ""))
        for operand, term in zip(operands, terms, strict=True)
    ]
    longest = max((r for r, term in zip(ranks, terms, strict=True) if "..." in term), default=0)
    letters = [
        term.replace("...", "".join(free[longest - rank : longest]))
        for rank, term in zip(ranks, terms, strict=True)
    ]
    if "->" not in equation:
        once = sorted(c for c in set("".join(terms)) - {"."} if "".join(terms).count(c) == 1)
        right = "..." * ("..." in left) + "".join(once)
    return operands, letters, right.replace("...", "".join(free[:longest]))


def _read_matmul(call: Call) -> Read:
    """Read ``x1 [..., i, k] @ x2 [..., k, j]``, whose leading axes broadcast."""
    operands = _two(call)
    ranks = [len(operand.shape) for operand in operands]
    front = string.ascii_lowercase[: max(0, max(ranks) - 2)]
    first = front[len(front) - (ranks[0] - 2) :] + "IK" if ranks[0] > 1 else "K"
    second = front[len(front) - (ranks[1] - 2) :] + "KJ" if ranks[1] > 1 else "K"
    return operands, [first, second], front + "I" * (ranks[0] > 1) + "J" * (ranks[1] > 1)


def _read_dot(call: Call) -> Read:
    """Read ``keras.ops.dot``: the last axis of the first with the second to last axis of the second."""
    operands = _two(call)
    ranks = [len(operand.shape) for operand in operands]
    return _contracted(operands, [ranks[0] - 1], [max(ranks[1] - 2, 0)])


def _read_tensordot(call: Call) -> Read:
    operands, axes = _two(call), call.operation.axes
    if isinstance(axes, int):
        rank = len(operands[0].shape)
        axes = (list(range(rank - axes, rank)), list(range(axes)))
    axes = [[axis] if isinstance(axis, int) else list(axis) for axis in axes]
    return _contracted(operands, *axes)


def _contracted(operands: list[Any], first: list[int], second: list[int]) -> Read:
    ranks = [len(operand.shape) for operand in operands]
    one, two = list(string.ascii_lowercase[: ranks[0]]), list(string.ascii_uppercase[: ranks[1]])
    for a, b in zip(first, second, strict=True):
        two[b] = one[a]
    kept = [c for c in one if c not in two] + [c for c in two if c not in one]
    return operands, ["".join(one), "".join(two)], "".join(kept)


def _two(call: Call) -> list[Any]:
    return [*call.arguments, *call.keywords.values()][:2]


_READERS: dict[str, Callable[[Call], Read]] = {
    "EinsumDense": _read_einsum_dense,
    "Einsum": _read_einsum,
    "Matmul": _read_matmul,
    "Dot": _read_dot,
    "Tensordot": _read_tensordot,
}


def followed(call: Call) -> list[Tensor]:
    """The operands to which evidence and coefficients propagate: those that are not the output of a
    softmax."""
    sums = contraction(call)
    return [sums.operands[i] for i in sums.trunk]


def adjoint_reads(call: Call, selection: CNNFixations) -> list[Tensor]:
    """The adjoint reads all tensors except a single trunk."""
    sums = contraction(call)
    return [sums.operands[i] for i in sums.others if isinstance(sums.operands[i], Tensor)]


def adjoint(step: Step, coefficients: np.ndarray) -> Below:
    """Weights and attention weights are constants; several other factors split the sum evenly."""
    sums = contraction(step.call)
    values = {i: _value(step, sums.operands[i]) for i in sums.others}
    below = []
    for i in sums.trunk:
        k, letters = coefficients / np.float32(len(sums.trunk)), sums.output
        rest = [j for j in values if j != i]
        for place, j in enumerate(rest):
            wanted = set(sums.letters[i]).union(*(sums.letters[n] for n in rest[place + 1 :]))
            k, letters = _multiplied(k, letters, values[j], sums.letters[j], wanted)
        tensor = sums.operands[i]
        shape = (len(coefficients), *step.shape(tensor)[1:])
        below.append((tensor, _arranged(k, letters, sums.letters[i], shape)))
    return below, _bias(step, coefficients)


def _value(step: Step, operand: Any) -> np.ndarray:
    return step.value(operand) if isinstance(operand, Tensor) else np.asarray(as_array(operand), np.float32)


def _multiplied(
    a: np.ndarray, of_a: str, b: np.ndarray, of_b: str, wanted: set[str]
) -> tuple[np.ndarray, str]:
    """Multiply two arrays and sum over the axes that are not wanted, as one matrix product."""
    a, of_a = _summed(a, of_a, wanted.union(of_b))
    b, of_b = _summed(b, of_b, wanted.union(of_a))
    size = {c: max(n, m) for c, n, m in _sizes(a, of_a, b, of_b)}
    a = np.broadcast_to(a, [size[c] for c in of_a])
    b = np.broadcast_to(b, [size[c] for c in of_b])
    both = [c for c in of_a if c in of_b and c in wanted]
    summed = [c for c in of_a if c in of_b and c not in wanted]
    left, right = [c for c in of_a if c not in of_b], [c for c in of_b if c not in of_a]

    def matrices(x: np.ndarray, of_x: str, rows: list[str], columns: list[str]) -> np.ndarray:
        x = x.transpose([of_x.index(c) for c in (*both, *rows, *columns)])
        shape = [math.prod(size[c] for c in axes) for axes in (rows, columns)]
        return x.reshape(*(size[c] for c in both), *shape)

    product = matrices(a, of_a, left, summed) @ matrices(b, of_b, summed, right)
    found = (*both, *left, *right)
    return product.reshape([size[c] for c in found]), "".join(found)


def _sizes(a: np.ndarray, of_a: str, b: np.ndarray, of_b: str) -> list[tuple[str, int, int]]:
    one, two = dict(zip(of_a, a.shape, strict=True)), dict(zip(of_b, b.shape, strict=True))
    return [(c, one.get(c, 1), two.get(c, 1)) for c in {**one, **two}]


def _summed(x: np.ndarray, letters: str, wanted: set[str]) -> tuple[np.ndarray, str]:
    axes = tuple(i for i, c in enumerate(letters) if c not in wanted)
    return (x.sum(axis=axes) if axes else x), "".join(c for c in letters if c in wanted)


def _arranged(x: np.ndarray, letters: str, wanted: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reorder the axes of an array: repeat it along new axes, and sum along removed ones."""
    x, letters = _summed(x, letters, set(wanted))
    x = x.transpose([letters.index(c) for c in wanted if c in letters])
    x = x.reshape(
        [x.shape[sum(d in letters for d in wanted[:i])] if c in letters else 1 for i, c in enumerate(wanted)]
    )
    repeated = tuple(i for i, size in enumerate(shape) if size == 1 and x.shape[i] > 1)
    x = x.sum(axis=repeated, keepdims=True) if repeated else x
    return np.broadcast_to(x, shape)


def _bias(step: Step, coefficients: np.ndarray) -> np.ndarray:
    bias = _bias_of(step)
    if bias is None:
        return np.zeros(len(coefficients))
    total: np.ndarray = (coefficients * bias).reshape(len(coefficients), -1).sum(axis=1)
    return total


def _bias_of(step: Step) -> np.ndarray | None:
    """The bias of an EinsumDense, which broadcasts to the output."""
    bias = getattr(step.layer, "bias", None)
    return None if bias is None else as_array(bias)


def walk(step: Step, evidence: Evidence, selection: CNNFixations) -> list[tuple[Tensor, Evidence]]:
    """With weights, as a dense layer; with tensors, evidence propagates to the largest term of the sum, along
    the trunk.

    A mean that is weighted by attention is like average pooling: evidence propagates to the largest weighted
    value.
    """
    sums = contraction(step.call)
    tensors = [operand for operand in sums.operands if isinstance(operand, Tensor)]
    if len(tensors) > 1 or len(sums.operands) == 1:
        return _walk_terms(step, evidence, selection, sums)
    if _is_dense(sums):
        bias = _bias_of(step)
        layer = LayerOf(step.call.name, kernel=_weights(sums), use_bias=bias is not None, bias=bias)
        return dense.walk(as_layer(step, layer), evidence, selection)
    return [(tensors[0], part) for part in _walk_vectors(step, evidence, selection, sums)]


def _is_dense(sums: Contraction) -> bool:
    """Whether a tensor's last axis is multiplied by a matrix."""
    (place,) = sums.trunk
    x, (weights,) = sums.letters[place], [c for i, c in enumerate(sums.letters) if i != place]
    return x[:-1] == sums.output[:-1] and weights == x[-1] + sums.output[-1]


def _weights(sums: Contraction) -> np.ndarray:
    (place,) = sums.others
    return as_array(sums.operands[place])


def _walk_vectors(
    step: Step, evidence: Evidence, selection: CNNFixations, sums: Contraction
) -> list[Evidence]:
    """Walk as through a dense layer, one vector of inputs at a time."""
    letters = sums.letters[sums.trunk[0]]
    shared = [i for i, c in enumerate(sums.output) if c in letters]
    found = []
    for rows in groups(evidence.coordinates[:, shared]):
        members = evidence.take(rows)
        fan = VectorFan(step, sums, members)
        inputs, weights = selection.dense(fan, members.weights)
        sense = selection.sense_of(fan.values[inputs])
        found.append(Evidence.of(fan.coordinates[inputs], weights, sense))
    return found


class VectorFan(DenseFan):
    """The inputs of some neurons of a contraction with weights; all neurons have the same inputs.

    Args:
        step: the call, its input recorded.
        sums: the contraction.
        neurons: coordinates on the output.
    """

    def __init__(self, step: Step, sums: Contraction, neurons: Evidence) -> None:
        (place,) = sums.trunk
        self.step, self.tensor, letters = step, sums.operands[place], sums.letters[place]
        self.units, self.sense, self.over_map = np.arange(len(neurons)), neurons.sense, False
        terms = _Terms(step, sums, neurons.coordinates)
        self.coordinates = terms.coordinates(letters)[0]
        self.values = step.value(self.tensor)[tuple(self.coordinates.T)]
        self.kernel = terms.values(_weights(sums), sums.letters[1 - place]).T

        bias = _bias_of(step)
        shape = step.shape(step.output)[1:]
        at = tuple(neurons.coordinates[:, 1:].T)
        self.biases = np.zeros(len(neurons)) if bias is None else np.broadcast_to(bias, shape)[at]

    @property
    def bias(self) -> np.ndarray:
        """The neurons' biases times their signs, float32 ``[n]``."""
        return (self.biases[self.units] * self.sense).astype(np.float32)

    def take(self, neurons: np.ndarray) -> VectorFan:
        """The inputs of some of the neurons."""
        fan = copy(self)
        fan.units, fan.sense = self.units[neurons], self.sense[neurons]
        return fan

    def elements(self, inputs: np.ndarray) -> np.ndarray:
        """Convert inputs to flat indices of the tensor."""
        return Evidence.of(self.coordinates[inputs]).elements(self.step.shape(self.tensor))


class _Terms:
    """The terms that neurons of a contraction sum, as coordinates on its operands."""

    def __init__(self, step: Step, sums: Contraction, neurons: np.ndarray) -> None:
        size: dict[str, int] = {}
        for operand, letters in zip(sums.operands, sums.letters, strict=True):
            shape = step.shape(operand) if isinstance(operand, Tensor) else operand.shape
            size.update((c, n) for c, n in zip(letters, shape, strict=True) if n >= size.get(c, 0))
        summed = [c for c in size if c not in sums.output]
        self.count = math.prod(size[c] for c in summed)
        index = np.unravel_index(np.arange(self.count), [size[c] for c in summed]) if summed else ()
        self.place = {c: axis[None, :] for c, axis in zip(summed, index, strict=True)}
        self.place |= {c: axis[:, None] for c, axis in zip(sums.output, neurons.T, strict=True)}
        self.neurons = len(neurons)

    def coordinates(self, letters: str) -> np.ndarray:
        """The coordinates of the terms on an operand, int ``[neurons, terms, axes]``."""
        shape = (self.neurons, self.count)
        return np.stack([np.broadcast_to(self.place[c], shape) for c in letters], axis=-1)

    def values(self, operand: np.ndarray, letters: str) -> np.ndarray:
        """The values of an operand in the terms, ``[neurons, terms]``."""
        index = [np.minimum(self.place[c], n - 1) for c, n in zip(letters, operand.shape, strict=True)]
        found: np.ndarray = np.broadcast_to(operand[tuple(index)], (self.neurons, self.count))
        return found


def _walk_terms(
    step: Step, evidence: Evidence, selection: CNNFixations, sums: Contraction
) -> list[tuple[Tensor, Evidence]]:
    values = [_value(step, operand) for operand in sums.operands]
    parts: list[list[tuple[Tensor, Evidence]]] = []
    size = max(1, _CHUNK_VALUES // _Terms(step, sums, evidence.coordinates[:1]).count)
    for start in range(0, len(evidence), size):
        parts.append(_some_terms(step, evidence.take(slice(start, start + size)), selection, sums, values))
    return [found for part in parts for found in part]


def _some_terms(
    step: Step, evidence: Evidence, selection: CNNFixations, sums: Contraction, values: list[np.ndarray]
) -> list[tuple[Tensor, Evidence]]:
    terms = _Terms(step, sums, evidence.coordinates)
    factors = [terms.values(value, letters) for value, letters in zip(values, sums.letters, strict=True)]
    rows, best, weights = selection.terms(np.prod(factors, axis=0), evidence, step)
    evidence = evidence.shared(rows, weights)
    factors = [factor[rows, best] for factor in factors]
    strongest = np.stack([np.abs(factors[i]) for i in sums.trunk]).argmax(axis=0)
    found = []
    for place, i in enumerate(sums.trunk):
        chosen = strongest == place
        others = (factor[chosen] for j, factor in enumerate(factors) if j != i)
        sign = math.prod(others, start=np.ones(np.count_nonzero(chosen)))
        part, tensor = evidence.take(chosen).turned(sign), sums.operands[i]
        coordinates = terms.coordinates(sums.letters[i])[rows[chosen], best[chosen]]
        found.append((tensor, part.at(np.minimum(coordinates, np.subtract(step.shape(tensor), 1)))))
    return found


def geometry(step: Step, tensor: Tensor, field: Field) -> Field:
    """Weights on the last axis of a map see the same location; anything else sees the whole map."""
    sums = contraction(step.call)
    if len(sums.trunk) == 1 and len(sums.operands) == 2 and len(step.call.inputs) == 1 and _is_dense(sums):
        return in_place(step, tensor, field)
    raise SeesEverything
