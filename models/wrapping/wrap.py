"""``wrap_captioner``: make a captioner of your own encoder, decoder and tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gazeback.models.caption_generator import NO_WORD
from gazeback.models.errors import ModelError
from gazeback.models.wrapping import checks, joining, stored, tokenizers
from gazeback.models.wrapping.graphs import Subgraph
from gazeback.models.wrapping.opening import name_of
from gazeback.models.wrapping.pictures import ImageInput, average_map
from gazeback.models.wrapping.prediction import Prediction
from gazeback.models.wrapping.prefixes import PrefixReader
from gazeback.models.wrapping.stages import Stage, Stages, meeting
from gazeback.models.wrapping.steps import StepModels, StepReader
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
    given = {"model": model, "encoder": encoder, "decoder": decoder, "step": step}
    parts = {which: part for which, part in given.items() if part is not None}
    if tuple(parts) not in PARTS:
        raise ModelError(
            "pass model=, or encoder= and decoder=, or encoder= and step=; got "
            + (" and ".join(parts) or "none of them")
        )
    if step is not None and not callable(step):
        raise ModelError(f"step: expected a function or layer, got a {type(step).__name__}")
    special = {"start": start, "end": end, "unknown": unknown, "pad": pad}
    if step is not None:
        built = _of_steps(encoder, step, size, numbered, special, features_layer)
    else:
        shown = {"predicts": predicts, "padding": padding}
        built = _of_prefixes(parts, size, length, numbered, special, shown, features_layer)
    return built.captioner(preprocess, mean, name or name_of(parts[tuple(parts)[-1]]), length)


def load_wrapped(path: Path) -> WrappedCaptioner | None:
    """Load a captioner that :meth:`WrappedCaptioner.save` wrote; None if the file holds something else.

    Raises:
        ModelError: a broken file.
    """
    found = stored.read(path)
    if found is None:
        return None
    model, about, colours, mean = found
    numbered, special = tokenizers.read(list(about.words)), stored.special(about)
    if about.features:
        encoder = keras.Model(model.inputs[0], model.outputs[: about.features])
        models = StepModels.stored(model, about.features, about.states)
        steps = (None if about.sized else lambda batch: models, models, about.sized)
        built = _unrolled(encoder, steps, None, numbered, special, about.features_layer)
    else:
        shown = {"predicts": None, "padding": "pre" if about.before else "post"}
        parts = {"model": model}
        built = _of_prefixes(parts, None, None, numbered, special, shown, about.features_layer)
    return built.captioner(colours, mean, about.name, about.limit)


Build = Callable[..., StepModels]

PARTS = (("model",), ("encoder", "decoder"), ("encoder", "step"))
"""What a captioner may be made of."""


@dataclass(frozen=True, eq=False)
class _Built:
    """A captioner's language half before it was tried, and the place of its last map.

    ``model``: that is traced; ``layer``: the path of the map's layer in it.
    """

    model: keras.Model
    reader: PrefixReader | StepReader
    layer: str | None

    def captioner(self, preprocess: Any, mean: Any, name: str, length: int | None) -> WrappedCaptioner:
        """The captioner, after a forward pass of two images and a few words."""
        stages = self.reader.stages
        image_input = ImageInput.of(tuple(self.model.inputs[0].shape[1:]), preprocess)

        def look(images: np.ndarray) -> np.ndarray:
            return stages.look(image_input(images))[0]

        words = checks.some_words(self.reader.words)[: self.reader.prediction.length]
        seen = look(checks.two_images(image_input.size))
        scores = self.reader.trial(seen, words)
        checks.check_alone(scores, self.reader.trial(seen[:1], words))
        row = self.reader.prediction.length or max(1, len(words) - words.count(NO_WORD))
        prediction = checks.read_scores(self.reader.prediction, scores, row, self.model)
        checks.check_special_words(prediction, self.reader.words)
        return WrappedCaptioner(
            model=self.model,
            vocabulary=self.reader.words,
            mean_features=average_map(mean, stages.shape, image_input.size, look),
            features_layer=self.layer,
            name=name,
            image_input=image_input,
            look=stages.look,
            reader=replace(self.reader, prediction=prediction),
            limit=prediction.length or length,
        )


def _of_prefixes(
    parts: dict[str, Any],
    size: joining.Size | None,
    length: int | None,
    numbered: tokenizers.Numbered,
    special: dict[str, str | int | None],
    shown: dict[str, str | None],
    features_layer: str | None,
) -> _Built:
    """A captioner that reads all words so far at every step."""
    count = len(numbered.words)

    def build(length: int | None) -> joining.Joined:
        if "model" in parts:
            return joining.joined(parts["model"], size, length, count)
        return joining.with_encoder(parts["encoder"], parts["decoder"], size, length, count)

    whole = build(length)
    sized = cache(lambda length: build(length).model) if whole.asks_for_length else None
    # Of two words, as Keras warns of a softmax over one.
    traced = whole.model if sized is None else sized(2)
    words = tokenizers.words_of(numbered, whole.scores.shape[-1], **special)
    met = meeting(whole.image, whole.words, whole.scores)
    stages = Stages.of(whole.model.name, whole.image, met, features_layer)
    say = Stage([Subgraph([*met, whole.words], [whole.scores])])
    prediction = Prediction.of(whole.scores, whole.model.inputs[1], pad=words.pad, **shown)
    layer = None if stages.layer is None else whole.prefix + stages.layer
    return _Built(traced, PrefixReader(traced, sized, stages, say, prediction, words), layer)


def _of_steps(
    encoder: Any,
    step: Any,
    size: joining.Size | None,
    numbered: tokenizers.Numbered,
    special: dict[str, str | int | None],
    features_layer: str | None,
) -> _Built:
    """A captioner whose decoder reads one word at a time."""
    count = len(numbered.words)
    _, features = joining.encoded(encoder, size)
    steps = _step_models(step, features, count)
    return _unrolled(encoder, steps, size, numbered, special, features_layer)


def _unrolled(
    encoder: Any,
    steps: tuple[Build | None, StepModels, bool],
    size: joining.Size | None,
    numbered: tokenizers.Numbered,
    special: dict[str, str | int | None],
    features_layer: str | None,
) -> _Built:
    """A captioner of an encoder and a step's models; ``steps``: as :func:`_step_models` returns them."""
    build, models, sized = steps
    image, features = joining.encoded(encoder, size)
    stages = Stages.of(name_of(encoder), image, keras.tree.flatten(features), features_layer)
    traced = joining.encoded(encoder, size, batch=1) if sized else (image, features)
    model = models.unrolled(*traced, 1)
    words = tokenizers.words_of(numbered, model.outputs[0].shape[-1], **special)
    prediction = Prediction(sequence=False, length=None, before=True, pad=words.pad)
    reader = StepReader(image, features, traced, build, models, sized, stages, prediction, words)
    return _Built(model, reader, stages.layer)


def _step_models(step: Any, features: Any, words: int) -> tuple[Build, StepModels, bool]:
    """What builds a step's models, those to trace, and whether they are for a number of images.

    A step is called without a state first. One that makes its own zeros asks how many images there are; one
    that cannot begin without a state is given zeros.
    """
    reasons = []
    for zeros, batch in ((False, None), (False, 1), (True, None), (True, 1)):
        build = partial(StepModels.of, step, features, words, zeros=zeros)
        try:
            return build, build(batch=batch), batch is not None
        except ModelError as error:
            reasons.append(error)
    raise reasons[0]
