"""The methods of every task: their names, the short routes for words, and every method in every command."""

import json
from dataclasses import replace
from importlib.util import find_spec

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gazeback.eval.baselines import explain
from gazeback.eval.baselines.short_routes import SHORT_ROUTES, Question
from gazeback.eval.command import TASKS, evaluate
from gazeback.eval.flowers.flowers import class_names
from gazeback.eval.metrics.maps import boxes_mask, energy_inside, pointing
from gazeback.eval.speed.networks import tasks_for
from gazeback.eval.subjects import methods
from gazeback.eval.subjects.captioner import CaptionerSubject
from gazeback.eval.subjects.methods import (
    chosen_methods,
    class_maps,
    class_points,
    explain_classes,
    word_maps,
)
from gazeback.grounding import ground, trace_photo
from gazeback.grounding.methods import known_methods
from gazeback.models.classifiers import Classifier, Preprocessing
from gazeback.models.errors import UserError

RANDOM = np.random.default_rng(2)
FROM_XPLIQUE = ("rise", "lime", "kernel-shap", "sobol", "hsic")
FROM_QUANTUS = ("quantus-gradient-input", "quantus-integrated-gradients")
OF_ATTENTION = ("attention", "attention-rollout", "chefer")
"""These explain only models with attention: tests/eval/baselines/test_attention.py."""
USABLE = [name for name in known_methods() if name not in (*OF_ATTENTION, *FROM_QUANTUS)]
OF_CLASSES = [name for name in USABLE if name not in FROM_XPLIQUE or find_spec("xplique")]
NOT_OF_WORDS = ("activation-map", "cam", "c-mwp", "excitation-backprop", *FROM_XPLIQUE)
OF_WORDS = [name for name in USABLE if name not in NOT_OF_WORDS]
COSTLY = ("integrated-gradients", "smoothgrad")
"""Some fifty passes for each map: on images of more than 32 pixels these are slow tests."""


def test_methods_come_with_the_baselines():
    assert chosen_methods("evidence, cam,evidence") == ("evidence", "cam", "center", "activation")
    assert chosen_methods("activation,evidence") == ("activation", "evidence", "center")
    assert chosen_methods("random,top", ("random", "center")) == ("random", "top", "center")


@pytest.mark.parametrize(("names", "given"), [("evidence,gradcam", "'gradcam'"), (" ,", "none")])
def test_unknown_names_are_told_with_the_known_ones(names, given):
    with pytest.raises(UserError, match=f"methods: expected one or more of evidence, .*, got {given}"):
        chosen_methods(names)


@pytest.fixture(scope="module")
def question(captioner) -> Question:
    pixels = RANDOM.uniform(0, 255, (32, 32, 3)).astype(np.float32)
    return Question(pixels, np.asarray(captioner.features(pixels[None]))[0], [3, 4, 5, 6], [2, 3])


@pytest.fixture(scope="module")
def subject(captioner) -> CaptionerSubject:
    return CaptionerSubject(captioner)


@pytest.mark.parametrize("name", OF_WORDS)
def test_maps_of_words_have_the_photos_size_and_can_be_measured(subject, question, name):
    maps = subject.maps(name, question)
    assert maps.shape == (2, 32, 32)
    assert (maps >= 0).all()
    energy_inside(maps, np.ones((1, 32, 32), bool))


@pytest.mark.parametrize("name", NOT_OF_WORDS)
def test_a_method_of_classes_alone_says_so(subject, question, name):
    with pytest.raises(UserError, match=f"method '{name}' cannot explain the words of a caption: ") as caught:
        subject.maps(name, question)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_maps_of_several_classes_are_those_of_each_alone(colours, name):
    pixels = RANDOM.uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    classes = np.array([[0, 1], [2, 0], [1, 1]])
    found = explain_classes(name, colours.model, pixels, classes)
    assert found.maps.shape == (3, 2, 32, 32)
    assert found.maps.dtype == np.float32
    assert (found.maps >= 0).all()
    assert (found.points is not None) == methods.is_traced(name)
    alone = class_maps(name, colours.model, pixels, classes[:, 1])
    if name == "evidence":  # the neurons that it draws are shared by the classes that are asked together
        points = class_points(name, colours.model, pixels, classes[:, 1:], neurons="all")
        both = class_points(name, colours.model, pixels, classes, neurons="all")
        found.maps[:, 1] = [of_image[1].heatmap() for of_image in both]
        alone = np.array([of_image[0].heatmap() for of_image in points])
    np.testing.assert_allclose(found.maps[:, 1], alone, atol=1e-6)


