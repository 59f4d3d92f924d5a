"""Drawn flowers whose class is the colour of a part, and what methods say about it.

python examples/flowers.py: prints the area under the IoU curve of each method's map on six flowers, with the
settings as published, and writes the maps as a figure.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gazeback.eval.flowers.flowers import SEEDS, class_names, flower
from gazeback.eval.flowers.maps import build_maps
from gazeback.eval.flowers.network import load_network
from gazeback.eval.flowers.protocol import area_under, iou_curve

METHODS = (
    "filter",
    "deconvnet",
    "guided-backprop",
    "guided-backprop-resampled",
    "grad-cam",
    "fixations",
    "evidence",
)
FLOWERS = (
    ("single-6c", 0),
    ("single-6c", 3),
    ("single-6c", 4),
    ("double-12c", 2),
    ("double-12c", 9),
    ("double-12c", 11),
)

figure = Figure(figsize=(9.6, 7.2), layout="constrained")
rows = figure.subplots(len(FLOWERS), 2 + len(METHODS))
areas = {method: [] for method in METHODS}
for row, (kind, index) in zip(rows, FLOWERS, strict=True):
    drawn = flower(kind, SEEDS["report"], index)
    classifier = load_network(kind)
    pixels, label = drawn.image[None].astype(np.float32), np.array([drawn.label], np.int32)
    row[0].imshow(drawn.image)
    row[0].set_title(class_names(kind)[drawn.label], fontsize=7)
    row[1].imshow(drawn.mask, cmap="gray")
    row[1].set_title("mask", fontsize=7)
    for panel, method in zip(row[2:], METHODS, strict=True):
        heat = build_maps(method, classifier, kind)(pixels, label)[0][0]
        areas[method].append(area_under(iou_curve(heat, drawn.mask)))
        panel.imshow(heat, cmap="inferno")
        panel.set_title(method.replace("guided-backprop", "GBP"), fontsize=7)
for panel in rows.flat:
    panel.set_axis_off()
for method, values in areas.items():
    print(f"{method}: " + ", ".join(f"{value:.2f}" for value in values))
out = Path("flowers.png")
figure.savefig(out, dpi=90)
print(f"Figure: {out}")
