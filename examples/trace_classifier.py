"""Ask a classifier twice about one photo: where is its first answer, and where is its second?"""

import numpy as np
from PIL import Image

from gazeback.cnn_trace import trace
from gazeback.models.efficientnet_lite import efficientnet_lite0
from gazeback.models.photos import bundled_photo

model = efficientnet_lite0()
photo = np.asarray(Image.open(bundled_photo()).convert("RGB").resize((224, 224)), np.float32)
first, second = np.argsort(-np.asarray(model(photo[None]))[0])[:2].tolist()
for target, fixations in zip((first, second), trace(model, photo, target=[first, second])[0], strict=True):
    row, column = fixations.points[fixations.weights.argmax()]
    print(f"class {target}: {len(fixations)} points, the strongest at row {row}, column {column}")
