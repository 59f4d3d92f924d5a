"""Epochs of training with a checkpoint after each, stopped when the dev loss rises."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import keras
import numpy as np

from gazeback.models.training.checkpoint import Checkpoint, Standing

Report = Callable[[str, int, int, float], None]


def run_epochs(
    phase: Standing, epochs: int, patience: int | None, train: Callable[[int], None],
    dev_loss: Callable[[], float], variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer, checkpoint: Checkpoint, report: Report,
) -> Standing:  # fmt: skip
    """Train for some epochs; keep the last weights.

    With a ``patience`` it stops after that many epochs without a lower dev loss, and keeps the weights with
    the lowest; those at the start count as epoch 0. It resumes from the checkpoint if there is one.

    Args:
        phase: at its start.
        epochs: the largest number of them.
        train: ``train(epoch)`` trains for one epoch, from 0.
        dev_loss: computes the loss that decides.
        variables: those of the model; ``optimizer``: its variables are kept in the checkpoint too.
        report: called as ``report("dev", done, total, loss)`` after each epoch.
    """
    if epochs == 0:
        return replace(phase, finished=True)
    state, saved = [*variables, *optimizer.variables], checkpoint.load()
    if saved is None:
        standing, kept = replace(phase, best_loss=dev_loss()), _values(variables)
    else:
        standing, current, kept = saved
        _assign(state, current)
    while not standing.finished:
        started = time.perf_counter()
        train(standing.epoch)
        loss = dev_loss()
        standing = _after_epoch(standing, epochs, patience, loss, time.perf_counter() - started)
        if patience is None or standing.best_epoch == standing.epoch:
            kept = _values(variables)
        checkpoint.save(standing, _values(state), kept)
        report("dev", standing.epoch, epochs, loss)
    _assign(variables, kept)
    return standing


def warmed_up(rate: float, steps: int, share: float) -> keras.optimizers.schedules.CosineDecay:
    """A learning rate that rises to ``rate`` in a share of the steps, and then decays as a cosine."""
    rising = max(1, round(share * steps))
    return keras.optimizers.schedules.CosineDecay(
        rate * 0.01, max(1, steps - rising), warmup_target=rate, warmup_steps=rising
    )


def _after_epoch(
    standing: Standing, epochs: int, patience: int | None, loss: float, seconds: float
) -> Standing:
    """The progress of the phase after one more epoch with this dev loss."""
    epoch, seconds = standing.epoch + 1, standing.seconds + seconds
    if loss < standing.best_loss:
        standing = replace(standing, best_loss=loss, best_epoch=epoch)
    stopped = patience is not None and epoch - standing.best_epoch >= patience
    return replace(standing, epoch=epoch, seconds=seconds, finished=stopped or epoch >= epochs)


def _assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable.value) for variable in variables]
