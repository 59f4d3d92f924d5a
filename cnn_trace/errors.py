"""Errors of a trace; each message is one clear line."""


class TraceError(ValueError):
    """A model, an input or a target that cannot be traced; the message says what was expected."""


class TraceWarning(UserWarning):
    """A trace that leaves something out; the message says what, and what to do about it."""


class MissingRule(TraceError):
    """A layer without a rule; the message names the layer and says how to register a rule."""
