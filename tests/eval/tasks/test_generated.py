"""F1 of generated captions, as in ActivityNet-Entities: by hand, and against a literal twin."""

from collections import defaultdict

import numpy as np
import pytest

from gazeback.eval.data.image import Phrase, Sentence
from gazeback.eval.data.phrases import PhraseData
from gazeback.eval.metrics.boxes import best_iou
from gazeback.eval.tasks import generated as caption_grounding
from gazeback.eval.tasks.generated import (
    DEFAULT,
    THRESHOLDS,
    GeneratedTask,
    NamedObjects,
    Tally,
    best_setting,
    common_classes,
    figures,
    matched,
)

LEFT, RIGHT = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 10.0, 10.0)


def always(box):
    return [box] * len(THRESHOLDS)


def said(*objects, unboxed=()):
    return NamedObjects(tuple((kind, tuple(boxes)) for kind, boxes in objects), frozenset(unboxed))


def test_a_sentence_by_its_phrases():
    sentence = Sentence(
        ("A", "man", "'s", "dog", ",", "on", "the", "grass", "with", "a", "ball"),
        (
            Phrase("A man 's dog", 0, 4, ("animals",), (LEFT,)),
            Phrase("the grass", 6, 8, ("scene",), ()),
            Phrase("a ball", 9, 11, ("other",), (LEFT, RIGHT)),
        ),
    )
    found = NamedObjects.of(sentence)
    assert found.objects == (("dog", (LEFT,)), ("sports ball", (LEFT, RIGHT)))
    assert found.unboxed == {"person", "grass"}


def test_matching_by_hand():
    words, boxes = ["dog", "cat", "grass"], [always(LEFT), always(RIGHT), always(LEFT)]
    sentences = [
        said(("dog", [RIGHT]), ("dog", [LEFT]), ("ball", [LEFT]), unboxed=["grass"]),
        said(("cat", [LEFT, RIGHT])),
    ]
    found = matched(words, boxes, sentences)
    yes, no = [1] * len(THRESHOLDS), [0] * len(THRESHOLDS)
    # the first dog counts for precision; the grass is no mistake in the first sentence, as it is said there
    assert found["precision"] == [("dog", no), ("cat", None), ("dog", None), ("cat", yes), ("grass", None)]
    assert found["recall"] == [("dog", no), ("dog", yes), ("ball", None), ("cat", yes)]


def test_scores_by_hand():
    words, boxes = ["dog", "cat"], [always(LEFT), always(RIGHT)]
    photos = {"1.jpg": matched(words, boxes, [said(("dog", [LEFT]), ("ball", [LEFT]))])}
    # all: precision of dog 1, of cat 0, of ball 0; recall of dog 1, of ball 0; two classes are there
    np.testing.assert_allclose(Tally.of(photos, 0, True).scores(), [1 / 2, 1 / 2, 1 / 2])
    # of right words alone, the ball, which is never said, still is a class
    np.testing.assert_allclose(Tally.of(photos, 0, False).scores(), [1 / 2, 1 / 2, 1 / 2])
    assert Tally.of({"1.jpg": {"precision": [], "recall": []}}, 0, True).scores().tolist() == [0, 0, 0]


def literal(photos, mode):
    """The published script's loops: photos [(words, boxes, sentences)] with one box for each word."""
    precision, recall, vocabulary = defaultdict(list), defaultdict(list), set()
    for words, boxes, sentences in photos:
        for sentence in sentences:
            kinds = [kind for kind, _ in sentence.objects]
            vocabulary |= set(kinds)
            for word, box in zip(words, boxes, strict=True):
                if word in kinds:
                    true = sentence.objects[kinds.index(word)][1]
                    precision[word].append(1 if best_iou(box, np.array(true)) > 0.5 else 0)
                elif word in sentence.unboxed:
                    pass
                elif mode == "all":
                    precision[word].append(0)
            for kind, true in sentence.objects:
                if kind in words:
                    box = boxes[words.index(kind)]
                    recall[kind].append(1 if best_iou(box, np.array(true)) > 0.5 else 0)
                elif mode == "all":
                    recall[kind].append(0)
    p = sum(sum(hits) / len(hits) for hits in precision.values()) / len(vocabulary)
    r = sum(sum(hits) / len(hits) for hits in recall.values()) / len(vocabulary)
    return [p, r, 2 * p * r / (p + r)]


