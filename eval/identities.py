"""Two identities of a captioner's explanation, measured on photos.

A word's evidence, what the words before contribute, and the biases sum to the word's logit. And a captioner
that is shown the mean picture whatever the photo says no word because of the photo.
"""

from collections.abc import Sequence

import keras
import numpy as np

from gazeback.cnn_trace.tracer import Options, tracer_of
from gazeback.eval.words import visual_nats, visual_share
from gazeback.models import show_and_tell
from gazeback.models.captioner import Captioner
from gazeback.models.errors import UserError
from gazeback.models.language_half import ShowAndTellSteps


def identities(
    captioner: Captioner, cut: Captioner, image: np.ndarray, word_ids: Sequence[int]
) -> dict[str, float]:
    """Both on a caption, as ids without start and end, of an image float32 [size, size, 3], RGB, 0 to 255.

    sum error: the largest over the words, of the sum against the logit; cut off: the largest visual share of
    a word, for the captioner `cut_off`; visual share: the largest that a word has with the photo.
    """
    with_photo, without = (
        visual_share(visual_nats(model, model.features(image[None]), [word_ids])[0])
        for model in (captioner, cut)
    )
    return {
        "sum error": float(np.abs(sum_errors(captioner, image, word_ids)).max()),
        "cut off": float(without.max()),
        "visual share": float(with_photo.max()),
    }


def sum_errors(captioner: Captioner, image: np.ndarray, word_ids: Sequence[int]) -> np.ndarray:
    """By how much the contributions of map and words and the biases miss each word's logit: float64 [n]."""
    tracer = tracer_of(captioner.model)
    given = {
        "image": np.asarray(image, np.float32)[None],
        "words": np.array([[captioner.vocabulary.start, *word_ids[:-1]]], np.int32),
    }
    # output step 0 has seen only the image; step j + 1 predicts word j
    neurons = np.array([[(j + 1, word) for j, word in enumerate(word_ids)]])
    target = tracer.target()
    traced = tracer.explain(
        [given[name] for name in tracer.graph.input_names],
        target,
        lambda _: neurons,
        Options(method="evidence", reference=captioner.mean_features),
        also=frozenset([target]),
    )
    logits = traced.recording[target][0][tuple(neurons[0].T)].astype(np.float64)
    parts = traced.decomposition
    assert parts is not None  # method="evidence" always has an exact head
    total = np.asarray(parts.bias, np.float64)
    for tensor, coefficients in (*parts.maps.items(), *parts.others.items()):
        products = coefficients.astype(np.float64) * traced.recording[tensor]
        total = total + products.reshape(len(products), -1).sum(axis=1)
    return total - logits


def cut_off(captioner: Captioner) -> Captioner:
    """The captioner with its image input cut off: its last map is the mean picture's, whatever the photo.

    Raises UserError for a captioner that is no Show and Tell.
    """
    if ShowAndTellSteps.of(captioner.model) is None:
        raise UserError(f"{captioner.name}: only a Show-and-Tell captioner can be cut off from its image")
    rows, _, channels = captioner.model.get_layer(captioner.features_layer).output.shape[1:]
    image = keras.Input((captioner.image_size, captioner.image_size, 3), name="image")
    blind = keras.layers.Conv2D(
        channels, 1, strides=captioner.image_size // rows, name=captioner.features_layer
    )
    encoder = keras.Model(image, blind(image))
    blind.set_weights([np.zeros((1, 1, 3, channels)), captioner.mean_features])
    embedding = captioner.model.get_layer(show_and_tell.WORD_EMBEDDING)
    units = captioner.model.get_layer(show_and_tell.LSTM).units
    model = show_and_tell.build(encoder, embedding.input_dim, embedding.output_dim, units)
    for layer in model.layers:
        if layer is not blind and layer.weights:
            layer.set_weights(captioner.model.get_layer(layer.name).get_weights())
    name = f"{captioner.name}, cut off"
    return Captioner(model, captioner.vocabulary, captioner.mean_features, captioner.features_layer, name)
