"""What can go wrong in a trace, each with one clear line."""


class TraceError(ValueError):
    """A model, an input or a target that cannot be traced; the message says what was expected."""


class MissingRule(TraceError):
    """A layer that no rule knows; the message names it and says how to register one."""
