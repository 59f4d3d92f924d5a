"""Show results in notebooks: the page in a frame, and a still picture where scripts are off."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from markupsafe import Markup
from PIL import Image

from gazeback.grounding.output.figure import draw_class, draw_words
from gazeback.grounding.output.page import page_html

if TYPE_CHECKING:
    from gazeback.grounding.captions import Grounding
    from gazeback.grounding.classes import TracedPhoto

STILL_WIDTH, STILL_QUALITY = 1000, 80

HEIGHT = 720  # pixels of the frame until the page has told its own height

# The page in the frame has an origin of its own: it can reach neither the notebook nor the network. It tells
# its height by a message. Notebooks that are not trusted drop the frame and the script, and keep the picture.
_FRAME = Markup(
    '<iframe class="gazeback" title="{title}" sandbox="allow-scripts" srcdoc="{page}"'
    ' style="display:block;width:100%;height:{height}px;border:0"></iframe>'
)
_STILL = Markup('<noscript><img src="{picture}" alt="{title}" style="max-width:100%"></noscript>')

FIT_FRAMES = """<script>addEventListener("message", (event) => {
  const height = Math.ceil(event.data?.gazebackHeight);
  if (!height) return;
  for (const frame of document.querySelectorAll("iframe.gazeback"))
    if (event.source === frame.contentWindow) frame.style.height = `${height}px`;
});</script>"""
"""The script of a document with frames of `framed`, which makes each as high as its page."""


def notebook_html(explained: Grounding | TracedPhoto) -> str:
    """Build the HTML that a notebook shows for a result.

    It is the page of `page_html` in a sandboxed frame, which grows to the page's height. A still picture of
    `still_uri` takes its place where scripts are off, such as in a notebook that is not trusted.
    """
    still = _STILL.format(picture=still_uri(explained), title=_title(explained))
    return f"<div>{framed(explained)}{still}{FIT_FRAMES}</div>"


def framed(explained: Grounding | TracedPhoto) -> str:
    """Put the page of a result in a sandboxed frame; :data:`FIT_FRAMES` fits its height."""
    return _FRAME.format(title=_title(explained), page=page_html(explained), height=HEIGHT)


def _title(explained: Grounding | TracedPhoto) -> str:
    return f"Evidence: {explained.caption if explained.kind == 'words' else explained.targets[0].name}"


def still_uri(explained: Grounding | TracedPhoto) -> str:
    """Draw the figure of a result as a small JPEG ``data:`` address."""
    image = (draw_words(explained) if explained.kind == "words" else draw_class(explained)).image
    image.thumbnail((STILL_WIDTH, 20 * STILL_WIDTH), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=STILL_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
