"""A benchmark for classifiers: drawn flowers with exact masks."""