def test_the_centre_points_at_the_centre_and_spreads_its_energy_evenly(subject, question):
    maps = subject.maps("center", question)
    boxes = [[(0, 0, 32, 8)], [(16, 16, 1, 1)]]
    masks = np.stack([boxes_mask(box, 32, 32) for box in boxes])
    np.testing.assert_allclose(pointing(maps, masks), [[0, 1], [0, 1]])
    np.testing.assert_allclose(energy_inside(maps, masks), [[0.25, 1 / 1024]] * 2, rtol=2e-3)


@pytest.mark.parametrize("name", ["center", "activation"])
def test_maps_that_know_no_word_are_the_same_for_all(subject, question, name):
    first, second = subject.maps(name, question)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["activation", "grad-cam"])
def test_a_short_route_agrees_with_the_general_one(subject, question, name):
    """Up to the factor that makes the general route's maps 0 to 1."""
    short, general = subject.maps(name, question), word_maps(name, subject.captioner, question)
    peaks = short.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(short / np.maximum(peaks, 1e-30), general, rtol=1e-3, atol=1e-6)
    assert (peaks > 0).any()


def test_occlusion_takes_a_window_of_the_photos_scale_and_the_log_probability(subject, question):
    """Its window and steps are those of 224 pixels, in proportion: 5 and 2 of 32. The general route takes the
    probability by default."""
    words = np.array([[subject.captioner.vocabulary.start, *question.word_ids[:-1]]], np.int32)
    options = {"size": 5, "stride": 2, "score": "log-probability"}
    expected = [
        explain("occlusion", subject.captioner.model, [question.image[None], words], target, **options)[0]
        for target in [(p + 1, question.word_ids[p]) for p in question.positions]
    ]
    found = subject.maps("occlusion", question)
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-3, atol=1e-6)
    assert found.max() > 0


def test_occlusion_sees_each_photo_once(captioner, question, monkeypatch):
    passes = []
    features = type(captioner).features
    monkeypatch.setattr(
        type(captioner), "features", lambda self, x: passes.append(len(x)) or features(self, x)
    )
    method = SHORT_ROUTES["occlusion"](captioner)
    method(question)
    other = replace(question, word_ids=[7, 8, 9], positions=[0])
    found = method(other)
    assert sum(passes) == 15**2
    np.testing.assert_allclose(found, SHORT_ROUTES["occlusion"](captioner)(other), rtol=1e-4, atol=1e-7)


def test_the_tracer_is_asked_once_for_all_words(subject, question, monkeypatch):
    class OnePoint:
        def heatmap(self):
            return np.eye(32, dtype=np.float32)

    calls = []

    def word_evidence(captioner, image, word_ids, positions, **options):
        calls.append((word_ids, positions, options))
        return [OnePoint() for _ in positions]

    monkeypatch.setattr(methods, "word_evidence", word_evidence)
    assert subject.maps("fixations", question).shape == (2, 32, 32)
    assert calls == [([3, 4, 5, 6], [2, 3], {"method": "fixations"})]


