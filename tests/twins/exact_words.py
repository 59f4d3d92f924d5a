"""The exact sums of a caption's words, added up from what a trace found."""

import numpy as np

from gazeback.cnn_trace.tracer import tracer_of
from gazeback.grounding.traced_words import WordTracer


def logits_of(target):
    """The tensor itself, or the logits before a softmax that was only moved, of the same last axis."""
    call = target.call
    while call is not None and not call.final and len(call.inputs) == 1:
        call = call.inputs[0].call
    return target if call is None or not call.final else call.inputs[0]


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
        targets = [logits_of(target) for target in targets]
        logits = asked.record([images, reading.words], set(targets))
        found = zip(targets, rows, reading.neurons, strict=True)
        # Of logits that are cut after their softmax, the last step is the answer.
        expected += [
            logits[t][row][(*[-1] * (logits[t].ndim - 1 - len(neuron)), *neuron)] for t, row, neuron in found
        ]
        sums += [*total]
    return sums, expected
