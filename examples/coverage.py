"""Print docs/coverage.md: the layers, operators and network families that can be traced (in about a minute).

python examples/coverage.py > docs/coverage.md
"""

import inspect
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
from keras import layers

from gazeback.cnn_trace import Rule, trace
from gazeback.cnn_trace.rules import find_rule
from gazeback.cnn_trace.rules.table import BY_CLASS_NAME, LAYERS, OPERATORS
from gazeback.cnn_trace.tracer import tracer_of

METHODS = ("evidence", "fixations")
HEADER = """\
# What can be traced

Use this page to see whether gazeback can trace your model. Every layer and operator below has a *walk*, which
takes evidence on its output to evidence on its input, and an *adjoint*, which takes coefficients through it
in the head. In the tables, `k` are the coefficients on the output, and `a * w` is the product of an input and
its weight.

Other layers are opened:

- nested and subclassed models, and composite layers;
- `MultiHeadAttention`, `GroupQueryAttention`, `Attention`, `AdditiveAttention` and `Dot`;
- `TimeDistributed` (over a fixed number of steps) and `Bidirectional`;
- every layer whose `call` consists of what is listed here, such as `x * self.gamma`.

Any other layer raises an error that names the layer. [A rule of your own](rules.md) takes a few lines.

Everything that is not linear is frozen at its value in the forward pass. Gates and attention weights (the
output of a sigmoid or softmax) are constants: nothing is traced through them, and the layers before them need
no rule. Below a negative scale the sign flips: a low value is sought ([method](method.md)). Channels may be
last or first.

`python examples/coverage.py > docs/coverage.md` makes this page from the rule table and from traces.
"""


def squeezed(groups: int) -> keras.Model:
    """Bottleneck blocks with squeeze-and-excitation: as in ResNet-RS (one group) and RegNetY (several)."""
    x = image = keras.Input((64, 64, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for filters in (16, 32, 64):
        short = layers.Conv2D(filters, 1, use_bias=False)(layers.AveragePooling2D(2, padding="same")(x))
        short = layers.BatchNormalization()(short)
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 3, strides=2, padding="same", groups=groups, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = layers.Conv2D(filters // 4, 1, activation="relu")(gate)
        x = layers.Multiply()([x, layers.Conv2D(filters, 1, activation="sigmoid")(gate)])
        x = layers.BatchNormalization()(layers.Conv2D(filters, 1, use_bias=False)(x))
        x = layers.ReLU()(layers.Add()([layers.Dropout(0.2, noise_shape=(None, 1, 1, 1))(x), short]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10)(x))


def application(name: str, side: int = 64) -> Callable[[], keras.Model]:
    """A network of ``keras.applications`` with random weights, for small images and ten classes."""
    build = getattr(keras.applications, name)
    return lambda: build(weights=None, input_shape=(side, side, 3), classes=10)


# Family -> (network, how to make it). One small network of each.
FAMILIES: dict[str, tuple[str, Callable[[], keras.Model]]] = {
    "VGG": ("VGG16", application("VGG16")),
    "ResNet": ("ResNet50", application("ResNet50")),
    "ResNet v2": ("ResNet50V2", application("ResNet50V2")),
    "ResNet-RS": ("blocks of its kind", lambda: squeezed(groups=1)),
    "RegNet": ("blocks of its kind (RegNetY)", lambda: squeezed(groups=4)),
    "DenseNet": ("DenseNet121", application("DenseNet121")),
    "Inception v3": ("InceptionV3", application("InceptionV3", 75)),
    "Inception-ResNet v2": ("InceptionResNetV2", application("InceptionResNetV2", 75)),
    "Xception": ("Xception", application("Xception", 71)),
    "MobileNet": ("MobileNet", application("MobileNet")),
    "MobileNet v2": ("MobileNetV2", application("MobileNetV2")),
    "MobileNet v3": ("MobileNetV3Small", application("MobileNetV3Small")),
    "NASNet": ("NASNetMobile", application("NASNetMobile")),
    "EfficientNet": ("EfficientNetB0", application("EfficientNetB0")),
    "EfficientNet v2": ("EfficientNetV2B0", application("EfficientNetV2B0")),
    "ConvNeXt": ("ConvNeXtTiny", application("ConvNeXtTiny")),
}


def rule_tables() -> str:
    """The rules for layers and for operators (``x + y``, ``keras.ops.relu(x)``), one row for each rule."""
    find_rule(layers.Identity())  # loads the rules for recurrent layers
    named = {kind.__name__: rule for kind, rule in LAYERS.items() if kind.__module__.startswith("keras.")}
    parts = []
    for title, rules in (("Layers", named | BY_CLASS_NAME), ("Operators", OPERATORS)):
        parts += [f"## {title}\n", *_table((title[:-1].lower(), "walk", "adjoint (head)"), _rows(rules)), ""]
    return "\n".join(parts)


def _rows(rules: dict[str, Rule]) -> Iterator[tuple[str, ...]]:
    texts = {name: (_summary(rule.walk), _summary(rule.adjoint)) for name, rule in rules.items()}
    for text in dict.fromkeys(texts.values()):
        yield (", ".join(f"`{name}`" for name in texts if texts[name] == text), *text)


def _summary(function: Callable | None) -> str:
    """The first paragraph of a docstring on one line, in Markdown."""
    if function is None:
        return "none"
    function = inspect.unwrap(function)
    function = getattr(function, "func", function)
    return " ".join((function.__doc__ or "").split("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")


def family_table(families: Iterable[str] = FAMILIES) -> str:
    """One row for each family: what its network is made of, once it has been traced with each method."""
    title = "family", "network", "calls", "made of", *(f"`{method}`" for method in METHODS)
    return "\n".join(_table(title, map(_family_row, families)))


def _family_row(family: str) -> tuple[str, ...]:
    name, build = FAMILIES[family]
    model = build()
    images = np.random.default_rng(0).uniform(0, 255, (1, *model.input_shape[1:])).astype("float32")
    for method in METHODS:
        trace(model, images, method=method)  # raises where a rule is missing
    calls = tracer_of(model).graph.calls
    kinds = sorted({type(call.operation).__name__ for call in calls})
    return family, name, str(len(calls)), ", ".join(kinds), *("traced" for _ in METHODS)


def _table(title: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    title = list(title)
    for row in (title, ["---"] * len(title), *rows):
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    print(HEADER)
    print(rule_tables())
    print("## Networks\n")
    print("One small network of each family, with random weights, traced from its strongest class.\n")
    print(family_table())
