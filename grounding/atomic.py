"""Files appear complete or not at all."""

import os
import uuid
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write ``data`` to a temporary name beside ``path``, then move it there in one step.

    A reader sees the old file or the whole new one, also when the process is killed in between.

    Returns:
        ``path`` as a `Path`.

    Raises:
        OSError: the folder does not exist or is not writable; ``path`` is then unchanged.
    """
    target = Path(path)
    # not tempfile: its files are private (0600), and would stay so after the move
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
