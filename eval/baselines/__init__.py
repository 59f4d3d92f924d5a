"""Compared methods for every model that gazeback can trace.

They are written from the papers; docs/compared.md lists them. Each name is imported when it is first used, so
importing the package loads no backend.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazeback.eval.baselines.activations import feature_maps
    from gazeback.eval.baselines.projections import grid_artefacts
    from gazeback.eval.baselines.query import explain

_HOMES = {
    "explain": "query",
    "feature_maps": "activations",
    "grid_artefacts": "projections",
}
__all__ = ["explain", "feature_maps", "grid_artefacts"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