@pytest.fixture
def words_folder(data_folder):
    """Phrases and captions of the same photos."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(("1_a.png", "2_b.png"))]
    annotations = [{"image_id": i, "caption": "a dog"} for i in (0, 1)]
    content = {"images": images, "annotations": annotations}
    (data_folder / "captions_dev.json").write_text(json.dumps(content))
    return data_folder


@pytest.fixture
def sketches(tmp_path):
    """A folder of drawings for each class of `colours`."""
    for number, name in enumerate(("red", "green", "blue")):
        (tmp_path / name).mkdir()
        for shade in range(12):
            paper = np.full((32, 32), 255, np.uint8)
            paper[4 * number : 4 * number + 8, 8 : 10 + shade] = 0
            Image.fromarray(paper).save(tmp_path / name / f"{shade}.png")
    return tmp_path


@pytest.fixture(scope="session")
def flowers_network() -> Classifier:
    """Never trained."""
    image = keras.Input((128, 128, 3))
    x = keras.layers.Conv2D(6, 8, strides=8, activation="relu")(image)
    model = keras.Model(image, keras.layers.Dense(6)(keras.layers.GlobalAveragePooling2D()(x)))
    return Classifier(model, class_names("single-6c"), Preprocessing(128, 128), "tiny")


def commands(kind):
    return [name for name, task in TASKS.items() if "methods" in task.options and kind in task.options]


@pytest.fixture
def run(captioner, colours, flowers_network, monkeypatch):
    """`evaluate ARGUMENTS` with tiny models; the captioner says something."""
    search = type(captioner).search
    monkeypatch.setattr(
        type(captioner), "search", lambda self, maps, *_, **__: search(self, maps, length_normalisation=3.0)
    )
    for place in ("subjects.captioner", "tasks.sanity"):
        monkeypatch.setattr(f"gazeback.eval.{place}.load_captioner", lambda model=None: captioner)
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: colours)
    monkeypatch.setattr("gazeback.eval.flowers.task.load_network", lambda kind: flowers_network)

    def run(*arguments):
        environment = {"COLUMNS": "2000"}
        result = CliRunner(env=environment).invoke(evaluate, [*map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def accepts(output, names):
    """Whether each of the methods has a row in some table."""
    return set(names) <= {row.split("│")[1].strip() for row in output.splitlines() if row.count("│") > 1}


@pytest.mark.parametrize("task", commands("captioner"))
def test_every_method_of_words_in_every_task_of_words(run, words_folder, task):
    output = run(task, "--data", words_folder, "--methods", ",".join(OF_WORDS), "--limit", 2)
    assert accepts(output, OF_WORDS)


def in_two_parts(names):
    """The methods, and those that are costly as a slow test."""
    return [[name for name in names if name not in COSTLY], pytest.param(COSTLY, marks=pytest.mark.slow)]


@pytest.mark.parametrize("names", in_two_parts(OF_WORDS))
def test_every_method_of_words_in_the_scenes(run, names):
    """With the bundled captioner: scenes are larger than the tiny one's input."""
    assert accepts(run("scenes", "--methods", ",".join(names), "--limit", 1), names)


@pytest.mark.parametrize("task", [name for name in commands("classifier") if name != "sketch"])
def test_every_method_of_classes_in_every_task_of_classes(run, squares_folder, task):
    output = run(task, "--data", squares_folder, "--methods", ",".join(OF_CLASSES), "--limit", 5)
    assert accepts(output, OF_CLASSES)


def test_every_method_of_classes_on_sketches(run, sketches):
    output = run("sketch", "--data", sketches, "--methods", ",".join(OF_CLASSES), "--limit", 2)
    assert accepts(output, OF_CLASSES)


@pytest.mark.parametrize("names", in_two_parts(OF_CLASSES))
def test_every_method_of_classes_on_flowers(run, names, monkeypatch):
    monkeypatch.setattr("gazeback.eval.flowers.maps.POWERS", (1.0,))
    monkeypatch.setattr("gazeback.eval.flowers.maps.BLURS", (0.0, 0.04))
    output = run("flowers", "--kind", "single-6c", "--methods", ",".join(names), "--limit", 6)
    assert accepts(output, names)


def test_no_task_with_methods_is_left_out():
    asked = {name for name, task in TASKS.items() if "methods" in task.options}
    assert asked == {*commands("captioner"), *commands("classifier"), "scenes", "flowers"}


def test_every_method_where_users_ask_for_methods(captioner, colours):
    photo = RANDOM.integers(0, 256, (40, 40, 3), np.uint8)
    assert ground(captioner, photo, "a red dog", methods=OF_WORDS).methods == tuple(OF_WORDS)
    traced = trace_photo(colours, photo, methods=OF_CLASSES, top=1)
    assert [one.method for one in traced.targets[0].explanations] == OF_CLASSES


def test_every_method_is_timed(colours):
    pixels = RANDOM.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    for task in tasks_for(colours.model, pixels, OF_CLASSES).values():
        task()
