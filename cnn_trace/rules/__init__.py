"""The rules: how evidence passes back through each kind of layer."""

from gazeback.cnn_trace.rules.table import Rule, find_rule, register_rule

__all__ = ["Rule", "find_rule", "register_rule"]
