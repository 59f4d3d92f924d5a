"""The images on which settings are chosen, and on which nothing is reported: by a hash of the file name."""

import hashlib
import os

TUNE_SHARE = 0.3
"""The fraction of the images on which settings are chosen; the others, or another split, are reported."""


def name_digest(file_name: str) -> bytes:
    """SHA-256 of a file's name."""
    return hashlib.sha256(os.fsencode(file_name)).digest()


def in_tune_part(file_name: str) -> bool:
    """Whether an image is one of about three in ten."""
    return name_digest(file_name)[8] < TUNE_SHARE * 256
