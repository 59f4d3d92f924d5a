"""Measure the time and memory that explanations take."""
