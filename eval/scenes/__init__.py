"""A benchmark for captioners: drawn scenes with exact masks for every word."""
