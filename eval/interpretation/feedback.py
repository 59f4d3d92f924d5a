"""Explain a prediction by the relevant features that a photo has, and where it has them.

Oramas, Wang, Tuytelaars, *Visual Explanation by Interpretation*, ICLR 2019, sections 3.2 and 3.3. The
relevance of the features of class j in a photo is ``r = w_j ∘ x``, with x the responses of all filters. The
features with the largest relevance are shown as heat maps of two methods: guided backpropagation with
resampled strides, and evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from gazeback.cnn_trace.fixations import Fixations
from gazeback.cnn_trace.graph import Tensor
from gazeback.cnn_trace.layout import channels_last
from gazeback.cnn_trace.methods.options import Options
from gazeback.cnn_trace.recording import execute
from gazeback.cnn_trace.rules.kernels import as_array
from gazeback.cnn_trace.targets import named_neurons
from gazeback.eval.baselines.autodiff import Watch, signals
from gazeback.eval.baselines.projections import guided, resampled_strides
from gazeback.eval.interpretation.filters import Filters
from gazeback.eval.interpretation.forward import Forward
from gazeback.eval.interpretation.relevant import Feature, RelevantFeatures
from gazeback.eval.interpretation.responses import normalised
from gazeback.grounding.classes import Prediction
from gazeback.grounding.explanation import MAP_LONGEST, Explanation, on_photo
from gazeback.models.classifiers import Classifier, ModelInput, Preprocessing
from gazeback.models.errors import UserError
from gazeback.models.photos import Photo, load_photo

TOP = 6
PREDICTIONS = 5
CUT = 0.99
METHODS = ("guided-backprop", "evidence")


@dataclass(frozen=True)
class ShownFeature:
    """One relevant feature of a photo.

    Attributes:
        feature: the filter, with its weight for the class.
        number: the number of its layer in the network, from 1; ``kind``: of the layer.
        response: x, the filter's fraction of its layer's responses.
        relevance: r, see `Feature.relevance`; ``share``: its fraction of the sum of all positive relevances
            of the class.
        explanations: one for each of `METHODS`.
    """

    feature: Feature
    number: int
    kind: str
    response: float
    relevance: float
    share: float
    explanations: tuple[Explanation, ...]


@dataclass(frozen=True, eq=False)
class Feedback:
    """A photo, a model's predictions, and the features of one class that the photo has, the most relevant
    first.

    Attributes:
        name: the class that is explained; ``probability``: of this class, None if the model gives none.
        predictions: the most probable classes, best first; none for a captioner's words.
        features: empty if the photo has none.
    """

    photo: Photo
    model_name: str
    name: str
    probability: float | None
    predictions: tuple[Prediction, ...]
    features: tuple[ShownFeature, ...]


def explain_prediction(
    classifier: Classifier,
    photo: Any,
    relevant: RelevantFeatures,
    *,
    name: str | None = None,
    forward: Forward | None = None,
    top: int = TOP,
) -> Feedback:
    """Explain a classifier's prediction by the relevant features that a photo has.

    Args:
        classifier: that the features were learned from.
        photo: a path, a Pillow image, a uint8 array or a loaded ``Photo``.
        name: the class, as named in `relevant`; by default the most probable class that `relevant` has.
        forward, top: as for :func:`explain_features`.

    Raises:
        UserError: a bad photo; features of another model, or none for the class; a number below 1.
        ModelError: a class that the classifier does not have.
    """
    if name is not None:
        _check_class(name, relevant)
    photo = photo if isinstance(photo, Photo) else load_photo(photo)
    probabilities = classifier.probabilities(classifier.preprocess(photo).pixels[None])[0]
    if name is None:
        numbers = {one: classifier.class_index(one) for one in relevant.classes}
        name = max(numbers, key=lambda one: float(probabilities[numbers[one]]))
    best = tuple(
        Prediction(classifier.class_names[i], i, float(probabilities[i]))
        for i in np.argsort(-probabilities, kind="stable")[:PREDICTIONS].tolist()
    )
    return explain_features(
        classifier.model,
        classifier.preprocess,
        photo,
        relevant,
        name,
        forward=forward,
        top=top,
        model_name=classifier.name,
        probability=float(probabilities[classifier.class_index(name)]),
        predictions=best,
    )


def explain_features(
    model: keras.Model,
    preprocess: Preprocessing,
    photo: Any,
    relevant: RelevantFeatures,
    name: str,
    *,
    last: str | None = None,
    forward: Forward | None = None,
    top: int = TOP,
    model_name: str = "",
    probability: float | None = None,
    predictions: Sequence[Prediction] = (),
) -> Feedback:
    """Explain a class by the relevant features that a photo has, for any network: a classifier or an encoder.

    Each feature is explained by two methods. The signal of guided backpropagation starts as the filter's map
    of positive responses, and passes strided layers as if their stride were 1. Evidence walks back from the
    same map.

    Args:
        model, preprocess: any network that reads photos, and its preprocessing.
        name: the class, or a captioner's word.
        last: the layer whose map is the output of interest, for a captioner its ``features_layer``; None for
            a classifier.
        forward: the forward pass of the same network with all layers of the features; make it once for
            several photos.
        top: the largest number of features; only those with a relevance above 0 are shown.
        model_name, probability, predictions: shown beside the features.

    Raises:
        UserError: a bad photo; features of another model, or none for the class; a number below 1.
    """
    if top < 1:
        raise UserError(f"top: expected 1 feature or more, got {top}")
    _check_class(name, relevant)
    photo = photo if isinstance(photo, Photo) else load_photo(photo)
    prepared = preprocess(photo)
    features = list(relevant.of(name))
    filters = Filters.of(model, features, last)
    response = _responses(filters, features, prepared, forward)
    relevance = {feature: feature.relevance(response[feature]) for feature in features}
    chosen = sorted((f for f in features if relevance[f] > 0), key=lambda f: -relevance[f])[:top]
    total = sum(max(value, 0.0) for value in relevance.values())
    shown = tuple(
        ShownFeature(
            feature,
            filters.place(feature.layer),
            filters.layers[feature.layer].kind,
            response[feature],
            relevance[feature],
            relevance[feature] / total,
            explanations,
        )
        for feature, explanations in zip(chosen, _explained(filters, chosen, prepared), strict=True)
    )
    return Feedback(photo, model_name or model.name, name, probability, tuple(predictions), shown)


def _check_class(name: str, relevant: RelevantFeatures) -> None:
    if name not in relevant.features:
        known, count = ", ".join(map(repr, relevant.classes[:5])), len(relevant.classes)
        more = f" and {count - 5} more" if count > 5 else ""
        raise UserError(f"no relevant features for {name!r}; there are some for {known}{more}")


def _responses(
    filters: Filters, features: Sequence[Feature], prepared: ModelInput, forward: Forward | None
) -> dict[Feature, float]:
    """Compute x (section 3.1): the responses of some filters to one photo."""
    if not features:
        return {}
    if forward is None:
        layers = [filters.layers[layer] for layer in filters.numbers]
        forward = Forward(filters.graph, filters.answer, layers)
    norms, _ = forward.responses(prepared.pixels[None])
    found = normalised(norms, forward)[0]
    return {
        feature: float(found[forward.offsets[feature.layer].start + feature.filter]) for feature in features
    }


def _explained(
    filters: Filters, features: Sequence[Feature], prepared: ModelInput
) -> list[tuple[Explanation, ...]]:
    """Explain each feature by each of `METHODS`."""
    signals = projected_answers(filters, features, prepared.pixels)
    walked = _walked(filters, features, prepared.pixels)
    return [
        (
            Explanation(METHODS[0], None, on_photo(evened(signal), prepared, MAP_LONGEST)),
            Explanation(
                METHODS[1], fixations.mapped(prepared.to_photo, prepared.photo_shape), on_input=fixations
            ),
        )
        for signal, fixations in zip(signals, walked, strict=True)
    ]


def evened(signal: np.ndarray) -> np.ndarray:
    """Clip a signal ``[h, w]`` from 0 to 1 at the level that 1 % of its pixels exceed.

    Otherwise only the strongest few pixels (an eye, a glint) would be visible.
    """
    ceiling = float(np.quantile(signal, CUT)) or float(signal.max())
    found: np.ndarray = np.minimum(signal / max(ceiling, np.finfo(np.float32).tiny), 1)
    return found


def projected_answers(filters: Filters, features: Sequence[Feature], pixels: np.ndarray) -> list[np.ndarray]:
    """Compute guided backpropagation of the responses of some filters to an image, with resampled strides.

    The signal starts as the filter's own positive responses, and not as 1 everywhere. This is how a deconvnet
    starts (Zeiler and Fergus 2014, section 2.1: the maps of all other filters are set to zero). All features
    share one pass, each with a row of its own in the batch.

    Args:
        filters: the filters that the features name. pixels: float ``[height, width, channels]``, as the model
            reads them.

    Returns:
        For each feature float32 ``[height, width]``: the largest magnitude among the channels, its maximum 1.
    """
    if not features:
        return []
    graph, image = filters.graph, filters.image
    starts = [filters.tensor(feature.layer) for feature in features]
    pictures = np.repeat(pixels[None], len(features), axis=0).astype(image.dtype)
    calls = graph.ancestors(starts)
    # If every tensor is wanted, a fused activation runs separately from its layer, and has its own rule.
    wanted = {tensor for call in calls for tensor in call.outputs}
    rules = guided(graph, image) | resampled_strides(graph, image)

    def scored(watch: Watch) -> tuple[Any, None]:
        values = {image: watch(image, ops.convert_to_tensor(pictures))}
        for call in calls:
            execute(call, values, wanted)
            if call in rules:
                output = call.outputs[0]
                values[output] = rules[call](call, [values[t] for t in call.inputs], values[output])
        places = enumerate(zip(starts, features, strict=True))
        answers = [_of_filter(t, values[t][row], f.filter) for row, (t, f) in places]
        # The gradient of a * |a|+ with a constant second factor is the positive response itself.
        return sum(ops.sum(a * ops.stop_gradient(ops.relu(a))) for a in answers), None

    [signal], _ = signals(scored, [image])
    return [_strength(one) for one in channels_last(image, as_array(signal))]


def _of_filter(tensor: Tensor, values: Any, number: int) -> Any:
    return values[number] if tensor.channels_first else values[..., number]


def _strength(signal: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.abs(signal).max(axis=-1)
    return found / max(float(found.max()), np.finfo(np.float32).tiny)


def _walked(filters: Filters, features: Sequence[Feature], pixels: np.ndarray) -> list[Fixations]:
    """Trace evidence from the maps of some filters; all share one forward pass."""
    tracer, options = filters.tracer, Options()
    arrays = filters.arrays(pixels[None])
    tensors = {feature.layer: filters.tensor(feature.layer) for feature in features}
    recording = tracer.first_recording(arrays, frozenset(tensors.values()), options)
    found: dict[Feature, Fixations] = {}
    for layer, tensor in tensors.items():
        here = [feature for feature in features if feature.layer == layer]
        asked = partial(named_neurons, tensor, [(..., feature.filter) for feature in here])
        traced = tracer.explain(arrays, tensor, asked, options, frozenset([tensor]), recording)
        found.update(zip(here, traced.fixations[0], strict=True))
    return [found[feature] for feature in features]
