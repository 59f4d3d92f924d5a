"""Metrics of maps, boxes, pixels, captions and words, and statistics of them."""
