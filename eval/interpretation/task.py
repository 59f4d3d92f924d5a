"""Run `gazeback interpret` for classifiers, from a data folder to the tables and files of the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gazeback.eval.data.selection import select
from gazeback.eval.harness.run import as_result, tracked, write_result
from gazeback.eval.harness.table import print_tables
from gazeback.eval.harness.task import skipped_line
from gazeback.eval.interpretation import ablation, class_folder, figures, relevant
from gazeback.eval.interpretation.class_folder import Photos
from gazeback.eval.interpretation.feedback import explain_prediction
from gazeback.eval.interpretation.figures import write_curves
from gazeback.eval.interpretation.forward import Forward, Network
from gazeback.eval.interpretation.pages import write_averages, write_feedbacks
from gazeback.eval.interpretation.relevant import RelevantFeatures, learn_both
from gazeback.eval.interpretation.responses import Responses, collect
from gazeback.eval.interpretation.settings import ABLATION, CURVES, RELEVANT, RESPONSES, Settings
from gazeback.eval.subjects.classifier import load_named
from gazeback.models.classifiers import Classifier
from gazeback.models.errors import DataError, ModelError, UserError

BATCH = 32


def run_interpret(settings: Settings) -> None:
    """Learn, measure, print tables, write the files. Raises UserError."""
    settings.check()
    if settings.is_about_words:
        from gazeback.eval.interpretation.words import run_words

        return run_words(settings)
    if settings.words is not None:
        raise UserError("--words is for captioners; a classifier has classes of its own")
    classifier = load_named(settings.model, settings.weights)
    photos, skipped = _known(class_folder.read_photos(settings.data, settings.limit), classifier)
    network = Network.of(classifier)
    load = partial(_network, settings.model, settings.weights)
    responses = collect(network, photos.paths, settings.out / RESPONSES, settings.workers, load)
    photos = labelled(photos, responses, classifier)
    skipped["unreadable image"] += len(responses.skipped)
    found = learn_variants(responses, photos, network.forward, settings.mu, settings.scale)
    relevant.save(settings.out / RELEVANT, *found)
    shown = next(one for one in found if one.variant == settings.variant)
    summary = measured(network, photos, found, classifier)
    tables = [figures.relevant_table(shown), figures.ablation_table(summary)]
    about = {"model": classifier.name, **settings.as_json(), "classes": photos.classes}
    result = {**as_result(tables), **about, **summary}
    write_result(settings.out / ABLATION, "interpret", result)
    write_curves(settings.out / CURVES, f"{classifier.name}: without its relevant features", summary["curve"])
    print_tables(tables, skipped_line(skipped))
    if settings.json_path is not None:
        write_result(settings.json_path, "interpret", result)
    _draw(network, photos, shown, classifier, settings.out)


def _draw(
    network: Network, photos: Photos, shown: RelevantFeatures, classifier: Classifier, out: Path
) -> None:
    """Write average images of photos that were learned from, and feedback on photos that were not."""
    assert photos.labels is not None
    learned, held_out = (
        [photos.paths[row] for row in np.flatnonzero(part & (photos.labels >= 0))]
        for part in (~photos.held_out, photos.held_out)
    )
    write_averages(network, learned, shown, out)
    some = select(held_out, [path.name for path in held_out])
    write_feedbacks(
        some, lambda path: explain_prediction(classifier, path, shown, forward=network.forward), out
    )


def _network(model: str, weights: str | None) -> Network:
    return Network.of(load_named(model, weights))


def labelled(photos: Photos, responses: Responses, classifier: Classifier) -> Photos:
    """Label the photos; classes are predicted if the folder has none, and unreadable photos have none."""
    if photos.labels is None:
        predicted = np.where(responses.readable, responses.predicted, -1)
        return class_folder.with_frequent_classes(photos, predicted, classifier.class_names)
    return replace(photos, labels=np.where(responses.readable, photos.labels, -1))


def learn_variants(
    responses: Responses, photos: Photos, forward: Forward, mu: float | None, scale: str = "layer"
) -> list[RelevantFeatures]:
    """Learn the relevant features of each variant from the photos for learning. Raises UserError."""
    assert photos.labels is not None
    rows = np.flatnonzero(~photos.held_out & (photos.labels >= 0))
    labels = photos.labels[rows, None] == np.arange(len(photos.classes))
    return learn_both(responses, rows, labels, photos.classes, forward, mu, scale)


def measured(
    network: Network, photos: Photos, found: Sequence[RelevantFeatures], classifier: Classifier
) -> dict[str, Any]:
    """Measure the cost of removing features on the held-out photos."""
    assert photos.labels is not None
    rows = np.flatnonzero(photos.held_out & (photos.labels >= 0))
    outputs = [classifier.class_index(name) for name in photos.classes]
    sets = ablation.removals(found, network.forward)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        assert photos.labels is not None
        for first in range(0, len(rows), BATCH):
            batch = rows[first : first + BATCH]
            yield np.stack([network.read(photos.paths[row]) for row in batch]), photos.labels[batch]

    hits = ablation.measure(network.forward, batches(), outputs, sets)
    total = -(-len(rows) // BATCH)
    return ablation.summarise(list(tracked(hits, total, f"ablation, {BATCH} at a time")), sets)


def _known(photos: Photos, classifier: Classifier) -> tuple[Photos, Counter[str]]:
    """Remove classes that the classifier does not have; returns the photos and the number of removed classes.
    Raises DataError."""
    if photos.labels is None:
        return photos, Counter()
    kept = [label for label, name in enumerate(photos.classes) if _has(classifier, name)]
    if len(kept) < 2:
        raise DataError(
            f"{classifier.name} knows {len(kept)} of the {len(photos.classes)} classes ({photos.classes[0]}, "
            "...); call the folders as its classes are called"
        )
    used = np.flatnonzero(np.isin(photos.labels, kept))
    known = Photos(
        tuple(photos.paths[row] for row in used),
        photos.held_out[used],
        tuple(photos.classes[label] for label in kept),
        np.searchsorted(kept, photos.labels[used]),
    )
    return known, Counter({"class that the model does not have": len(photos.classes) - len(kept)})


def _has(classifier: Classifier, name: str) -> bool:
    try:
        classifier.class_index(name)
    except ModelError:
        return False
    return True
