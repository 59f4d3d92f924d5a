"""Quantus and gazeback use each other: its metrics measure our methods, its methods stand in our tables.

Quantus is the package ``quantus`` (Hedström et al., *Quantus: An Explainable AI Toolkit for Responsible
Evaluation of Neural Network Explanations and Beyond*, JMLR 2023). gazeback does not need it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import keras
import numpy as np

from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query, compared
from gazeback.eval.subjects.methods import class_maps
from gazeback.models.errors import UserError, first_line


def for_quantus(
    model: keras.Model, inputs: np.ndarray, targets: np.ndarray, *, method: str = "evidence", **_: Any
) -> np.ndarray:
    """Explain images by a method of gazeback, with the signature that Quantus asks for.

    A metric of Quantus takes it as ``metric(model=..., ..., explain_func=for_quantus,
    explain_func_kwargs={"method": "grad-cam"})``.

    Args:
        model: a Keras model of one image input.
        inputs: float ``[n, H, W, C]``; ``[n, C, H, W]``, as some metrics have it, is turned if the model has
            the channels last.
        targets: int ``[n]``, the class of each image.
        method: a method of the core or a registered one.
        _: what Quantus passes besides, such as a device; not used.

    Returns:
        float32 ``[n, 1, H, W]``, non-negative: Quantus spreads one map over the channels.

    Raises:
        UserError, TraceError: there is no such method, or something does not fit.
    """
    inputs = np.asarray(inputs)
    if not _fits(inputs.shape[1:], model.input_shape[1:]):
        inputs = np.moveaxis(inputs, 1, -1)
    return class_maps(method, model, inputs, np.asarray(targets))[:, None]


def _fits(given: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a shape is one that a model takes; None is any size."""
    return len(given) == len(expected) and all(
        side in (None, size) for size, side in zip(given, expected, strict=True)
    )


def from_quantus(method: str, **settings: Any) -> Callable[..., np.ndarray]:
    """Make a method with gazeback's signature from an explanation function of Quantus.

    Args:
        method: its name in ``quantus.explain``. For Keras models Quantus asks the package ``tf_explain``.
        settings: other arguments of ``quantus.explain``.

    Returns:
        ``explain(model, images, target=None, *, layer=None, output=0, **options)``, which passes the options
        on, and returns float32 ``[n, H, W]``. It explains the model's first output and its classes. It raises
        UserError if a package is missing, or Quantus cannot explain the model.
    """

    @compared
    def explain(query: Query, **options: Any) -> np.ndarray:
        if query.output_activation is None or len(query.arrays) > 1 or len(query.start.shape) != 2:
            raise UserError("Quantus explains classes of a model with one image input, not layers or words")
        given = {"method": method, "softmax": False, "channel_first": False, **settings, **options}
        try:
            maps = _quantus().explain(query.model, query.pixels, ask(query).neurons[:, 0], **given)
        except UserError:
            raise
        except Exception as error:  # whatever is raised by tf_explain, or where PyTorch is missing
            raise UserError(f"Quantus cannot explain {query.model.name!r}: {first_line(error)}") from error
        maps = np.asarray(maps, np.float32)
        return maps.sum(axis=-1) if maps.ndim == 4 else maps

    explain.__name__ = f"quantus {method}"
    explain.__doc__ = f"``quantus.explain`` with method={method!r}; see :func:`from_quantus`."
    return explain


def _quantus() -> Any:
    try:
        return import_module("quantus")
    except ImportError as error:
        raise UserError(
            f"this method needs the package quantus, which cannot be imported ({error}): "
            "pip install quantus tf-explain torch"
        ) from error


gradient_input = from_quantus("GradientsInput")
integrated_gradients = from_quantus("IntegratedGradients")
