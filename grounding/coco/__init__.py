"""COCO data sets: annotations, categories, and a run over a split."""
