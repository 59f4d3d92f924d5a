"""The exact sums of a caption's words, added up from what a trace found."""

import numpy as np

from gazeback.cnn_trace.tracer import tracer_of
from gazeback.grounding.traced_words import WordTracer


def sums_and_logits(captioner, pixels, ids):
    """For each word of a caption the sum of all contributions, and the logit that they should make up."""
    tracer, sums, expected = WordTracer(captioner, pixels, "evidence", {}), [], []
    for reading in captioner.readings(ids):
        asked = tracer_of(reading.model)
        traced = tracer._traced(asked, reading)
        recording, head = traced.recording, traced.decomposition
        n = len(reading.positions)
        rows = np.arange(n) if len(reading.words) > 1 else np.zeros(n, int)
        total = head.bias.copy()
        for tensor, coefficients in (*head.maps.items(), *head.others.items()):
            value = recording[tensor]
            products = coefficients * (value[rows] if len(value) > 1 else value)
            total += products.reshape(n, -1).sum(axis=1, dtype=np.float64)
        targets = [asked.target(output=output) for output in reading.outputs] * (n // len(reading.outputs))
        images = np.repeat(tracer.image, len(reading.words), 0)
        logits = asked.record([images, reading.words], set(targets))
        found = zip(targets, rows, reading.neurons, strict=True)
        expected += [logits[target][(row, *neuron)] for target, row, neuron in found]
        sums += [*total]
    return sums, expected
