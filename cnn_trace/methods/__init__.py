"""The methods of the tracer, one per module."""
