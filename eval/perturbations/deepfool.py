"""DeepFool: the smallest change of a photo, nearly, that makes a classifier change its mind.

Moosavi-Dezfooli, Fawzi, Frossard, *DeepFool*, CVPR 2016, algorithm 2 (several classes, L2) with the settings
of the authors' code: the classes are the ten that are nearest at the start, the overshoot is part of every
step. Nothing keeps the pixels within their range. TensorFlow only.
"""

from dataclasses import dataclass

import numpy as np

from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query
from gazeback.models.classifiers import Classifier

CLASSES, OVERSHOOT, ITERATIONS = 10, 0.02, 50

LEAST_STEP = 1e-4
"""Added to every step's length, as in the authors' code: a step never stops right at the boundary."""


@dataclass(frozen=True, eq=False)
class Fooled:
    """A changed photo: float32 [H, W, C], the class that is predicted now, and in how many steps.

    `after == before` where no change was found.
    """

    pixels: np.ndarray
    before: int
    after: int
    iterations: int

    def size(self, photo: np.ndarray) -> dict[str, float]:
        """Of the change: its length by the photo's (the paper's rho), and its root mean square per value."""
        change = (self.pixels - photo).astype(np.float64)
        return {
            "relative": float(np.linalg.norm(change) / max(np.linalg.norm(photo), np.finfo(float).tiny)),
            "rms": float(np.sqrt(np.square(change).mean())),
        }


def deepfool(
    classifier: Classifier,
    photo: np.ndarray,
    classes: int = CLASSES,
    overshoot: float = OVERSHOOT,
    iterations: int = ITERATIONS,
) -> Fooled:
    """Change a photo float32 [H, W, C], as the model reads it, until another class is predicted."""
    before, others = _nearest(classifier, photo, classes)
    total, pixels, predicted, step = np.zeros(photo.shape), photo, before, 0
    while predicted == before and step < iterations:
        total += nearest_boundary(*_linearised(classifier, pixels, before, others))
        pixels = (photo + (1 + overshoot) * total).astype(np.float32)
        predicted = int(classifier.probabilities(pixels[None])[0].argmax())
        step += 1
    return Fooled(pixels, before, predicted, step)


def nearest_boundary(gaps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The step to the nearest of some linear boundaries (algorithm 2, lines 8 and 9).

    `gaps` [m]: by how much each other class's logit is above that of the class to leave; `slopes` [m, ...]:
    the gaps' gradients. Returns [...].
    """
    flat = slopes.reshape(len(slopes), -1).astype(np.float64)
    lengths = np.maximum(np.linalg.norm(flat, axis=1), np.finfo(float).tiny)
    distances = np.abs(gaps) / lengths
    best = int(distances.argmin())
    step: np.ndarray = (distances[best] + LEAST_STEP) * flat[best] / lengths[best]
    return step.reshape(slopes.shape[1:])


def _nearest(classifier: Classifier, photo: np.ndarray, classes: int) -> tuple[int, np.ndarray]:
    """The predicted class, and int [m] the next probable ones."""
    ranked = np.argsort(-classifier.probabilities(photo[None])[0], kind="stable")[:classes]
    return int(ranked[0]), ranked[1:]


def _linearised(
    classifier: Classifier, pixels: np.ndarray, before: int, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The other classes' logits above that of the class before, and the gradients of that."""
    asked = np.array([before, *others])
    query = Query.of(classifier.model, np.repeat(pixels[None], len(asked), axis=0), asked)
    answer = ask(query, [query.image])
    gradients = answer.gradients[0]
    return answer.scores[1:] - answer.scores[0], gradients[1:] - gradients[0]
