"""Data sets in the COCO format: their annotations, categories, and a run over a split."""
