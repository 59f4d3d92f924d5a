"""LSTM and GRU cells with frozen gates: the forward step and the exact step back (docs/method.md, step 1).

Shapes: ``n`` images or questions, ``T`` steps, ``X`` input features, ``U`` units. The order of the gates in
the kernels is that of Keras: LSTM i, f, c, o; GRU z, r, h. A cell with a ``stabilizer`` adds it to the
magnitude of every sum that is divided by, as the epsilon rule of layer-wise relevance propagation does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.rules.activation import frozen_ratio
from gazeback.cnn_trace.rules.kernels import as_array

State = tuple[np.ndarray, ...]
Function = Callable[[np.ndarray], np.ndarray]


def function(activation: Any) -> Function:
    """Turn a Keras activation into a function of arrays."""
    name = getattr(activation, "__name__", "")
    if name == "tanh":
        return np.tanh
    if name == "sigmoid":
        return lambda z: 0.5 * (1 + np.tanh(0.5 * z))
    return lambda z: as_array(keras.ops.convert_to_numpy(activation(z)))


@dataclass(frozen=True)
class Back:
    """The result of one step back: coefficients on ``x_t`` and on the previous states, and bias terms
    ``[n]``."""

    x: np.ndarray
    states: State
    bias: np.ndarray


@dataclass(frozen=True)
class _Cell:
    """The weights and functions of a cell; the columns of its kernels are those of all gates."""

    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray
    activation: Function
    gate: Function
    stabilizer: float = field(default=0.0, kw_only=True)

    @cached_property
    def at_zero(self) -> float:
        """The activation of 0."""
        return float(self.activation(np.zeros((1, 1), np.float32))[0, 0])

    def project(self, x: np.ndarray) -> np.ndarray:
        """``x_t W + b`` for all gates of all steps at once, ``[n, T, gates U]``."""
        return x @ self.kernel + self.bias

    @cached_property
    def candidate(self) -> np.ndarray:
        """The candidate's part of the kernel, ``[X, U]``."""
        return _columns(self.kernel, self.recurrent.shape[0])

    @cached_property
    def candidate_recurrent(self) -> np.ndarray:
        """The candidate's part of the recurrent kernel, ``[U, U]``."""
        return _columns(self.recurrent, self.recurrent.shape[0])


@dataclass(frozen=True)
class LSTMCell(_Cell):
    """LSTM in the form of Keras: ``c_t = f * c_(t-1) + i * g``, ``h_t = o * act(c_t)`` (Hochreiter,
    Schmidhuber 1997)."""

    states = 2

    @classmethod
    def of(cls, layer: Any, stabilizer: float = 0.0) -> LSTMCell:
        """Read the weights of a ``keras.layers.LSTM``."""
        cell = layer.cell
        units = cell.units
        bias = as_array(cell.bias) if cell.use_bias else np.zeros(4 * units, np.float32)
        kernel, recurrent = as_array(cell.kernel), as_array(cell.recurrent_kernel)
        functions = function(cell.activation), function(cell.recurrent_activation)
        return cls(kernel, recurrent, bias, *functions, stabilizer=stabilizer)

    def forward(self, projected: np.ndarray, states: State) -> tuple[State, dict[str, np.ndarray]]:
        """Compute one step; returns the new (h, c) and the values that the step back needs."""
        h, c = states
        i, f, z, o = np.split(projected + h @ self.recurrent, 4, axis=1)
        i, f, o, g = self.gate(i), self.gate(f), self.gate(o), self.activation(z)
        new_c = f * c + i * g
        squashed = self.activation(new_c)
        frozen = {
            "i": i,
            "f": f,
            "o": o,
            "candidate": frozen_ratio(z, g, self.at_zero, self.stabilizer),
            "cell": frozen_ratio(new_c, squashed, self.at_zero, self.stabilizer),
            "kept": _kept(new_c, self.stabilizer),
        }
        return (o * squashed, new_c), frozen

    def back(self, dh: np.ndarray, dstates: State, frozen: dict[str, np.ndarray]) -> Back:
        """Take one step back: ``dc_t += dh_t o tanh(c_t)/c_t``, ``dz_t = dc_t i g_t/z_t``, ``dx_t = W dz_t``,
        ``dh_(t-1) = W_h dz_t``.

        Args:
            dh: coefficients on ``h_t``, ``[n, U]``, including those on the state h.
            dstates: (unused h, coefficients on ``c_t``).
            frozen: the values that :meth:`forward` returned for the step back.
        """
        units = self.recurrent.shape[0]
        candidate = slice(2 * units, 3 * units)
        dc = dstates[1] * frozen["kept"] + dh * frozen["o"] * frozen["cell"]
        dz = dc * frozen["i"] * frozen["candidate"]
        bias = dz @ self.bias[candidate]
        if self.at_zero:
            bias = bias + self.at_zero * ((dh * frozen["o"]).sum(axis=1) + (dc * frozen["i"]).sum(axis=1))
        x, below = dz @ self.candidate.T, dz @ self.candidate_recurrent.T
        return Back(x, (below, dc * frozen["f"]), bias)


