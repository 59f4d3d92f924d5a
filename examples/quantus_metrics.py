"""Five metrics of Quantus, one of each kind, beside gazeback's own figure for the same question.

Needs Quantus: pip install quantus. The pictures and the network are drawn flowers, which come with gazeback.
What the figures mean, and why they differ, is in docs/other_tools.md.
"""

import warnings

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import quantus

from gazeback.cnn_trace.methods.evidence import strongest
from gazeback.eval.flowers.flowers import SEEDS, flower
from gazeback.eval.flowers.network import load_network
from gazeback.eval.metrics.maps import energy_inside
from gazeback.eval.metrics.statistics import spearman
from gazeback.eval.perturbations.corruptions import CORRUPTIONS
from gazeback.eval.perturbations.occlusion import area_under, mean_colour, step_by_step
from gazeback.eval.perturbations.randomisation import copied, randomise
from gazeback.eval.quantus import for_quantus
from gazeback.eval.subjects.methods import class_maps
from gazeback.models.photos import Photo

KIND, PICTURES, STEPS = "single-6c", 12, 16

classifier = load_network(KIND)
model = classifier.model
drawn = [flower(KIND, SEEDS["report"], index) for index in range(PICTURES)]
pixels = np.stack([one.image for one in drawn]).astype(np.float32)
labels = np.array([one.label for one in drawn])
masks = np.stack([one.mask for one in drawn])
shuffled = copied(model)
randomise(shuffled, model, 1.0)
noisy = np.stack([CORRUPTIONS["noise 15"](Photo(one.image, "flower")).pixels for one in drawn])


def by_quantus(metric, method):
    """The metric's value of each picture, or its list of values."""
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(
            metric(
                model=model, x_batch=pixels, y_batch=labels, a_batch=None, s_batch=masks[:, None],
                channel_first=False, softmax=True, explain_func=for_quantus,
                explain_func_kwargs={"method": method},
            )
        )  # fmt: skip


def deletion(heat, picture, label):
    steps = step_by_step(picture, mean_colour(picture), heat, STEPS)
    return area_under(model.predict(steps, verbose=0)[:, label])


quiet = {"disable_warnings": True}
flips = {"features_in_step": masks[0].size // STEPS, "perturb_baseline": "mean"}
print(f"{'':<34}" + "".join(f"{name:>14}" for name in ("Quantus", "gazeback")))
for method in ("evidence", "grad-cam"):
    maps = class_maps(method, model, pixels, labels)
    other = class_maps(method, shuffled, pixels, labels)
    changed = class_maps(method, model, noisy.astype(np.float32), labels)
    curves = by_quantus(quantus.PixelFlipping(**flips, **quiet), method)
    rows = {
        "faithfulness: pixels deleted": (
            np.mean([area_under(curve) for curve in curves]),
            np.mean([deletion(*one) for one in zip(maps, pixels, labels, strict=True)]),
        ),
        "localisation: mass in the mask": (
            by_quantus(quantus.RelevanceMassAccuracy(**quiet), method).mean(),
            np.mean([energy_inside(one[None], mask[None]) for one, mask in zip(maps, masks, strict=True)]),
        ),
        "randomisation: similarity": (
            np.nanmean(by_quantus(quantus.MPRT(return_last_correlation=True, **quiet), method)),
            np.mean([spearman(one.ravel(), two.ravel()) for one, two in zip(maps, other, strict=True)]),
        ),
        "robustness: change under noise": (
            by_quantus(quantus.AvgSensitivity(nr_samples=3, lower_bound=15 * 3**0.5, **quiet), method).mean(),
            np.mean([1 - spearman(one.ravel(), two.ravel()) for one, two in zip(maps, changed, strict=True)]),
        ),
        "complexity: sparseness": (
            by_quantus(quantus.Sparseness(**quiet), method).mean(),
            np.mean([1 - len(strongest(one, 0.9)) / one.size for one in maps]),
        ),
    }
    print(method)
    for name, values in rows.items():
        print(f"  {name:<32}" + "".join(f"{value:14.3f}" for value in values))
