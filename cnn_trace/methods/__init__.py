"""The tracing methods, one per module."""
