"""What needs TensorFlow, and what to install where a backend of Keras is missing."""

from gazeback.models.errors import UserError

INSTALL = {
    "tensorflow": "TensorFlow is not installed: pip install 'gazeback[tensorflow]', or, with JAX or PyTorch "
    "installed, set KERAS_BACKEND=jax or KERAS_BACKEND=torch",
    "jax": "JAX, the chosen backend of Keras, is not installed: pip install jax",
    "torch": "PyTorch, the chosen backend of Keras, is not installed: pip install torch",
}
"""What to say about a missing backend, by its module."""


def check_tensorflow(what: str) -> None:
    """Raise UserError unless Keras runs on TensorFlow; ``what`` names the thing that needs it."""
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UserError(
            f"{what} needs TensorFlow, and Keras runs on {backend}: pip install 'gazeback[tensorflow]' and "
            "set KERAS_BACKEND=tensorflow"
        )
