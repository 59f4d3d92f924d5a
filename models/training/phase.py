"""One phase of training: epochs over cached activations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from gazeback.models.training.batches import Batch, EncodedCaptions
from gazeback.models.training.checkpoint import Checkpoint, Standing
from gazeback.models.training.epochs import Report, run_epochs, warmed_up
from gazeback.models.training.objective import Trainee
from gazeback.models.training.settings import Plan

WARM_UP_SHARE = 0.05


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
    """Train with one phase's plan (see ``run_epochs``).

    ``report(what, done, total, loss)`` is called after every batch (``what`` = the phase's name) and after
    every epoch (``what`` = "dev").
    """
    if plan.epochs == 0:
        return Standing(plan.name, finished=True)
    steps = sum(1 for _ in train.captions.by_length(plan.batch, np.random.default_rng(0)))
    rate = warmed_up(plan.learning_rate, plan.epochs * steps, WARM_UP_SHARE)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=plan.gradient_norm)
    step, dev_step = trainee.training_step(optimizer, plan.smoothing), trainee.dev_step()

    def epoch_of(epoch: int) -> None:
        for done, (batch, activations) in enumerate(_epoch_batches(plan, train, epoch), 1):
            loss = step(activations, batch.rows, batch.words, batch.targets, batch.weights)
            report(plan.name, epoch * steps + done, plan.epochs * steps, float(loss))

    return run_epochs(
        Standing(plan.name), plan.epochs, plan.patience, epoch_of, lambda: dev_loss(dev_step, dev),
        trainee.variables, optimizer, checkpoint, report,
    )  # fmt: skip


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


def _epoch_batches(plan: Plan, train: Material, epoch: int) -> Iterator[tuple[Batch, np.ndarray]]:
    """An epoch's batches with activations; order and views depend on the seed, the phase and the epoch
    only.
    """
    random = np.random.default_rng([plan.seed, epoch, *plan.name.encode()])
    for batch in train.captions.by_length(plan.batch, random):
        yield batch, train.activations(batch, random)
