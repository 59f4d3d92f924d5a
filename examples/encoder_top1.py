"""Top-1 accuracy of EfficientNet-Lite0 on labelled ImageNet photos: `python examples/encoder_top1.py FOLDER`.

FOLDER holds `images/` and `annotations.json` with `images[]` of `file_name` and `label` (0..999). Each photo
is read three ways: its central 224x224 pixels, and resized to 224x224 with two filters.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gazeback.models.efficientnet_lite import IMAGE_SIZE, efficientnet_lite0

SIZE = (IMAGE_SIZE, IMAGE_SIZE)


def central(photo: Image.Image) -> Image.Image:
    left, top = (photo.width - IMAGE_SIZE) // 2, (photo.height - IMAGE_SIZE) // 2
    return photo.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE))


READINGS = {
    "central crop": central,
    "bicubic": lambda photo: photo.resize(SIZE, Image.Resampling.BICUBIC),
    "bilinear": lambda photo: photo.resize(SIZE, Image.Resampling.BILINEAR),
}


def main(folder: Path) -> None:
    entries = json.loads((folder / "annotations.json").read_text())["images"]
    labels = np.array([entry["label"] for entry in entries])
    photos = [Image.open(folder / "images" / entry["file_name"]).convert("RGB") for entry in entries]
    network = efficientnet_lite0()
    for name, reading in READINGS.items():
        pixels = np.stack([np.asarray(reading(photo), np.float32) for photo in photos])
        order = np.argsort(-network.predict(pixels, batch_size=50, verbose=0), axis=1)
        top1, top5 = (np.mean((order[:, :n] == labels[:, None]).any(axis=1)) for n in (1, 5))
        print(f"{name}: top-1 {top1:.1%}, top-5 {top5:.1%} of {len(labels)} photos")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
