"""Training a classifier of sketches: splits by name, views that keep the drawing, resuming, accuracy."""

import json
import shutil

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from gazeback.grounding.commands.train import train
from gazeback.models import load_classifier, load_photo
from gazeback.models.classifiers import half_precision, keras_files
from gazeback.models.classifiers.strokes import Strokes
from gazeback.models.errors import DataError, ModelError
from gazeback.models.training import train_sketch as training
from gazeback.models.training.sketch_folder import read_sketch_folder, split_of
from gazeback.models.training.sketch_settings import OPTIONS, Settings
from gazeback.models.training.sketch_views import Drawing

SETTINGS = Settings(epochs=12, batch=8, learning_rate=0.02, seed=3)
TINY = {"image_size": 24, "blocks": [1], "growth": 4, "dropout": 0.0}


@pytest.fixture(autouse=True, scope="module")
def tiny_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIONS, "sketch_densenet", TINY)
        yield


@pytest.fixture(scope="module")
def sketches(tmp_path_factory):
    """Circles and crosses of random sizes and places, 40 each."""
    tmp_path = tmp_path_factory.mktemp("drawn")
    random = np.random.default_rng(0)
    for name in ("circle", "cross"):
        folder = tmp_path / "sketches" / name
        folder.mkdir(parents=True)
        for number in range(40):
            image = Image.new("L", (50, 50), 255)
            pen = ImageDraw.Draw(image)
            left, top, side = *random.integers(2, 15, 2), random.integers(20, 30)
            box = (left, top, left + side, top + side)
            if name == "circle":
                pen.ellipse(box, outline=0, width=2)
            else:
                pen.line(box, fill=0, width=2)
                pen.line((left, top + side, left + side, top), fill=0, width=2)
            image.save(folder / f"{number}.png")
    return tmp_path / "sketches"


@pytest.fixture(scope="module")
def trained(tiny_network, sketches, tmp_path_factory):
    """(file, classifier, accuracy) of an undisturbed run."""
    file = tmp_path_factory.mktemp("trained") / "shapes.keras"
    return file, *training.train_sketch(sketches, file, SETTINGS, silent)


def silent(what, done, total, loss):
    pass


def weights(classifier):
    return classifier.model.get_weights()


def names(part):
    return {(path.parent.name, path.name) for path in part.paths}


def test_the_split_depends_on_names_alone(sketches, tmp_path):
    classes, splits = read_sketch_folder(sketches)
    assert classes == ("circle", "cross")
    assert sum(map(len, splits.values())) == 80
    for name, part in splits.items():
        for path, label in zip(part.paths, part.labels, strict=True):
            assert split_of(path.parent.name, path.name) == name
            assert classes[label] == path.parent.name
    fewer = shutil.copytree(sketches, tmp_path / "fewer")
    (fewer / "circle" / "0.png").unlink()
    after = read_sketch_folder(fewer)[1]
    assert names(after["held-out"]) <= names(splits["held-out"])
    shares = np.unique([split_of("any", f"{i}.png") for i in range(4000)], return_counts=True)
    np.testing.assert_allclose(shares[1] / 4000, [0.1, 0.2, 0.7], atol=0.02)


def test_folders_without_sketches(tmp_path):
    with pytest.raises(DataError, match="no such folder; expected one folder of sketches per class"):
        read_sketch_folder(tmp_path / "none")
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="expected at least two folders of sketches"):
        read_sketch_folder(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "1.png").touch()
    with pytest.raises(DataError, match="too few sketches; none falls into the"):
        read_sketch_folder(tmp_path)


