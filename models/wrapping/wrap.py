"""``wrap_captioner``: somebody's encoder, decoder and tokenizer as a captioner that can be explained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gazeback.models.errors import ModelError
from gazeback.models.wrapping import checks, joining, tokenizers
from gazeback.models.wrapping.pictures import ImageInput, average_map
from gazeback.models.wrapping.prediction import Prediction
from gazeback.models.wrapping.prefixes import PrefixReader
from gazeback.models.wrapping.stages import Stages
from gazeback.models.wrapping.wrapped import WrappedCaptioner


def wrap_captioner(
    model: Any = None,
    *,
    encoder: Any = None,
    decoder: Any = None,
    step: Any = None,
    tokenizer: Any,
    preprocess: Any = None,
    image_size: int | tuple[int, int] | None = None,
    start: str | int | None = "startseq",
    end: str | int | None = "endseq",
    unknown: str | int | None = None,
    pad: str | int | None = 0,
    predicts: str | None = None,
    padding: str | None = None,
    length: int | None = None,
    mean: Any = None,
    features_layer: str | None = None,
    name: str | None = None,
) -> WrappedCaptioner:
    """Wrap a caption generator of your own, as it is: no layer is renamed, rebuilt or retrained.

    Args:
        model: one Keras model of the image and the words, or ``encoder`` and ``decoder``, or ``encoder`` and
            ``step``.
        encoder: a Keras model of the image to the features: a vector, a map or tokens.
        decoder: a Keras model, a layer or a function of the features and the words, in either order.
        step: a function or layer ``(word, features, state) -> (scores, state)`` that reads one word; the
            state is None at the first. What it returns beyond that is not used.
        tokenizer: a dict of words to numbers, a list of words, a ``TextVectorization`` or ``StringLookup``
            layer, or the JSON of a Keras Tokenizer (as text, as a file, or read).
        preprocess: the function that the encoder was trained with, of images float32 ``[n, h, w, 3]``, RGB
            0..255; or the name of a network of ``keras.applications``; None where the encoder takes pixels.
        image_size: (height, width) of the image, or the side of a square; by default as the encoder says.
        start, end, unknown, pad: the special words, by name or number; None where there is none.
        predicts: ``"next"``, scores ``[n, V]`` of the next word, or ``"sequence"``, ``[n, T, V]`` of the
            words of all steps; by default as the scores' shape says.
        padding: ``"pre"`` or ``"post"``: where words of a fixed length are padded; by default before next
            words, as ``pad_sequences`` does, and behind sequences.
        length: how many words go in, where the model leaves it open and they were padded.
        mean: photos (paths, arrays, or a folder) whose mean map is the average picture, or that map,
            ``[h, w, C]``. None: how visual a word is, is not measured.
        features_layer: the layer whose map the evidence is found on, by name or path (``"cnn/block5_pool"``);
            by default the last map that all evidence passes.
        name: for people; by default the model's.

    Raises:
        ModelError: parts that do not fit together, in one line that says what was found and what to pass.

    Warns:
        UserWarning: the scores do not depend on the image, so that every visual share is 0.
    """
    numbered = tokenizers.read(tokenizer)
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    whole = _whole(model, encoder, decoder, step, size, length, len(numbered.words))
    words = tokenizers.words_of(numbered, whole.scores.shape[-1], start, end, unknown, pad)
    image_input = ImageInput.of(tuple(whole.model.inputs[0].shape[1:]), preprocess)
    stages = Stages.of(whole.model, whole.image, whole.words, whole.scores, features_layer)
    prediction = Prediction.of(
        whole.scores, whole.model.inputs[1], predicts=predicts, padding=padding, pad=words.pad
    )
    reader = _tried(PrefixReader(whole.model, stages, prediction, words), image_input)

    def look(images: np.ndarray) -> np.ndarray:
        return stages.look(image_input(images))[0]

    return WrappedCaptioner(
        model=whole.model,
        vocabulary=words,
        mean_features=average_map(mean, stages.shape, image_input.size, look),
        features_layer=None if stages.layer is None else whole.prefix + stages.layer,
        name=name or joining.name_of(decoder if model is None else model),
        image_input=image_input,
        look=stages.look,
        reader=reader,
        limit=prediction.length,
    )


def _whole(
    model: Any,
    encoder: Any,
    decoder: Any,
    step: Any,
    size: joining.Size | None,
    length: int | None,
    words: int,
) -> joining.Joined:
    """The captioner's parts as one model."""
    given = {"model": model, "encoder": encoder, "decoder": decoder, "step": step}
    names = tuple(name for name, part in given.items() if part is not None)
    if names == ("model",):
        return joining.joined(model, size, length, words)
    if names == ("encoder", "decoder"):
        return joining.with_encoder(encoder, decoder, size, length, words)
    raise ModelError(
        "pass model=, or encoder= and decoder=, or encoder= and step=; got " + (" and ".join(names) or "none")
    )


def _tried(reader: PrefixReader, image_input: ImageInput) -> PrefixReader:
    """The reader after a forward pass of two images and a few words."""
    stages, prediction = reader.stages, reader.prediction
    images = image_input(checks.two_images(image_input.size))
    row, _ = prediction.row(checks.some_words(reader.words)[: prediction.length])
    rows = np.stack([row, row])
    (scores,) = stages.say(*stages.digest(*stages.look(images)), rows)
    prediction = checks.read_scores(prediction, scores, len(row), reader.model)
    checks.check_same(scores, reader.model([images, rows]), reader.model.name)
    checks.check_special_words(prediction, reader.words)
    return replace(reader, prediction=prediction)
