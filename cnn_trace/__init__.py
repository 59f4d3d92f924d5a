"""Trace a neuron of a Keras model to the pixels: a flat graph, one recorded forward pass, and the walk
back."""

from gazeback.cnn_trace.errors import MissingRule, TraceError, TraceWarning
from gazeback.cnn_trace.fixations import Fixations
from gazeback.cnn_trace.neurons import Evidence
from gazeback.cnn_trace.rules import Rule, register_rule
from gazeback.cnn_trace.tracer import METHODS, Tracer, trace

__all__ = [
    "METHODS",
    "Evidence",
    "Fixations",
    "MissingRule",
    "Rule",
    "TraceError",
    "TraceWarning",
    "Tracer",
    "register_rule",
    "trace",
]
