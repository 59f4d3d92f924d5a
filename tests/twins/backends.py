"""What differs between Keras's backends."""

import contextlib

import keras

if keras.backend.backend() == "torch":
    import torch

    # The twins read weights as arrays, which PyTorch refuses for those that could be trained.
    _numpy = torch.Tensor.numpy
    torch.Tensor.numpy = lambda self, **options: _numpy(self.detach(), **options)


@contextlib.contextmanager
def uncompiled():
    """Forward passes run without being compiled."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)
    elif backend == "jax":
        import jax

        with jax.disable_jit():
            yield
    else:  # PyTorch compiles nothing unless it is asked to
        yield
