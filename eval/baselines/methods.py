"""The compared methods by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from gazeback.eval.baselines import (
    activations,
    adapters,
    cam,
    excitation,
    occlusion,
    projections,
    saliency,
)
from gazeback.models.errors import UserError

METHODS: dict[str, Callable[..., np.ndarray]] = {
    "saliency": saliency.saliency,
    "gradient-input": saliency.gradient_input,
    "smoothgrad": saliency.smoothgrad,
    "integrated-gradients": saliency.integrated_gradients,
    "deconvnet": projections.deconvnet,
    "guided-backprop": projections.guided_backprop,
    "activation-map": activations.activation_map,
    "activation": activations.activation,
    "occlusion": occlusion.occlusion,
    "cam": cam.cam,
    "grad-cam": cam.grad_cam,
    "grad-cam++": cam.grad_cam_plus_plus,
    "guided-grad-cam": cam.guided_grad_cam,
    "layer-cam": cam.layer_cam,
    "excitation-backprop": excitation.excitation_backprop,
    "c-mwp": excitation.contrastive_excitation_backprop,
    "rise": adapters.rise,
    "lime": adapters.lime,
    "kernel-shap": adapters.kernel_shap,
    "sobol": adapters.sobol,
    "hsic": adapters.hsic,
}


def explain(name: str, model: keras.Model, images: Any, target: Any = None, **options: Any) -> np.ndarray:
    """Explain with a method of :data:`METHODS`.

    Args:
        name: of the method.
        model, images, target: as for :func:`gazeback.cnn_trace.trace`; one target for each image, no lists.
        options: ``layer`` and ``output``, as there, and the method's own.

    Returns:
        float32 ``[n, H, W]``: one map per image, at its resolution.

    Raises:
        UserError, TraceError: there is no such method, or something does not fit.
    """
    if name not in METHODS:
        raise UserError(f"unknown method {name!r}; there are {', '.join(METHODS)}")
    return METHODS[name](model, images, target, **options)
