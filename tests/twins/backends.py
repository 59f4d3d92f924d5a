"""What differs between Keras's backends."""

import contextlib

import keras


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
