"""Collect the response of every filter to every image on disk (Oramas et al. 2019, section 3.1).

A folder holds `values.npy`, float32 [n, D], one row for each image: the L2 norms of its filters over all
locations, divided by their sum within each layer. `predicted.npy` is int32 [n]. `done.npy` has one byte for
each image, written after its row. `about.json` says what they were made from. A run that was killed resumes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gazeback.eval.harness.run import tracked
from gazeback.eval.interpretation.forward import Forward, Network
from gazeback.eval.interpretation.lasso import ROWS, Rows
from gazeback.grounding.workers import HERE, Workers, answered
from gazeback.models.contents import digest, files_digest, versions
from gazeback.models.errors import DataError, PhotoError, UserError
from gazeback.models.reading import read_text
from gazeback.models.writing import json_text, new_array, write_atomically


@dataclass(frozen=True, eq=False)
class Standardised:
    """A matrix standardised column by column: ``(x - mean) / deviation``.

    values: float [n, D]. mean, deviation: float64 [D], over the rows; the deviation of a constant column is
    1.
    """

    values: Rows
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, values: Rows) -> Standardised:
        """Standardise a matrix; all rows are read twice, because squared differences from the mean avoid
        cancellation."""
        rows, columns = values.shape
        parts = [slice(first, first + ROWS) for first in range(0, rows, ROWS)]
        mean, variance = np.zeros(columns), np.zeros(columns)
        with np.errstate(invalid="ignore"):  # the solver checks that all values are finite
            for part in parts:
                mean += values[part].sum(axis=0, dtype=np.float64) / rows
            for part in parts:
                variance += np.square(values[part] - mean).sum(axis=0) / rows
        # rounding errors of a constant column are not a deviation
        alike = variance <= np.square(1e-6 * mean)
        return cls(values, mean, np.where(alike, 1.0, np.sqrt(variance)))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            found: np.ndarray = (self.values[rows] - self.mean) / self.deviation
        return found


BATCH = 16
"""The number of photos that the network reads at once."""

ABOUT = "about.json"


@dataclass(frozen=True, eq=False)
class Responses:
    """The responses to some photos.

    values: float32 [n, D], memory-mapped. predicted: int [n], the strongest output. readable: bool [n]; rows
    of photos that could not be read are invalid. skipped: one line for each of these.
    """

    values: np.ndarray
    predicted: np.ndarray
    readable: np.ndarray
    skipped: tuple[str, ...]

    def of(self, images: np.ndarray, filters: np.ndarray) -> Chosen:
        """Choose the rows of some images and the columns of some filters; int [m] and int [d]."""
        return Chosen(self.values, images, filters)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Some rows and columns of a large matrix, read a few rows at a time: `chosen[first:last]`."""

    values: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.columns)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice) -> np.ndarray:
        found: np.ndarray = self.values[self.rows[rows]][:, self.columns]
        return found


@dataclass(frozen=True, eq=False)
class Batch:
    """The responses to some photos.

    rows: int [m], the photos' places. values: float32 [m, D]; predicted: int [m]. skipped: one line for each
    photo that could not be read.
    """

    rows: np.ndarray
    values: np.ndarray
    predicted: np.ndarray
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Responding:
    """Runs photos, each with its place, through a network that is loaded where the work is done."""

    network: Callable[[], Network]

    def load(self) -> Network:
        """Load the network. Raises UserError."""
        return self.network()

    def answers(self, network: Network, batch: Sequence[tuple[int, Path]]) -> list[Batch]:
        """The responses to one batch of photos."""
        forward, skipped = network.forward, list[str]()
        found = list(_readable(batch, network, skipped))
        if not found:
            nothing = np.zeros(0, int)
            return [Batch(nothing, np.zeros((0, forward.filters)), nothing, tuple(skipped))]
        norms, answers = forward.responses(np.stack([pixels for _, pixels in found]))
        predicted = answers.reshape(len(found), -1).argmax(axis=1)
        rows = np.array([row for row, _ in found])
        return [Batch(rows, normalised(norms, forward), predicted, tuple(skipped))]


