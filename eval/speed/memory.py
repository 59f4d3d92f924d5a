"""Print the peak memory in mebibytes: `python -m gazeback.eval.speed.memory NETWORK BATCH WHAT`.

The weights are included, the libraries are not. Linux only. WHAT is "activations", a forward pass that
returns every layer's output, or a method.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gazeback.eval.speed.networks import KEPT, explaining, network

CALLS = 2


def main(name: str, batch: int, what: str) -> float:
    before = _memory("VmRSS")
    model, pixels = network(name, batch)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here, after building
    if what == KEPT:
        outputs = [output for layer in model.layers for output in keras.tree.flatten(layer.output)]
        every = keras.Model(model.inputs, outputs)
        call = tf.function(lambda x: every(x, training=False), jit_compile=False)
        for _ in range(CALLS):
            kept = [np.asarray(x) for x in keras.tree.flatten(call(tf.constant(pixels)))]
        assert len(kept) == len(outputs)
    else:
        for _ in range(CALLS):
            explaining(what, model, pixels)()
    return (_memory("VmHWM") - before) / 2**20


def _memory(kind: str) -> int:
    """Memory of this process in bytes: current ("VmRSS") or peak ("VmHWM")."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {kind}")


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
