"""The grid that strides leave in guided backpropagation, and the same without it.

python examples/stride_artefacts.py [PHOTO]: prints how much of each map's energy lies at the strides'
frequencies, as the signal passes the strides, and resampled to stride 1 (Oramas, Wang, Tuytelaars 2019,
section 3.3), and writes both as a figure. Started at the class, and at one filter of a layer in the middle.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gazeback.eval.baselines import explain, grid_artefacts
from gazeback.models import load_classifier, load_photo
from gazeback.models.photos import bundled_photo

STRIDES = (2, 4, 8, 16)
QUESTIONS = {"the class": {}, "filter 7 of block4a": {"layer": "block4a_project_conv", "target": 7}}

classifier = load_classifier("efficientnet-lite0")
photo = load_photo(sys.argv[1] if len(sys.argv) > 1 else bundled_photo())
pixels = classifier.preprocess(photo).pixels[None]
figure = Figure(figsize=(9, 6), layout="constrained")
panels = iter(figure.subplots(2, 3).flat)
for question, asked in QUESTIONS.items():
    next(panels).imshow(photo.pixels, aspect="auto")
    for name, resample in (("with its strides", False), ("resampled", True)):
        found = explain("guided-backprop", classifier.model, pixels, resample=resample, **asked)
        energy = ", ".join(f"{s}: {grid_artefacts(found, s)[0]:.3f}" for s in STRIDES)
        print(f"{question}, {name}: energy at stride {energy}")
        panel = next(panels)
        panel.imshow(found[0], cmap="gray_r", vmax=np.percentile(found[0], 99.5))
        panel.set_title(f"{question}, {name}", fontsize="small")
for panel in figure.axes:
    panel.set_axis_off()
out = Path("stride_artefacts.png")
figure.savefig(out, dpi=110)
print(f"Figure: {out}")
