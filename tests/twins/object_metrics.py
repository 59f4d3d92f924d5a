"""Pointing, pixel and proposal figures written down slowly, pixel by pixel, from the papers' words."""

import math


def points_hit(heat, mask, tolerance):
    """Zhang et al. 2018, 4.1: the share of the maxima that are within the tolerance of an object's pixel."""
    places = [(r, c) for r, row in enumerate(heat) for c, _ in enumerate(row)]
    peak = max(heat[r][c] for r, c in places)
    maxima = [(r, c) for r, c in places if heat[r][c] == peak and peak > 0]
    if not maxima:
        return 0.0
    objects = [(r, c) for r, c in places if mask[r][c]]
    near = [any(math.hypot(r - y, c - x) <= tolerance for y, x in objects) for r, c in maxima]
    return sum(near) / len(maxima)


def confusion(heat, mask, threshold):
    """(found on an object, found elsewhere, objects' pixels missed, the rest) at a share of the maximum."""
    peak = max(max(row) for row in heat)
    counts = {(found, inside): 0 for found in (True, False) for inside in (True, False)}
    for values, inside in zip(heat, mask, strict=True):
        for value, is_object in zip(values, inside, strict=True):
            counts[value >= threshold * peak, bool(is_object)] += 1
    return counts[True, True], counts[True, False], counts[False, True], counts[False, False]


def scores(heat, mask, threshold):
    hits, false, missed, rest = confusion(heat, mask, threshold)
    precision = hits / (hits + false) if hits + false else 0
    recall = hits / (hits + missed)
    return {
        "accuracy": (hits + rest) / (hits + false + missed + rest),
        "precision": precision,
        "recall": recall,
        "f": 2 * precision * recall / (precision + recall) if precision + recall else 0,
        "iou": hits / (hits + false + missed),
    }


def equal_error_precision(heats, masks):
    """CNN Fixations, Table II: precision where it equals recall, the pixels of all images taken from the most
    salient on; no two values may be alike."""
    pixels = []
    for heat, mask in zip(heats, masks, strict=True):
        peak = max(max(row) for row in heat)
        for values, inside in zip(heat, mask, strict=True):
            pixels += [
                (value / peak, bool(is_object)) for value, is_object in zip(values, inside, strict=True)
            ]
    pixels.sort(reverse=True)
    objects = sum(is_object for _, is_object in pixels)
    for count in range(1, len(pixels) + 1):
        hits = sum(is_object for _, is_object in pixels[:count])
        if hits / count == hits / objects and count == objects:
            return hits / count
    raise AssertionError("there is always such a count")


def recall_and_precision(images, category):
    """CNN Fixations, Table III: `images` are (box, [(category, box), ...]), boxes [x, y, w, h]."""
    objects = found = shown = right = 0
    for box, annotated in images:
        of_category = [true for name, true in annotated if name == category]
        hits = [iou(box, true) >= 0.5 for true in of_category]
        objects, found = objects + len(hits), found + sum(hits)
        shown, right = shown + bool(hits), right + any(hits)
    return found / objects, right / shown


def iou(first, second):
    overlap = 1.0
    for axis in (0, 1):
        start = max(first[axis], second[axis])
        end = min(first[axis] + first[axis + 2], second[axis] + second[axis + 2])
        overlap *= max(end - start, 0)
    return overlap / (first[2] * first[3] + second[2] * second[3] - overlap)
