"""Serve the app on this machine, or, if asked for, to everybody who can reach it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from gazeback.models.errors import UserError

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"

LARGEST_UPLOAD = "20mb"

# Fonts of the reader's machine, so that nothing comes from the network; as on the pages.
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "Consolas", "monospace")

# The colours of the pages.
COLOURS = {
    "body_background_fill": "#faf9f6", "body_background_fill_dark": "#171614",
    "block_background_fill": "#ffffff", "block_background_fill_dark": "#201f1c",
    "input_background_fill": "#faf9f6", "input_background_fill_dark": "#171614",
    "button_secondary_background_fill": "#e8e4db", "button_secondary_background_fill_dark": "#38352f",
}  # fmt: skip

CSS = """
.mark { font: italic 1.6rem Palatino, Georgia, serif; }
.empty { padding: 3rem 1rem; text-align: center; opacity: .7; }
.mistake { padding: 1rem; border-left: 4px solid #a3265a; overflow-wrap: anywhere; }
"""


def check(port: int, public: bool) -> None:
    """Check that Gradio is installed and that the port is free.

    Raises:
        UserError: it is not.
    """
    if find_spec("gradio") is None:
        raise UserError("the app needs Gradio, which is not installed: pip install 'gazeback[app]'")
    if not 0 <= port <= 65535:
        raise UserError(f"--port: expected a number from 0 to 65535, got {port}")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            trial.bind((EVERYWHERE if public else LOOPBACK, port))
        except OSError as error:
            raise UserError(f"--port {port}: {error.strerror}; choose another port") from None


@contextmanager
def serving(models: Sequence[str], port: int, public: bool = False) -> Iterator[str]:
    """Serve the app; gives its address. Uploads and results are removed at the end.

    Args:
        models: captioners as after ``--model``; the bundled ones follow them.
        port: a free port.
        public: listen on all addresses of this machine instead of loopback only.
    """
    with TemporaryDirectory(prefix="gazeback-app-") as folder:
        # read when Gradio is imported, and when an upload comes
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        os.environ["GRADIO_TEMP_DIR"] = folder
        import gradio as gr

        from gazeback.grounding.app.session import Captioners
        from gazeback.grounding.app.surface import build
        from gazeback.grounding.output.notebook import FIT_FRAMES
        from gazeback.models.photos import bundled_photo

        app = build(Captioners(models), Path(folder))
        app.queue(max_size=20)
        _, address, _ = app.launch(
            server_name=EVERYWHERE if public else LOOPBACK, server_port=port, share=False, inbrowser=False,
            prevent_thread_lock=True, quiet=True, ssr_mode=False, enable_monitoring=False, mcp_server=False,
            max_file_size=LARGEST_UPLOAD, allowed_paths=[str(bundled_photo())], footer_links=[],
            theme=gr.themes.Base(font=SANS, font_mono=MONO, primary_hue="orange").set(**COLOURS), css=CSS,
            head=FIT_FRAMES,
        )  # fmt: skip
        try:
            yield address
        finally:
            app.close(verbose=False)
