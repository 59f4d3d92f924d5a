"""DeepFool: a nearly minimal change of a photo that changes the predicted class.

Moosavi-Dezfooli, Fawzi, Frossard, *DeepFool*, CVPR 2016, algorithm 2 (several classes, L2) with the settings
of the authors' code: the ten most probable classes at the start are used, and the overshoot is part of every
step. Pixels are not clipped to their range.
"""

from dataclasses import dataclass

import numpy as np

from gazeback.eval.baselines.backward import ask
from gazeback.eval.baselines.query import Query
from gazeback.models.classifiers import Classifier

CLASSES, OVERSHOOT, ITERATIONS = 10, 0.02, 50

LEAST_STEP = 1e-4
"""Added to the length of every step, as in the authors' code, so that a step does not stop exactly at the
boundary."""


@dataclass(frozen=True, eq=False)
class Fooled:
    """A changed photo float32 [H, W, C], its predicted class, and the number of steps. `after == before` if
    no change was found.
    """

    pixels: np.ndarray
    before: int
    after: int
    iterations: int

    def size(self, photo: np.ndarray) -> dict[str, float]:
        """The size of the change: its norm divided by the photo's (rho in the paper), and its root mean
        square per value."""
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
    """Compute the step to the nearest of some linear boundaries (algorithm 2, lines 8 and 9).

    `gaps` [m]: the logit of each other class minus that of the current class; `slopes` [m, ...]: the
    gradients of the gaps. Returns [...].
    """
    flat = slopes.reshape(len(slopes), -1).astype(np.float64)
    lengths = np.maximum(np.linalg.norm(flat, axis=1), np.finfo(float).tiny)
    distances = np.abs(gaps) / lengths
    best = int(distances.argmin())
    step: np.ndarray = (distances[best] + LEAST_STEP) * flat[best] / lengths[best]
    return step.reshape(slopes.shape[1:])


def _nearest(classifier: Classifier, photo: np.ndarray, classes: int) -> tuple[int, np.ndarray]:
    """The predicted class, and the next most probable classes, int [m]."""
    ranked = np.argsort(-classifier.probabilities(photo[None])[0], kind="stable")[:classes]
    return int(ranked[0]), ranked[1:]


def _linearised(
    classifier: Classifier, pixels: np.ndarray, before: int, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the logits of the other classes minus that of the original class, and the gradients of these
    gaps."""
    asked = np.array([before, *others])
    query = Query.of(classifier.model, np.repeat(pixels[None], len(asked), axis=0), asked)
    answer = ask(query, [query.image])
    gradients = answer.gradients[0]
    return answer.scores[1:] - answer.scores[0], gradients[1:] - gradients[0]
