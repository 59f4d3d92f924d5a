"""Drawn scenes whose captions' words have exact masks, and what methods say about them.

python examples/scenes.py: prints how much of each method's map lies on what a word says, for two words of two
scenes, and writes the maps as a figure.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gazeback.eval.scenes.captions import fixed
from gazeback.eval.scenes.scenes import scene
from gazeback.eval.subjects.captioner import CaptionerSubject, Question
from gazeback.models import load_captioner

METHODS = ("evidence", "fixations", "grad-cam", "saliency", "activation")
SEED = 2  # nobody learned from it
MODELS = ("scenes-gap", "scenes-flatten")

figure = Figure(figsize=(9.6, 13), layout="constrained")
rows = iter(figure.subplots(8, 1 + len(METHODS)))
for name in MODELS:
    captioner = load_captioner(name)
    methods = CaptionerSubject(captioner).methods(METHODS)
    for index in (0, 1):
        drawn = scene(SEED, index)
        caption = fixed(drawn)[0]
        pixels = drawn.pixels.astype(np.float32)
        named = [place for place, word in enumerate(caption) if word.kind in ("colour", "shape")]
        chosen = [named[0], named[-1]]
        ids = captioner.vocabulary.encode(word.text for word in caption)
        question = Question(pixels, captioner.features(pixels[None])[0], ids, chosen)
        heats = {method: build(question) for method, build in methods.items()}
        for number, place in enumerate(chosen):
            row, mask = next(rows), caption[place].mask(drawn)
            row[0].imshow(drawn.pixels)
            row[0].set_title(f"{name}: {caption[place].text}", fontsize=7)
            shares = []
            for panel, (method, heat) in zip(row[1:], heats.items(), strict=True):
                shares.append(f"{method} {(heat[number] * mask).sum() / max(heat[number].sum(), 1e-9):.2f}")
                panel.imshow(heat[number], cmap="inferno")
                panel.contour(mask, [0.5], colors="white", linewidths=0.8)
                panel.set_title(shares[-1], fontsize=7)
            print(f"{name}, {caption[place].text}: {', '.join(shares)}")
for panel in figure.axes:
    panel.set_axis_off()
out = Path("scenes.png")
figure.savefig(out, dpi=70)
print(f"Figure: {out}")
