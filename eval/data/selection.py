"""Select the images to measure: order and parts depend only on the file names."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar

from gazeback.models.tune_part import TUNE_SHARE, in_tune_part, name_digest

RULE = (
    f"sha256 of the file name: bytes 0-7 order the images, byte 8 under {TUNE_SHARE} of 256 is the tune part"
)

Part = Literal["tune", "report", "all"]

T = TypeVar("T")

_ELSEWHERE: ContextVar[frozenset[str] | None] = ContextVar("the images of another run", default=None)


@contextmanager
def tuned_on(names: Iterable[str] | None) -> Iterator[None]:
    """In this context the tune part is these images, and all others are reported; None: as usual."""
    token = _ELSEWHERE.set(None if names is None else frozenset(names))
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


def part_of(file_name: str) -> Literal["tune", "report"]:
    """The part of an image: `tune` for about three images in ten, otherwise `report`."""
    elsewhere = _ELSEWHERE.get()
    if elsewhere is not None:
        return "tune" if file_name in elsewhere else "report"
    return "tune" if in_tune_part(file_name) else "report"


def select(items: Sequence[T], names: Sequence[str], part: Part = "all", limit: int | None = None) -> list[T]:
    """Select the first `limit` items of a part, in the order of their names' hashes (any limit is a fair
    sample)."""
    order = sorted(range(len(items)), key=lambda i: (name_digest(names[i])[:8], names[i]))
    chosen = [items[i] for i in order if part == "all" or part_of(names[i]) == part]
    return chosen[:limit]
