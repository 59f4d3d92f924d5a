"""Rules: how evidence and coefficients pass back through each kind of layer."""

from gazeback.cnn_trace.rules.rule import Rule
from gazeback.cnn_trace.rules.table import find_rule, register_rule

__all__ = ["Rule", "find_rule", "register_rule"]
