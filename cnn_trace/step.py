"""The argument of a rule: one call with its layer, recorded values and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gazeback.cnn_trace.errors import TraceError
from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.recording import Recording


@dataclass(frozen=True)
class Step:
    """One call during the walk or the decomposition.

    Attributes:
        call: the call; ``call.inputs`` and ``call.outputs`` are its tensors.
        recording: the values of the forward pass, for the tensors that the rule declares.
        output: the output tensor at which the walk arrives.
        image: int64 ``[questions]``, for adjoints only: the index of each question's image in the batch.
        reads: the tensors that the rule declared; it can read the values of no others. None: of all.
    """

    call: Call
    recording: Recording
    output: Tensor
    image: np.ndarray | None = None
    reads: frozenset[Tensor] | None = None

    @property
    def layer(self) -> Any:
        """The layer or operator that was called."""
        return self.call.operation

    @property
    def input(self) -> Tensor:
        """The first input tensor."""
        return self.call.inputs[0]

    def value(self, tensor: Tensor) -> np.ndarray:
        """The recorded value of a tensor: ``[n, ...]`` in a walk, ``[questions, ...]`` in an adjoint."""
        value = self.recorded(tensor)
        if self.image is None:
            rows = self.recording.shapes[self.output][0]
            return value if len(value) in (0, rows) else np.broadcast_to(value, (rows, *value.shape[1:]))
        return self.of_questions(value)

    def of_questions(self, values: np.ndarray) -> np.ndarray:
        """For an adjoint, what belongs to the image of each question: ``[questions, ...]`` from ``[n,
        ...]``."""
        assert self.image is not None
        if len(values) == 1:
            return np.broadcast_to(values, (len(self.image), *values.shape[1:]))
        return values[self.image]

    def recorded(self, tensor: Tensor) -> np.ndarray:
        """The value of a tensor for all images of the batch, ``[n, ...]``.

        Raises:
            TraceError: the rule did not declare that it reads this tensor.
        """
        if self.reads is not None and tensor not in self.reads:
            raise TraceError(
                f"the rule of {self.call.name!r} ({type(self.call.operation).__name__}) reads the value of "
                f"{tensor.name!r} without declaring it; name the tensor in its walk_reads or adjoint_reads"
            )
        return self.recording[tensor]

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """The actual shape of a tensor in this forward pass, batch axis included."""
        return self.recording.shapes[tensor]

    def places(self, tensor: Tensor) -> tuple[int, ...]:
        """Height and width of a map (or its one length, or three)."""
        shape = self.shape(tensor)
        return shape[2:] if tensor.channels_first else shape[1:-1]
