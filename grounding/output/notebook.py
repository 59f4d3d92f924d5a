"""Show results in notebooks: the page in a frame, and a still picture where scripts are off."""

from __future__ import annotations

import base64
import io
import secrets
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
_FRAMED = Markup("""\
<div class="gazeback">
<iframe id="{name}" title="{title}" sandbox="allow-scripts" srcdoc="{page}" loading="eager"
 style="display:block;width:100%;height:{height}px;border:0"></iframe>
<noscript><img src="{picture}" alt="{title}" style="max-width:100%"></noscript>
<script>addEventListener("message", (event) => {{
  const frame = document.getElementById("{name}"), height = Math.ceil(event.data?.gazebackHeight);
  if (frame && event.source === frame.contentWindow && height) frame.style.height = `${{height}}px`;
}});</script>
</div>""")


def notebook_html(explained: Grounding | TracedPhoto) -> str:
    """Build the HTML that a notebook shows for a result.

    It is the page of `page_html` in a sandboxed frame, which grows to the page's height. A still picture of
    `still_uri` takes its place where scripts are off, such as in a notebook that is not trusted.
    """
    title = explained.caption if explained.kind == "words" else explained.targets[0].name
    page, picture = page_html(explained), still_uri(explained)
    name = f"gazeback-{secrets.token_hex(6)}"
    return _FRAMED.format(name=name, title=f"Evidence: {title}", page=page, picture=picture, height=HEIGHT)


def still_uri(explained: Grounding | TracedPhoto) -> str:
    """Draw the figure of a result as a small JPEG ``data:`` address."""
    image = (draw_words(explained) if explained.kind == "words" else draw_class(explained)).image
    image.thumbnail((STILL_WIDTH, 20 * STILL_WIDTH), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=STILL_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
