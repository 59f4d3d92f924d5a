"""Methods of the optional package `xplique`: RISE, LIME, Kernel SHAP, Sobol, HSIC.

They are black-box methods: they only see the logits of changed images.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from skimage.segmentation import quickshift

from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query, compared
from gazeback.models.errors import UserError


def from_xplique(class_name: str, **defaults: Any) -> Callable[..., np.ndarray]:
    """Make a method with this package's signature from a black-box class of `xplique.attributions`.

    ``defaults`` are options of the class that differ from its own.

    ``explain(model, images, target=None, *, layer=None, output=0, **options)`` passes the options to the
    class and returns float32 ``[n, H, W]``. It raises UserError if the package is missing or has no such
    class, and for a model with several inputs or without an output ``[n, classes]``.
    """

    @compared
    def explain(query: Query, **options: Any) -> np.ndarray:
        explainer = _class(class_name)
        if len(query.arrays) > 1 or len(query.start.shape) != 2:
            raise UserError(
                f"xplique explains one image input and one vector of answers; {query.graph.name!r} "
                f"has {len(query.arrays)} inputs and answers of shape {list(query.start.shape)}"
            )

        def logits(pixels: Any) -> np.ndarray:
            altered = query.with_pixels(np.asarray(pixels, np.float32), np.zeros(len(pixels), np.int64))
            return ask(altered, [query.start]).values[0]

        classes = int(query.start.shape[1] or 0)
        asked = np.eye(classes, dtype=np.float32)[ask(query).neurons[:, 0]]
        maps = np.asarray(explainer(logits, **(defaults | options)).explain(query.pixels, asked), np.float32)
        return maps[..., 0] if maps.ndim == 4 else maps

    explain.__name__ = class_name
    explain.__doc__ = f"The class {class_name} of `xplique.attributions`; see :func:`from_xplique`."
    return explain


def _class(name: str) -> Any:
    try:
        attributions = import_module("xplique.attributions")
    except ImportError as error:
        raise UserError(
            f"this method needs the package xplique, which cannot be imported ({error}): pip install xplique"
        ) from error
    found = getattr(attributions, name, None)
    if found is None:
        raise UserError(f"xplique.attributions has no class {name!r}")
    return found


def superpixels(image: Any) -> np.ndarray:
    """Segment an image ``[H, W, C]`` into superpixels: the number of each pixel's superpixel, int32
    ``[H, W]``.

    This is quick shift, as the authors of LIME segment photos, for any range of the model's pixels.
    """
    pixels = np.asarray(image, np.float64)
    unit = (pixels - pixels.min()) / max(float(np.ptp(pixels)), 1e-9)
    colour = unit.shape[-1] == 3
    return quickshift(unit, kernel_size=4, max_dist=200, ratio=0.2, convert2lab=colour).astype(np.int32)


rise = from_xplique("Rise")
lime = from_xplique("Lime", map_to_interpret_space=superpixels)
kernel_shap = from_xplique("KernelShap", map_to_interpret_space=superpixels)
sobol = from_xplique("SobolAttributionMethod")
hsic = from_xplique("HsicAttributionMethod")
