"""Metrics of maps, boxes, pixels, captions and words, and their statistics."""
