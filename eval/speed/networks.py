"""Measure the cost of tracing the networks of `keras.applications`, as ratios to the compiled forward pass.

Weights are random, because the time of a forward pass does not depend on them. Times are taken in turns in
one process (see `captioner`). Memory is measured in a separate process for each figure, because a peak can
only be read once.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gazeback.cnn_trace import TraceError, trace
from gazeback.eval.speed.captioner import Task, quartiles, times
from gazeback.eval.speed.peers import PEERS, peer
from gazeback.grounding.methods import is_traced, load_method
from gazeback.models.errors import UserError

NETWORKS = ("VGG16", "ResNet101", "DenseNet121", "InceptionV3", "MobileNetV2", "EfficientNetB0")

FORWARD, KEPT = "forward", "activations"


def check_networks(names: Sequence[str]) -> None:
    """Raises UserError unless `keras.applications` has networks of these names."""
    for name in names:
        if not callable(getattr(keras.applications, name, None)):
            raise UserError(
                f"unknown network {name!r}; expected names of keras.applications, such as "
                f"{', '.join(NETWORKS)}"
            )


def tasks_for(model: keras.Model, pixels: np.ndarray, methods: Sequence[str]) -> dict[str, Task]:
    """The tasks that take turns: the plain forward pass, and each method on the strongest class of each
    image."""
    forward = compiled(model)
    return {FORWARD: lambda: forward(pixels), **{name: explaining(name, model, pixels) for name in methods}}


def explaining(name: str, model: keras.Model, pixels: np.ndarray) -> Task:
    """A call that runs a method on the strongest class of each image, or of the first image for a registered
    method."""
    if is_traced(name):
        return lambda: trace(model, pixels, method=name)
    target = int(np.argmax(np.asarray(model(pixels[:1], training=False))))
    if name in PEERS:
        theirs = peer(name, model, target)
        return lambda: theirs(pixels)
    explain = load_method(name)
    return lambda: explain(model, pixels, target)


def compiled(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Compile the forward pass as one call, as users run it."""
    call = tf.function(lambda pixels: model(pixels, training=False), jit_compile=False)
    return lambda pixels: np.asarray(call(tf.constant(pixels)))


def network(name: str, batch: int) -> tuple[keras.Model, np.ndarray]:
    """Build a network with random weights, and a batch of random images of its size."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None)
    pixels = np.random.default_rng(0).normal(size=(batch, *model.input_shape[1:])).astype(np.float32)
    return model, pixels


def evaluate(
    names: Sequence[str], batches: Sequence[int], methods: Sequence[str], rounds: int
) -> Iterator[dict[str, Any]]:
    """Measure, for each network and batch size, the seconds of every round and their paired ratios to the
    forward pass."""
    for name in names:
        for batch in batches:
            tasks, refused = _willing(tasks_for(*network(name, batch), methods))
            seconds = times(tasks, rounds, before=tasks[FORWARD])
            yield {
                "network": name,
                "batch": batch,
                "refused": refused,
                "seconds": seconds,
                "ratios": {
                    method: quartiles(np.divide(seconds[method], seconds[FORWARD]))
                    for method in methods
                    if method in seconds
                },
                "milliseconds": {m: quartiles(1000 * np.array(s)) for m, s in seconds.items()},
            }
            keras.backend.clear_session()


def _willing(tasks: Mapping[str, Task]) -> tuple[dict[str, Task], dict[str, str]]:
    """Split into the tasks that run, and the reasons why others do not: some methods need certain layers."""
    willing, refused = {}, {}
    for name, task in tasks.items():
        try:
            task()
            willing[name] = task
        except (UserError, TraceError) as error:
            if name == FORWARD:
                raise
            refused[name] = str(error)
    return willing, refused


def memory(names: Sequence[str], batch: int, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Measure, for each network, the peak memory of tracing / that of a forward pass that returns all
    activations.

    Both are in mebibytes, with the weights and without the libraries.
    """
    for name in names:
        peaks = {what: _peak_of(name, batch, what) for what in (KEPT, *methods)}
        ratios = {method: peaks[method] / peaks[KEPT] for method in methods}
        yield {"network": name, "batch": batch, "mebibytes": peaks, "ratios": ratios}


def _peak_of(name: str, batch: int, what: str) -> float:
    command = [sys.executable, "-m", "gazeback.eval.speed.memory", name, str(batch), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"measuring the memory of {what} on {name} failed: {last}")
    return float(done.stdout.split()[-1])


def summarise(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows without the individual rounds."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in measured]
