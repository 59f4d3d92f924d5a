"""Build the encoder of a captioner: from the image to the last spatial map, preprocessing included."""

import inspect

import keras
import numpy as np
from keras import layers

from gazeback.models import efficientnet_lite
from gazeback.models.errors import UserError, first_line

LITE0 = "efficientnet_lite0"

# keras.applications families by what their weights expect instead of RGB 0..255. Families that are not
# named here (EfficientNet, EfficientNetV2, ConvNeXt, MobileNetV3) include their own preprocessing.
_MINUS_ONE_TO_ONE = ("Inception", "Xception", "MobileNet", "MobileNetV2", "NASNet")
_IMAGENET_STATISTICS = ("DenseNet",)
_BGR_MINUS_MEAN = ("VGG", "ResNet")
_MEAN_RGB = (123.68, 116.779, 103.939)


def build_encoder(name: str = LITE0, weights: str | None = "imagenet") -> keras.Model:
    """Build an encoder by name: ``efficientnet_lite0`` or a function of ``keras.applications``
    ("MobileNetV2").

    Input ``image``: float32 ``[n, s, s, 3]``, RGB pixels 0..255, s the network's own size. Output: its last
    spatial map ``[n, h, w, C]``. Preprocessing is part of the model. ``weights``: ``"imagenet"``
    (``keras.applications`` downloads them once) or None for random ones. Raises UserError for an unknown
    name or missing weights.
    """
    if name == LITE0:
        encoder = efficientnet_lite.build(include_top=False)
        if weights is not None:
            efficientnet_lite.load_imagenet_weights(encoder)
        return encoder
    application = _application(name)
    image, pixels = _input_and_pixels(name, _native_size(name))
    try:
        encoder = application(include_top=False, weights=weights, input_tensor=pixels)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the {weights} weights of {name} could not be loaded: {first_line(error)}"
        ) from error
    if name.startswith(_BGR_MINUS_MEAN) and not _is_resnet_v2(name):
        _read_rgb(encoder)
    return keras.Model(image, encoder.output, name=name.lower())


def last_map_layer(encoder: keras.Model) -> str:
    """The name of the layer whose output is the encoder's output."""
    return encoder.output._keras_history.operation.name


def _application(name: str):
    application = getattr(keras.applications, name, None)
    if inspect.isclass(application) or not callable(application):
        names = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise UserError(
            f"unknown encoder {name!r}; choose {LITE0} or one of keras.applications: {', '.join(names)}"
        )
    return application


def _native_size(name: str) -> int:
    """The image side that the ImageNet weights were trained at."""
    special = {"InceptionV3": 299, "Xception": 299, "InceptionResNetV2": 299, "NASNetLarge": 331}
    efficientnets = {
        f"EfficientNetB{i}": size for i, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    }
    return (special | efficientnets).get(name, 224)


def _is_resnet_v2(name: str) -> bool:
    return name.startswith("ResNet") and name.endswith("V2")


def _input_and_pixels(name: str, size: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input and the preprocessed pixels of a ``keras.applications`` network."""
    image = keras.Input((size, size, 3), name="image")
    if _is_resnet_v2(name) or (name.startswith(_MINUS_ONE_TO_ONE) and not name.startswith("MobileNetV3")):
        return image, layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling_to_unit")(image)
    if name.startswith(_IMAGENET_STATISTICS):
        mean, std = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
        return image, layers.Normalization(mean=mean, variance=std**2, name="imagenet_statistics")(image)
    if name.startswith(_BGR_MINUS_MEAN):
        return image, layers.Normalization(
            mean=np.array(_MEAN_RGB), variance=np.ones(3), name="imagenet_mean"
        )(image)
    return image, image


def _read_rgb(encoder: keras.Model) -> None:
    """Change the first convolution of a network trained on BGR so that it reads RGB."""
    first = next(layer for layer in encoder.layers if isinstance(layer, layers.Conv2D))
    kernel, *bias = first.get_weights()
    first.set_weights([kernel[:, :, ::-1, :], *bias])
