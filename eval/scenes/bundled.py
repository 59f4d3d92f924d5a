"""The two captioners of scenes that come with the package, in half precision.

`write` makes a file from a trained captioner; it is how `eval/scenes/weights` was made.
"""

import os
from pathlib import Path

import numpy as np

from gazeback.eval.scenes import networks
from gazeback.models.captioner import Captioner
from gazeback.models.errors import ModelError

WEIGHTS = Path(__file__).parent / "weights"


def load(head: str, folder: Path = WEIGHTS) -> Captioner:
    """The captioner with one of ``networks.HEADS``; raises ModelError for another name or a missing file."""
    if head not in networks.HEADS:
        raise ModelError(
            f"unknown head {head!r} of a captioner of scenes; there are {', '.join(networks.HEADS)}"
        )
    file = _file(folder, head)
    if not file.is_file():
        raise ModelError(f"{file}: the bundled captioner of scenes is missing; install gazeback again")
    with np.load(file, allow_pickle=False) as content:
        arrays = {key: content[key].astype(np.float32) for key in content.files}
    model = networks.build(head)
    model.set_weights([arrays[f"weights/{number}"] for number in range(len(model.get_weights()))])
    return Captioner(
        model, networks.vocabulary(), arrays["mean_features"], networks.LAST_MAP, f"scenes-{head}"
    )


def write(captioner: Captioner, head: str, folder: Path = WEIGHTS) -> Path:
    """Write a captioner that ``train_scenes`` trained, as a whole or not at all; returns the file."""
    arrays = {f"weights/{number}": array for number, array in enumerate(captioner.model.get_weights())}
    arrays["mean_features"] = captioner.mean_features
    file = _file(folder, head)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with open(partial, "wb") as target:
        np.savez_compressed(target, **{key: array.astype(np.float16) for key, array in arrays.items()})
    os.replace(partial, file)
    return file


def _file(folder: Path, head: str) -> Path:
    return folder / f"{head}.npz"