def random_photos(seed, count=12):
    rng = np.random.default_rng(seed)
    kinds = ["dog", "cat", "ball", "grass"]

    def box():
        return (*tuple(float(v) for v in rng.choice([0, 4, 8], 2)), 10.0, 10.0)

    def sentence():
        objects = [(str(k), [box() for _ in range(rng.integers(1, 3))]) for k in rng.choice(kinds, 2)]
        return said(*objects, unboxed=[str(rng.choice(kinds))])

    return [
        ([str(k) for k in rng.choice(kinds, 3)], [box() for _ in range(3)], [sentence() for _ in range(2)])
        for _ in range(count)
    ]


def records_of(photos):
    return {
        f"{i}.jpg": matched(words, [always(box) for box in boxes], sentences)
        for i, (words, boxes, sentences) in enumerate(photos)
    }


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_their_literal_twin(seed):
    photos = random_photos(seed)
    for mode in ("all", "loc"):
        tally = Tally.of(records_of(photos), 0, mode == "all")
        np.testing.assert_allclose(tally.scores(), literal(photos, mode))
        without = [literal(photos[:i] + photos[i + 1 :], mode) for i in range(len(photos))]
        np.testing.assert_allclose(tally.without_each(), without)


def flipped(boxes, width=40):
    return [(width - x - w, y, w, h) for x, y, w, h in boxes]


def test_photo_and_boxes_flipped_together_score_the_same():
    photos = random_photos(7)
    mirrored = [
        (words, flipped(boxes), [said(*((k, flipped(b)) for k, b in s.objects), unboxed=s.unboxed) for s in
        said_]) for words, boxes, said_ in photos
    ]  # fmt: skip
    assert figures(records_of(photos), 0) == figures(records_of(mirrored), 0)


def test_the_setting_is_the_best_one():
    hits = [0] * len(THRESHOLDS)
    hits[6] = 1
    photos = {"1.jpg": {"precision": [("dog", hits)], "recall": [("dog", hits)]}}
    assert best_setting(photos) == 6
    assert best_setting({}) == DEFAULT


def test_of_nothing_there_are_no_figures():
    assert figures({}, 0) == [None] * 5


def test_classes_are_common_ones(data_folder):
    images = PhraseData(data_folder, "dev").everything
    assert common_classes(images) == frozenset()  # four photos, each class once in each
    assert common_classes(images * 3) == {"dog", "grass", "person", "zebra"}


def test_the_task(captioner, data_folder, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.captioner.load_captioner", lambda model: captioner)
    monkeypatch.setattr(caption_grounding, "COMMON", 1)
    (data_folder / "dev" / "3_c.png").unlink()
    task = GeneratedTask(data_folder, chosen="evidence,grad-cam")
    assert task.methods == ("evidence", "grad-cam", "center", "activation")
    subject = task.subject()
    found = task.measure(subject, task.names(), task.methods)
    for of_image in found.values():
        kinds = [[kind for kind, _ in record["recall"]] for record in of_image.values()]
        assert kinds == [["dog", "grass", "person", "zebra"]] * 4
        assert all(task.score(record) is None or 0 <= task.score(record) <= 1 for record in of_image.values())
    records = {method: {name: found[name][method] for name in found} for method in task.methods}
    (table,) = task.tables(records)
    assert [row[0] for row in table.rows] == list(task.methods)
    for name in task.names():
        shown = task.example(subject, name, task.methods)
        assert shown is None or set(shown.maps) == set(task.methods)
