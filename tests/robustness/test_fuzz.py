"""Readers against files that hypothesis damages: they answer, or say in one line what is wrong."""

import io
import json
import random
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gazeback.eval.data.captions import CaptionData
from gazeback.eval.data.folder import ObjectData
from gazeback.eval.data.phrases import PhraseData
from gazeback.grounding.coco.annotations import is_outline, outlines, read_instances
from gazeback.models.captions_file import read_captions_file
from gazeback.models.errors import UserError
from gazeback.models.reading import read_arrays

NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 1e400, -0.0, 2**63, 10**30])
TEXTS = st.text(st.characters(), max_size=6) | st.sampled_from(["", "..", "/", "\ud800", "a" * 300, "\0"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OFTEN = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = content.items() if isinstance(content, dict) else enumerate(content)
    found = [path] if path else []
    if isinstance(content, dict | list):
        for key, value in below:
            found += _places(value, (*path, key)) if isinstance(value, dict | list) else [(*path, key)]
    return found


def damaged(content: Any, seed: int, value: Any) -> Any:
    """A copy, one part of which is replaced, left out or, in a list, given twice."""
    choose = random.Random(seed)
    content = deepcopy(content)
    *path, last = choose.choice(_places(content))
    parent = content
    for key in path:
        parent = parent[key]
    change = choose.randrange(4)
    if change == 0:
        del parent[last]
    elif change == 1 and isinstance(parent, list):
        parent.insert(last, deepcopy(parent[last]))
    else:
        parent[last] = value
    return content


def _outlined(path: Path) -> None:
    found = read_instances(path)
    sizes = {image.id: image.size or (20, 24) for image in found.images}
    for instance in found.found:
        size = sizes[instance.image_id]
        if is_outline(instance.segmentation, size):
            outlines(instance.segmentation, *size)


READERS: dict[str, Callable[[Path], Any]] = {
    "coco/annotations/captions_dev.json": read_captions_file,
    "coco/annotations/instances_dev.json": _outlined,
    "phrases/phrases_dev.json": lambda path: PhraseData(path.parent, "dev").images,
    "labelled/annotations.json": lambda path: ObjectData(path.parent, None).names,
}


def answers(read: Callable[..., Any], *given: Any) -> None:
    """Call a reader; it answers or raises an error of one or two lines."""
    message = "answered"
    try:
        read(*given)
    except UserError as error:
        message = str(error)
    assert 0 < len(message) < 2000
    assert message.count("\n") <= 1
    assert message.encode()


@pytest.mark.parametrize("name", READERS)
@settings(OFTEN, max_examples=60)
@given(seed=st.integers(0, 2**32), value=VALUES)
@example(seed=0, value=float("nan"))
def test_json_that_is_damaged_in_one_place(case, good_world, name, seed, value):
    path, good = case / name, json.loads((good_world / name).read_text())
    path.write_bytes(json.dumps(damaged(good, seed, value)).encode())
    answers(READERS[name], path)


@pytest.mark.parametrize("name", READERS)
@settings(OFTEN, max_examples=30)
@given(data=st.binary(max_size=60), cut=st.floats(0, 1))
def test_json_whose_bytes_are_damaged(case, good_world, name, data, cut):
    path, good = case / name, (good_world / name).read_bytes()
    place = int(cut * len(good))
    path.write_bytes(good[:place] + data + good[place + len(data) :])
    answers(READERS[name], path)


@settings(OFTEN, max_examples=150)
@given(data=st.binary(max_size=40), cut=st.floats(0, 1), keep=st.booleans())
def test_arrays_whose_bytes_are_damaged(data, cut, keep):
    file = io.BytesIO()
    np.savez_compressed(file, kernel=np.arange(12.0).reshape(3, 4), names=np.array(["a", "b"]))
    good = file.getvalue()
    place = int(cut * len(good))
    answers(
        read_arrays, good[:place] + data + (good[place + len(data) :] if keep else b""), "x.npz", "arrays"
    )


@settings(OFTEN, max_examples=200)
@given(segmentation=VALUES | st.lists(st.lists(NUMBERS, max_size=8), max_size=3), height=st.integers(1, 50))
@example(segmentation={"counts": "a" * 50, "size": [10**6, 10**6]}, height=20)
@example(segmentation={"counts": [5, 10**12], "size": [20, 24]}, height=20)
@example(segmentation=[[1e30, 1e30, -1e30, 5, 3, 3]], height=20)
def test_outlines_are_refused_before_they_are_decoded(segmentation, height):
    if is_outline(segmentation, (height, 24)):
        for polygon in outlines(segmentation, height, 24):
            assert np.isfinite(polygon).all()


def test_captions_of_a_damaged_folder_are_counted_or_refused(case):
    path = case / "coco/annotations/captions_dev.json"
    good = json.loads(path.read_text())
    for seed in range(60):
        path.write_text(json.dumps(damaged(good, seed, [None, -1, "x", [], {}][seed % 5])))
        answers(lambda: CaptionData(case / "coco", "dev").images)
