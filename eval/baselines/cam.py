"""Class activation maps: weighted sums of the channels of one map.

The arguments ``model``, ``images``, ``target``, ``layer`` and ``output`` are those of
:func:`gazeback.cnn_trace.trace`; ``at`` names the layer whose map is weighted, by default the last one.
Results are float32 ``[n, H, W]``, upsampled bilinearly; with ``raw=True`` ``[n, h, w]``, at the map's own
resolution. A target, an input or a layer that does not fit raises UserError or TraceError.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from gazeback.cnn_trace.graph import Call, Tensor
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.rules.table import TRANSPARENT
from gazeback.eval.baselines.backward import Answer, ask
from gazeback.eval.baselines.projections import guided, projected
from gazeback.eval.baselines.query import Query, compared
from gazeback.eval.baselines.upsampling import upsampled
from gazeback.models.errors import UserError


@compared
def cam(query: Query, raw: bool = False) -> np.ndarray:
    """Compute the class activation map ``M_c(x, y) = sum over k of w_k^c f_k(x, y)``, with sign.

    Source: Zhou, Khosla, Lapedriza, Oliva, Torralba, *Learning Deep Features for Discriminative
    Localization*, CVPR 2016, equation 2. The start must be a dense layer on a globally averaged map;
    otherwise it raises UserError.
    """
    dense, last_map = _averaged_map(query)
    answer = ask(query, [last_map])
    weights = as_array(dense.kernel)[:, answer.neurons[:, -1]]
    return _sized(np.einsum("nhwc,cn->nhw", answer.values[0], weights), query, raw)


@compared
def grad_cam(query: Query, at: str | None = None, score: str = "logit", raw: bool = False) -> np.ndarray:
    """Compute Grad-CAM: Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra, ICCV 2017, equations 1 and 2.

    Args:
        score: ``"logit"`` (the paper), ``"log-probability"`` or ``"probability"``.
    """
    return _sized(_grad_cam(query, at, score), query, raw)


@compared
def grad_cam_plus_plus(
    query: Query, at: str | None = None, normalize: bool = False, raw: bool = False
) -> np.ndarray:
    """Compute Grad-CAM++: Chattopadhay, Sarkar, Howlader, Balasubramanian, WACV 2018, section 3.

    The score is the exponential of the logit. So a channel's alphas are ``g^2 / (2 g^2 + sum(A) g^3)``, where
    g is the logit's gradient. The exponential itself scales the whole map and is left out.

    Args:
        normalize: divide each channel's alphas by their sum, as the authors' code does and the paper does
            not.
    """
    maps, gradients = _map_and_gradient(query, at)
    squared = gradients**2
    divisor = 2 * squared + gradients**3 * maps.sum(axis=(1, 2), keepdims=True)
    alpha = np.divide(squared, divisor, out=np.zeros_like(maps), where=divisor != 0)
    if normalize:
        total = alpha.sum(axis=(1, 2), keepdims=True)
        alpha = np.divide(alpha, total, out=np.zeros_like(alpha), where=total != 0)
    weights = (alpha * np.maximum(gradients, 0)).sum(axis=(1, 2))
    return _sized(np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0), query, raw)


@compared
def layer_cam(query: Query, at: str | None = None, raw: bool = False) -> np.ndarray:
    """Compute LayerCAM: each location of a channel is weighted by the positive part of its own gradient.

    Source: Jiang, Zhang, Hou, Cheng, Wei, *LayerCAM*, IEEE TIP 2021, section III.
    """
    maps, gradients = _map_and_gradient(query, at)
    return _sized(np.maximum((np.maximum(gradients, 0) * maps).sum(axis=-1), 0), query, raw)


@compared
def guided_grad_cam(query: Query, at: str | None = None, raw: bool = False) -> np.ndarray:
    """Multiply guided backpropagation by the upsampled Grad-CAM (Selvaraju et al., ICCV 2017, section 3).

    Returns:
        float32 ``[n, H, W]``: the largest magnitude among the channels; with ``raw=True`` the product
        ``[n, H, W, C]`` with its sign.
    """
    coarse = _sized(_grad_cam(query, at, "logit"), query, raw=False)
    product = projected(query, guided) * coarse[..., None]
    return product if raw else np.abs(product).max(axis=-1)


def _grad_cam(query: Query, at: str | None, score: str) -> np.ndarray:
    """float32 ``[n, h, w]``."""
    maps, gradients = _map_and_gradient(query, at, score)
    alpha = gradients.mean(axis=(1, 2))  # equation 1
    return np.maximum(np.einsum("nhwc,nc->nhw", maps, alpha), 0)  # equation 2


def _map_and_gradient(query: Query, at: str | None, score: str = "logit") -> tuple[np.ndarray, np.ndarray]:
    """The map and its gradient, each float32 ``[n, h, w, c]``."""
    answer: Answer = ask(query, [query.map_of(at)], score=score)
    return answer.values[0].astype(np.float32), answer.gradients[0].astype(np.float32)


def _sized(maps: np.ndarray, query: Query, raw: bool) -> np.ndarray:
    return maps if raw else upsampled(maps, *query.pixels.shape[1:3])


def _averaged_map(query: Query) -> tuple[Any, Tensor]:
    """The dense layer of the start, and the map whose global average it reads."""
    dense = query.start.call
    if dense is not None and isinstance(dense.operation, keras.layers.Dense) and dense.part != "activation":
        tensor = dense.inputs[0]
        while tensor.call is not None and _changes_nothing(tensor.call):
            tensor = tensor.call.inputs[0]
        if tensor.call is not None and _is_global_average(tensor.call):
            return dense.operation, tensor.call.inputs[0]
    raise UserError(
        f"CAM needs a dense layer on a globally averaged map, and {query.start.name!r} is none; use "
        "the method grad-cam"
    )


def _changes_nothing(call: Call) -> bool:
    return type(call.operation).__name__ in (*TRANSPARENT, "Flatten", "Reshape")


def _is_global_average(call: Call) -> bool:
    before, after = call.inputs[0], call.outputs[0]
    if not before.is_map:
        return False
    if isinstance(call.operation, keras.layers.AveragePooling2D):
        return after.shape[1:3] == (1, 1)
    mean: Any = call.operation
    if type(mean).__name__ == "Mean" and not isinstance(mean, keras.Layer):
        axes = mean.axis if isinstance(mean.axis, list | tuple) else [mean.axis]
        return sorted(a % 4 for a in axes if a is not None) == [1, 2]
    return isinstance(mean, keras.layers.GlobalAveragePooling2D)
