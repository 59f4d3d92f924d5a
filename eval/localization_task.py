"""`gazeback evaluate localization`, from a data folder to the tables and the JSON file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gazeback.eval import localization, tables
from gazeback.eval.localization_data import WRONG_CLASS_RULE, LocalizationData
from gazeback.eval.localization_methods import build_method, chosen_methods
from gazeback.eval.results import check_writable, tracked, write_result
from gazeback.eval.selection import RULE, Part
from gazeback.models.classifiers import load_classifier


@dataclass(frozen=True)
class Settings:
    """The data and which of it, the classifier, and where the figures go."""

    data: Path
    model: str
    weights: str | None
    part: Part
    limit: int | None
    json_path: Path | None


def run_localization(settings: Settings, method_names: str) -> None:
    """Measure, print two tables, write the JSON file. Raises UserError."""
    names = chosen_methods(method_names)
    check_writable(settings.json_path)
    # The tune part is measured even if only the other one is reported: settings are chosen on it.
    measured_part: Part = "tune" if settings.part == "tune" else "all"
    data = LocalizationData(settings.data, measured_part, settings.limit)
    given = {} if settings.weights is None else {"weights": settings.weights}
    classifier = load_classifier(settings.model, **given)
    data.check_fits(classifier)
    methods = {name: build_method(name, classifier) for name in names}
    measured = list(tracked(localization.evaluate(classifier, methods, data), len(data), "localization"))
    rows = localization.box_rows(measured, settings.part)
    published = localization.published_for(classifier.name, data)
    authors = localization.published_row(measured, settings.part, published)
    rows += [authors] if authors is not None else []
    maps = localization.map_summaries(measured, settings.part)
    differences = localization.differences(rows)
    tables.show_localization(rows, differences, maps)
    if settings.json_path is not None:
        result = {
            "model": classifier.name,
            "part": settings.part,
            "limit": settings.limit,
            "selection": RULE,
            "wrong class": WRONG_CLASS_RULE,
            "boxes": [{"method": row.method, "rule": row.rule, **row.summary()} for row in rows],
            f"{rows[0].method}, {rows[0].rule} minus": differences,
            "maps": maps,
            "images": _images(measured, rows),
        }
        write_result(settings.json_path, "localization", result)


def _images(
    measured: Sequence[localization.Measured], rows: Sequence[localization.BoxRow]
) -> list[dict[str, Any]]:
    """What was found on each image; an IoU only where it is reported."""
    return [
        {
            "file_name": image.image.file_name,
            "part": image.part,
            "label": image.image.label,
            "predicted": image.predicted,
            "ious": {
                f"{row.method}, {row.rule}": row.ious[image.image.file_name]
                for row in rows
                if image.image.file_name in row.ious
            },
            "maps": {name: dict(score.maps) for name, score in image.scores.items()},
        }
        for image in measured
    ]
