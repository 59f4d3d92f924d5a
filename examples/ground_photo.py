"""Ground a caption on the photo that scikit-image carries, and print what each word owes to the picture."""

import sys
import tempfile

from gazeback.grounding import ground
from gazeback.models import load_captioner
from gazeback.models.photos import bundled_photo

photo = sys.argv[1] if len(sys.argv) > 1 else bundled_photo()
grounding = ground(load_captioner(), photo)
print(grounding.caption)
for word in grounding.words:
    print(f"{word.text:>12}  {word.visual_share:4.0%}  visual {word.visual:+.2f} nats")
print("page:", grounding.save(tempfile.mkdtemp())["html"])
