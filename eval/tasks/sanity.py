"""`gazeback evaluate sanity`: do maps change when the network's weights or the class change?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import keras
import numpy as np

from gazeback.cnn_trace.tracer import Options, tracer_of
from gazeback.eval.data.folder import WRONG_CLASS_RULE, Need, wrong_class
from gazeback.eval.data.image import ObjectImage
from gazeback.eval.harness.means import means_table
from gazeback.eval.harness.table import Table
from gazeback.eval.harness.task import Record, Records
from gazeback.eval.perturbations.randomisation import STAGES, randomise, similarity
from gazeback.eval.subjects.classifier import ClassifierSubject, ObjectTask
from gazeback.eval.tasks.words import visual_nats, visual_share
from gazeback.models import show_and_tell
from gazeback.models.captioner import Captioner, load_captioner
from gazeback.models.errors import UserError
from gazeback.models.language_half import ShowAndTellSteps
from gazeback.models.photos import load_photo, squeeze


def identities(
    captioner: Captioner, cut: Captioner, image: np.ndarray, word_ids: Sequence[int]
) -> dict[str, float]:
    """Check the two identities on a caption, as ids without start and end, of an image float32 [size, size,
    3], RGB, 0 to 255.

    sum error: the largest difference between a word's sum of contributions and its logit. cut off: the
    largest visual share of a word by the captioner `cut_off`. visual share: the largest visual share of a
    word with the photo.
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
    """The difference between each word's logit and the sum of contributions of map, words and biases: float64
    [n]."""
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
    """Cut off a captioner's image input: its last map is that of the mean picture for every photo.

    Raises UserError for a captioner that is none of ``show_and_tell``.
    """
    if ShowAndTellSteps.of(captioner.model) is None:
        raise UserError(f"{captioner.name}: only a captioner of gazeback can be cut off from its image")
    rows, _, channels = captioner.model.get_layer(captioner.features_layer).output.shape[1:]
    image = keras.Input((captioner.side, captioner.side, 3), name="image")
    blind = keras.layers.Conv2D(channels, 1, strides=captioner.side // rows, name=captioner.features_layer)
    encoder = keras.Model(image, blind(image))
    blind.set_weights([np.zeros((1, 1, 3, channels)), captioner.mean_features])
    embedding = captioner.model.get_layer(show_and_tell.WORD_EMBEDDING)
    units = captioner.model.get_layer(show_and_tell.LSTM).units
    every_word = show_and_tell.at_every_word(captioner.model)
    model = show_and_tell.build(encoder, embedding.input_dim, embedding.output_dim, units, every_word)
    for layer in model.layers:
        if layer is not blind and layer.weights:
            layer.set_weights(captioner.model.get_layer(layer.name).get_weights())
    return replace(captioner, model=model, name=f"{captioner.name}, cut off")


SWAPPED = "another class"

EXACT = "evidence"
"""The method with exact sums; the two identities are measured on each of its images."""


class SanityTask(ObjectTask):
    """Compares maps of the trained network with those of networks in which more and more layers are
    shuffled."""

    name: ClassVar[str] = "sanity"
    batch: ClassVar[int] = 4
    need: ClassVar[Need | None] = None

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"stages": STAGES}

    def tables(self, records: Records) -> Sequence[Table]:
        exact = [_identities(records[EXACT])] if EXACT in records else []
        return [_likeness("rank", "Spearman's", records), _likeness("plain", "Pearson's", records), *exact]

    def score(self, record: Record) -> float | None:
        """The mean dissimilarity between the map of the trained network and those of the randomised
        networks."""
        return 1 - float(np.mean([record[stage]["rank"] for stage in STAGES]))

    def measure(
        self, subject: ClassifierSubject, names: Sequence[str], methods: Sequence[str]
    ) -> Mapping[str, Mapping[str, Record]]:
        images = [self.read[name] for name in names]
        seen = [subject.prepare(image.path) for image in images]
        pixels = [one.pixels for one in seen]
        predicted = subject.probabilities(seen).argmax(axis=1)
        classes = len(subject.classifier.class_names)
        others = [
            wrong_class(name, [int(label)], classes) for name, label in zip(names, predicted, strict=True)
        ]
        trained = {method: subject.maps(method, pixels, predicted) for method in methods}
        compared = {SWAPPED: {method: subject.maps(method, pixels, others) for method in methods}}
        for stage, share in STAGES.items():
            # One copy for all stages, so that methods compile only once.
            randomise(subject.copy.classifier.model, subject.classifier.model, share)
            compared[stage] = {m: subject.copy.maps(m, pixels, predicted) for m in methods}
        found: dict[str, dict[str, Any]] = {
            name: {
                method: {
                    column: similarity(trained[method][i], maps[method][i])
                    for column, maps in compared.items()
                }
                for method in methods
            }
            for i, name in enumerate(names)
        }
        for image in images if EXACT in methods else ():
            found[image.name][EXACT]["identities"] = _of_words(image)
        return found


@cache
def _captioners() -> tuple[Captioner, Captioner]:
    """The bundled captioner, and a copy that does not see its image."""
    captioner = load_captioner()
    return captioner, cut_off(captioner)


def _of_words(image: ObjectImage) -> dict[str, float]:
    """The `identities` of the caption of an image; empty if it has no words."""
    captioner, cut = _captioners()
    pixels = squeeze(load_photo(image.path), captioner.side).pixels
    words = captioner.generate(pixels[None])[0].ids
    return identities(captioner, cut, pixels, words) if words else {}


def _likeness(kind: str, whose: str, records: Records) -> Table:
    columns = {column: column for column in (*STAGES, SWAPPED)}
    notes = [
        f"{len(next(iter(records.values())))} images; ± standard error. {whose} correlation with the trained "
        "network's map for the class that it predicts. Last layer to all: the fraction of the layers that "
        f"are shuffled, from the output down. {SWAPPED.capitalize()}: of the trained network, chosen by "
        f"{WRONG_CLASS_RULE}."
    ]
    title = f"Similarity to the trained network's map, {kind}"
    return means_table(title, records, columns, notes, lambda record, column: record[column][kind])


def _identities(records: Mapping[str, Record]) -> Table:
    found = [record["identities"] for record in records.values() if record["identities"]]
    rows = {
        "largest error of a word's sum, in logits": "sum error",
        "largest visual share of a word, image cut off": "cut off",
        "largest visual share of a word, with the photo": "visual share",
    }
    cells = {label: max((of[key] for of in found), default=None) for label, key in rows.items()}
    lines = [(label, [None if value is None else f"{value:.1e}"]) for label, value in cells.items()]
    notes = [f"the bundled captioner's captions of {len(found)} photos"]
    return Table("Identities of a captioner", ["value"], lines, notes)