def collect(
    network: Network,
    paths: Sequence[Path],
    folder: Path,
    workers: Workers = HERE,
    load: Callable[[], Network] | None = None,
) -> Responses:
    """Run every photo through the network once; responses that `folder` already holds are kept.

    Args:
        paths: n photos.
        folder: made if it does not exist; responses to other photos or of other weights are replaced.
        workers, load: where else the photos are read, and what loads the network there (picklable).

    Raises:
        UserError: the folder cannot be written, or no photo can be read.
    """
    files = _open(folder, len(paths), network.forward.filters, _about(network, paths))
    missing = [(row, paths[row]) for row in np.flatnonzero(files["done"] == 0).tolist()]
    skipped: list[str] = []
    batches = [missing[first : first + BATCH] for first in range(0, len(missing), BATCH)]
    found = answered(Responding(load or (lambda: network)), batches, workers, lambda: network)
    for _, (batch,) in tracked(found, len(batches), f"responses, {BATCH} at a time"):
        skipped += batch.skipped
        if not len(batch.rows):
            continue
        files["values"][batch.rows] = batch.values
        files["predicted"][batch.rows] = batch.predicted
        files["values"].flush()
        files["predicted"].flush()
        files["done"][batch.rows] = 1
        files["done"].flush()
    readable = files["done"] == 1
    if not readable.any():
        raise UserError(f"none of {len(paths)} photos could be read; the first: {skipped[0]}")
    return Responses(files["values"], np.array(files["predicted"]), readable, tuple(skipped))


def normalised(norms: np.ndarray, forward: Forward) -> np.ndarray:
    """Divide norms float [n, D] by their sum within each layer; a layer whose sum is 0 stays 0."""
    found = np.empty_like(norms)
    for columns in forward.offsets.values():
        total = norms[:, columns].sum(axis=1, keepdims=True)
        found[:, columns] = norms[:, columns] / np.where(total > 0, total, 1)
    return found


def _readable(
    batch: Sequence[tuple[int, Path]], network: Network, skipped: list[str]
) -> Iterator[tuple[int, np.ndarray]]:
    for row, path in batch:
        try:
            yield row, network.read(path)
        except PhotoError as error:
            skipped.append(str(error))


def _about(network: Network, paths: Sequence[Path]) -> str:
    """The model, its preprocessing, the filters and the photos that the responses are made from, as JSON."""
    about = {
        "versions": versions(),
        "model": digest(network.model, network.preprocess, network.last),
        "photos": digest([str(path.resolve()) for path in paths], files_digest(paths)),
        "layers": [[layer.name, layer.channels] for layer in network.forward.layers],
    }
    return json_text(about, indent=1)


def _open(folder: Path, images: int, filters: int, about: str) -> dict[str, np.memmap]:
    """Open the arrays of a folder for writing; they are replaced if they were made from something else."""
    try:
        if not _is_about(folder, about):
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
            shapes = {"values": (np.float32, (images, filters)), "predicted": (np.int32, (images,))}
            for name, (dtype, shape) in {**shapes, "done": (np.uint8, (images,))}.items():
                new_array(folder / f"{name}.npy", dtype, shape).flush()
            write_atomically(folder / ABOUT, about.encode())
        return _memmaps(folder)
    except OSError as error:
        raise UserError(f"cannot write the responses to {folder}: {error.strerror}") from None


def _memmaps(folder: Path) -> dict[str, np.memmap]:
    names = ("values", "predicted", "done")
    return {name: np.lib.format.open_memmap(folder / f"{name}.npy", "r+") for name in names}


def _is_about(folder: Path, about: str) -> bool:
    """Whether the folder holds whole responses that were made from the same."""
    try:
        kept = read_text(folder / ABOUT, "what responses are made from")
        return kept == about and bool(_memmaps(folder))
    except (DataError, OSError, ValueError):  # none yet, or damaged: all are computed again
        return False