@dataclass(frozen=True)
class GRUCell(_Cell):
    """GRU: ``h_t = z * h_(t-1) + (1 - z) * act(...)`` (Cho et al. 2014; both forms of the reset gate in
    Keras)."""

    recurrent_bias: np.ndarray
    reset_after: bool

    states = 1

    @classmethod
    def of(cls, layer: Any, stabilizer: float = 0.0) -> GRUCell:
        """Read the weights of a ``keras.layers.GRU``."""
        cell = layer.cell
        bias = recurrent_bias = np.zeros(3 * cell.units, np.float32)
        if cell.use_bias:
            bias = as_array(cell.bias)
            if cell.reset_after:
                bias, recurrent_bias = bias
        return cls(
            as_array(cell.kernel),
            as_array(cell.recurrent_kernel),
            bias,
            function(cell.activation),
            function(cell.recurrent_activation),
            recurrent_bias,
            cell.reset_after,
            stabilizer=stabilizer,
        )

    def forward(self, projected: np.ndarray, states: State) -> tuple[State, dict[str, np.ndarray]]:
        """Compute one step; returns the new (h,) and the values that the step back needs."""
        (h,) = states
        units = h.shape[1]
        xz, xr, xh = np.split(projected, 3, axis=1)
        gates = h @ self.recurrent[:, : 2 * units] + self.recurrent_bias[: 2 * units]
        z, r = self.gate(xz + gates[:, :units]), self.gate(xr + gates[:, units:])
        candidate = self.recurrent[:, 2 * units :]
        if self.reset_after:
            inner = xh + r * (h @ candidate + self.recurrent_bias[2 * units :])
        else:
            inner = xh + (r * h) @ candidate
        value = self.activation(inner)
        new_h = z * h + (1 - z) * value
        frozen = {
            "z": z,
            "r": r,
            "candidate": frozen_ratio(inner, value, self.at_zero, self.stabilizer),
            "kept": _kept(new_h, self.stabilizer),
        }
        return (new_h,), frozen

    def back(self, dh: np.ndarray, dstates: State, frozen: dict[str, np.ndarray]) -> Back:
        """Take one step back with z and r frozen: coefficients pass through the candidate and ``z h_(t-1)``
        only."""
        units = self.recurrent.shape[0]
        candidate = slice(2 * units, 3 * units)
        dh = dh * frozen["kept"]
        fresh = dh * (1 - frozen["z"])
        inner = fresh * frozen["candidate"]
        bias = inner @ self.bias[candidate] + self.at_zero * fresh.sum(axis=1)
        if self.reset_after:
            gated = inner * frozen["r"]
            bias = bias + gated @ self.recurrent_bias[candidate]
            below = gated @ self.candidate_recurrent.T
        else:
            below = frozen["r"] * (inner @ self.candidate_recurrent.T)
        return Back(inner @ self.candidate.T, (below + dh * frozen["z"],), bias)


def _kept(total: np.ndarray, stabilizer: float) -> np.ndarray:
    """The fraction of a sum's relevance that reaches its terms if a stabilizer takes the rest."""
    if not stabilizer:
        return np.ones((len(total), 1), total.dtype)
    return frozen_ratio(total, total, stabilizer=stabilizer)


def _columns(kernel: np.ndarray, units: int) -> np.ndarray:
    # The candidate is the third gate of both cells.
    return np.ascontiguousarray(kernel[:, 2 * units : 3 * units])
