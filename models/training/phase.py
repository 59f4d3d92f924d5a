"""One phase of training: epochs over cached activations, a checkpoint after each, stopped when the dev
loss rises.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from gazeback.models.training.batches import Batch, EncodedCaptions
from gazeback.models.training.checkpoint import Checkpoint, Standing
from gazeback.models.training.objective import Trainee
from gazeback.models.training.settings import Plan

WARM_UP_SHARE = 0.05
Report = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class Material:
    """Encoded captions and, per view, the cached activations of the photos they belong to."""

    captions: EncodedCaptions
    views: Sequence[np.ndarray]

    def activations(self, batch: Batch, random: np.random.Generator | None = None) -> np.ndarray:
        """Return float32 activations of a batch's photos, each from a random view, or the photos
        themselves.
        """
        if random is None:
            return self.views[0][batch.photos].astype(np.float32)
        chosen = random.integers(len(self.views), size=len(batch.photos))
        rows = [self.views[view][photo] for view, photo in zip(chosen, batch.photos, strict=True)]
        return np.stack(rows).astype(np.float32)


def run_phase(
    trainee: Trainee, plan: Plan, train: Material, dev: Material, checkpoint: Checkpoint, report: Report
) -> Standing:
    """Train until the plan's last epoch, or ``patience`` epochs without a lower dev loss; keep the best
    weights.

    It resumes from the checkpoint if there is one. ``report(what, done, total, loss)`` is called after every
    batch (``what`` = the phase's name) and after every epoch (``what`` = "dev").
    """
    if plan.epochs == 0:
        return Standing(plan.name, finished=True)
    steps = sum(1 for _ in _epoch_batches(trainee, plan, train, epoch=0))
    optimizer = _optimizer(plan, steps)
    step, dev_step = trainee.training_step(optimizer, plan.smoothing), trainee.dev_step()
    state = [*trainee.variables, *optimizer.variables]
    standing, best = _resume(checkpoint, plan, state, trainee.variables)
    if standing.epoch == 0:  # a phase may not end with a higher loss than at its start
        standing = replace(standing, best_loss=dev_loss(dev_step, dev))
    while not standing.finished:
        started = time.perf_counter()
        for done, (batch, activations) in enumerate(_epoch_batches(trainee, plan, train, standing.epoch), 1):
            loss = step(activations, batch.rows, batch.words, batch.targets, batch.weights)
            report(plan.name, standing.epoch * steps + done, plan.epochs * steps, float(loss))
        loss = dev_loss(dev_step, dev)
        standing = _after_epoch(standing, plan, loss, time.perf_counter() - started)
        if standing.best_epoch == standing.epoch:
            best = _values(trainee.variables)
        checkpoint.save(standing, _values(state), best)
        report("dev", standing.epoch, plan.epochs, loss)
    _assign(trainee.variables, best)
    return standing


def _after_epoch(standing: Standing, plan: Plan, loss: float, seconds: float) -> Standing:
    """The progress of the phase after one more epoch with this dev loss."""
    epoch, seconds = standing.epoch + 1, standing.seconds + seconds
    if loss < standing.best_loss:
        standing = replace(standing, best_loss=loss, best_epoch=epoch)
    finished = epoch >= plan.epochs or epoch - standing.best_epoch >= plan.patience
    return replace(standing, epoch=epoch, seconds=seconds, finished=finished)


def dev_loss(dev_step, dev: Material, batch_size: int = 128) -> float:
    """Mean cross-entropy per word (with the end token) over every dev caption, in nats; perplexity is its
    exponential.
    """
    total = words = 0.0
    for batch in dev.captions.by_length(batch_size):
        summed, count = dev_step(
            dev.activations(batch), batch.rows, batch.words, batch.targets, batch.weights
        )
        total, words = total + float(summed), words + float(count)
    return total / words


def _epoch_batches(
    trainee: Trainee, plan: Plan, train: Material, epoch: int
) -> Iterator[tuple[Batch, np.ndarray]]:
    """An epoch's batches with activations; order and views depend on the seed, the phase and the epoch
    only.
    """
    random = np.random.default_rng([plan.seed, epoch, *plan.name.encode()])
    by_photo = trainee.tail is not None
    batches = (
        train.captions.by_photo(plan.batch, random)
        if by_photo
        else train.captions.by_length(plan.batch, random)
    )
    for batch in batches:
        yield batch, train.activations(batch, random)


def _optimizer(plan: Plan, steps: int) -> keras.optimizers.Optimizer:
    total = plan.epochs * steps
    warm_up = max(1, round(WARM_UP_SHARE * total))
    schedule = keras.optimizers.schedules.CosineDecay(
        plan.learning_rate * 0.01,
        max(1, total - warm_up),
        alpha=0.0,
        warmup_target=plan.learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=plan.gradient_norm)


def _resume(
    checkpoint: Checkpoint, plan: Plan, state: list[keras.Variable], variables: list[keras.Variable]
) -> tuple[Standing, list[np.ndarray]]:
    saved = checkpoint.load()
    if saved is None:
        return Standing(plan.name), _values(variables)
    standing, current, best = saved
    _assign(state, current)
    return standing, best


def _assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [variable.value.numpy() for variable in variables]