def test_views_are_of_the_drawing(sketches):
    drawing = Drawing.of(load_photo(sketches / "circle" / "0.png"), most_dilations=2)
    random, style = np.random.default_rng(0), Strokes(24, 24, margin=2)
    views = np.stack([drawing.view(style, random) for _ in range(200)])
    assert views.shape == (200, 24, 24)
    assert (views.max(axis=(1, 2)) == 1).all()
    ink = views.mean(axis=(1, 2))
    assert 0.04 < ink.min() < 0.8 * ink.max() < 0.4  # strokes of several thicknesses
    places = np.argwhere(views.mean(axis=0) > 0)
    np.testing.assert_allclose(places.mean(axis=0), [11.5, 11.5], atol=1.0)  # moved evenly
    again = np.random.default_rng(0)
    np.testing.assert_array_equal(views[0], drawing.view(style, again))


def test_it_learns_and_writes_a_classifier(trained):
    file, classifier, accuracy = trained
    assert accuracy.top_1 > 0.7
    assert accuracy.top_5 == 1
    loaded = load_classifier(file)
    assert loaded.class_names == ("circle", "cross")
    assert loaded.preprocess == classifier.preprocess
    for ours, theirs in zip(weights(loaded), weights(classifier), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(sketches, trained, tmp_path):
    class Stopped(Exception):
        pass

    def stop(what, done, total, loss):
        if what == "dev" and done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        training.train_sketch(sketches, tmp_path / "a.keras", SETTINGS, stop)
    epochs = []
    resumed, _ = training.train_sketch(
        sketches, tmp_path / "a.keras", SETTINGS, lambda *said: epochs.append(said[:2])
    )
    assert [done for what, done in epochs if what == "dev"] == list(range(3, 13))
    for ours, theirs in zip(weights(resumed), weights(trained[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_accuracy_by_hand():
    image = keras.Input((1, 6, 1))
    model = keras.Model(image, keras.layers.Flatten()(image))
    classifier = training.Classifier(model, tuple("abcdef"), training.Preprocessing(1, 6, 1), "identity")
    pixels = np.eye(6)[:4].reshape(4, 1, 6, 1) * 0.5 + np.linspace(0.05, 0, 6)[:, None]
    found = training.accuracy(classifier, pixels.astype(np.float32), np.array([0, 1, 0, 5]), batch=3)
    assert (found.top_1, found.top_5, found.count) == (0.5, 0.75, 4)


def test_the_command(sketches, tmp_path):
    options = ["--data", str(sketches), "--epochs", "0", "--json"]
    answer = CliRunner().invoke(train, ["sketch", *options, "--out", str(tmp_path / "one.keras")])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert (result["network"], result["classes"], len(result["dev_losses"])) == ("sketch_densenet", 2, 0)
    assert result["count"] == len(read_sketch_folder(sketches)[1]["held-out"])
    refused = CliRunner().invoke(train, ["sketch", *options, "--out", str(tmp_path / "one.h5")])
    assert "expected a file that ends in .keras" in str(refused.exception)


def test_half_precision_keeps_the_classifier(sketches, tmp_path):
    run = training.Run(sketches, SETTINGS)
    classifier = run.classifier("shapes")
    half_precision.write(classifier, SETTINGS.network, run.options, tmp_path / "shapes.npz")
    loaded = half_precision.load(tmp_path / "shapes.npz")
    assert (loaded.class_names, loaded.preprocess) == (classifier.class_names, classifier.preprocess)
    pixels = run.pixels(run.splits["dev"])
    np.testing.assert_allclose(loaded.probabilities(pixels), classifier.probabilities(pixels), atol=5e-3)
    with pytest.raises(ModelError, match="expected the classifier that comes with gazeback"):
        half_precision.load(tmp_path / "none.npz")
    keras_files.save(loaded, tmp_path / "again.keras")


def test_the_bundled_classifier_knows_held_out_sketches(data_pack):
    classifier = load_classifier("sketch")
    classes, splits = read_sketch_folder(data_pack / "sketches")
    assert classifier.class_names == classes
    held_out = splits["held-out"]
    pixels = np.stack([classifier.preprocess(load_photo(path)).pixels for path in held_out.paths])
    assert training.accuracy(classifier, pixels, np.array(held_out.labels)).top_1 >= 0.6
    assert half_precision.BUNDLED.stat().st_size < 4e6
