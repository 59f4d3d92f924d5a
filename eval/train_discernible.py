"""The command `gazeback train discernible`: learn the weights of the method "discernible" by a bandit.

The method scores a candidate `a_suc * Z_suc * (a_cur * Z_cur + a_pre * Z_pre)`. `a_suc` multiplies every
score, so it changes no ranking and stays 1. Only the ratio of `a_pre` to `a_cur` matters. Their terms have
different scales, so the arms are ratios of several orders of magnitude.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.cnn_trace import trace
from gazeback.eval.data.folder import ObjectData
from gazeback.eval.data.image import ObjectImage
from gazeback.eval.data.selection import RULE
from gazeback.eval.harness.run import tracked, write_result
from gazeback.eval.metrics.boxes import best_iou, tight_box
from gazeback.eval.subjects.classifier import TrueClasses, load_named
from gazeback.models.classifiers import Classifier
from gazeback.models.errors import DataError, UserError
from gazeback.models.photos import load_photo
from gazeback.models.writing import check_output

Alphas = tuple[float, float, float]

ARMS: tuple[Alphas, ...] = (
    (1.0, 1.0, 0.0),
    (1.0, 1.0, 0.01),
    (1.0, 1.0, 0.1),
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 10.0),
    (1.0, 0.0, 1.0),
)
"""(a_suc, a_cur, a_pre): from Z_cur alone to Z_pre alone."""

HIT = 0.5
"""The lowest IoU at which a box earns the reward."""


@dataclass
class Arm:
    """The number of pulls of an arm, and its total reward."""

    alphas: Alphas
    pulls: int = 0
    reward: float = 0.0

    @property
    def mean(self) -> float:
        return self.reward / self.pulls if self.pulls else 0.0


@dataclass
class Bandit:
    """UCB1 (Auer, Cesa-Bianchi, Fischer, *Finite-time Analysis of the Multiarmed Bandit Problem*, 2002)."""

    arms: list[Arm] = field(default_factory=lambda: [Arm(alphas) for alphas in ARMS])

    def choose(self) -> Arm:
        """Choose each arm once, then the arm with the largest `mean + sqrt(2 ln(all pulls) / pulls)`."""
        for arm in self.arms:
            if not arm.pulls:
                return arm
        total = sum(arm.pulls for arm in self.arms)
        return max(self.arms, key=lambda arm: arm.mean + math.sqrt(2 * math.log(total) / arm.pulls))

    def play(self, reward: Callable[[Alphas], float]) -> Arm:
        """Play one round: choose an arm and add its reward, 0 to 1."""
        arm = self.choose()
        arm.reward += reward(arm.alphas)
        arm.pulls += 1
        return arm

    @property
    def best(self) -> Arm:
        """The arm with the largest mean reward; if several are equal, the one pulled more often."""
        return max(self.arms, key=lambda arm: (arm.mean, arm.pulls))


def rewards(
    classifier: Classifier, images: Sequence[tuple[ObjectImage, str, int]], seed: int
) -> Iterator[Callable[[Alphas], float]]:
    """Yield the reward of one image after another without end; the order is shuffled for each pass.

    The reward is 1 if the tight box of the true class, outliers removed, has an IoU of 0.5 or more with one
    of the true boxes, else 0.
    """
    random = np.random.default_rng(seed)
    while True:
        for index in random.permutation(len(images)):
            yield _Reward(classifier, *images[index])


@dataclass(frozen=True)
class _Reward:
    classifier: Classifier
    image: ObjectImage
    category: str
    target: int

    def __call__(self, alphas: Alphas) -> float:
        pixels = self.classifier.preprocess(load_photo(self.image.path)).pixels[None]
        fixations = trace(self.classifier.model, pixels, self.target, method="discernible", alphas=alphas)[0]
        true = self.image.boxes_on(fixations.shape, self.category)
        return float(best_iou(tight_box(fixations), true) >= HIT)


def asked_images(data: ObjectData, classifier: Classifier) -> list[tuple[ObjectImage, str, int]]:
    """The images of which the classifier knows a category, with it and its class. Raises DataError."""
    classes = TrueClasses(data, classifier)
    asked = [(image, *main) for image in data.images if (main := classes.main(image)) is not None]
    if not asked:
        raise DataError(f"{data.folder}: no image shows an object that is a class of {classifier.name}")
    return asked


def train_discernible(
    data: Path, model: str, weights: str | None, rounds: int, seed: int, out: Path
) -> dict[str, Any]:
    """Learn the weights on the tune part of a folder and write them to `out`; returns what was written.

    Raises:
        UserError: the data, the classifier or `out` cannot be used, or there are fewer rounds than arms.
    """
    if rounds < len(ARMS):
        raise UserError(f"--rounds {rounds}: expected {len(ARMS)} or more, so that every arm is pulled once")
    check_output(out, "--out", ".json")
    classifier = load_named(model, weights)
    images = asked_images(ObjectData(data, part="tune"), classifier)
    bandit = Bandit()
    drawn = rewards(classifier, images, seed)
    for _, reward in zip(tracked(range(rounds), rounds, "discernible"), drawn, strict=False):
        bandit.play(reward)
    result = {
        "model": classifier.name,
        "alphas": bandit.best.alphas,
        "arms": [{**asdict(arm), "mean": arm.mean} for arm in bandit.arms],
        "rounds": rounds,
        "seed": seed,
        "images": len(images),
        "selection": RULE,
    }
    write_result(out, "train discernible", result)
    return result
