"""Evaluation tasks, one question per module."""
