"""Our own benchmark for captioners: scenes with exact masks for every word."""
