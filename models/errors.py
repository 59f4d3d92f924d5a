"""Mistakes that a user can correct: one clear line each, never a traceback on the command line.

A message says what was expected, what came, and what to do about it.
"""


class UserError(ValueError):
    """Something that the user asked for or passed in cannot be used; the command line exits with code 2."""


class PhotoError(UserError):
    """A photo that is missing or broken, is not a picture, or has an unusable size."""


class ModelError(UserError):
    """A model or captioner that is missing, is broken, or is of the wrong kind."""


class DataError(UserError):
    """Annotations or a data folder that are missing or not in the expected format."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its class if it says nothing."""
    text = getattr(error, "strerror", None) or str(error)
    return next(iter(str(text).strip().splitlines()), "") or type(error).__name__
