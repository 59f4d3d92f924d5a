"""Training a network for flowers."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from gazeback.eval.flowers.flowers import class_names, flowers
from gazeback.eval.flowers.network import read_half
from gazeback.eval.flowers.train import Settings, accuracy, train_flowers
from gazeback.grounding.commands.train import train
from gazeback.models.classifiers import load_classifier
from gazeback.models.errors import UserError

# Keras reads variables that way when it saves a .keras file.
saves_keras = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")


def silent(what, done, total, loss):
    pass


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(UserError, match="5 pictures do not show each of the 6 classes of single-6c"):
        train_flowers("single-6c", tmp_path / "a.keras", Settings(pictures=5), silent)
    with pytest.raises(UserError, match=r"expected a file that ends in \.keras, or in \.npz"):
        train_flowers("single-6c", tmp_path / "a.h5", Settings(), silent)
    with pytest.raises(UserError, match="there is no folder"):
        train_flowers("single-6c", tmp_path / "none" / "a.keras", Settings(), silent)


@pytest.mark.slow
def test_training_learns(tmp_path):
    reports = []
    settings = Settings(pictures=360, epochs=5)
    trained = train_flowers("single-6c", tmp_path / "a.npz", settings, lambda *r: reports.append(r), 48)
    losses = [loss for what, _, _, loss in reports if what == "train"]
    assert len(losses) == 5 * 12
    assert np.mean(losses[-12:]) < 0.7 * np.mean(losses[:12])
    assert trained.count == 48
    assert trained.accuracy > 0.4  # a sixth by chance


@pytest.mark.slow
@saves_keras
@pytest.mark.parametrize(
    ("name", "read", "error"), [("a.npz", read_half, 0.02), ("a.keras", load_classifier, 1e-5)]
)
def test_the_file_holds_the_network(name, read, error, tmp_path):
    trained = train_flowers("single-6c", tmp_path / name, Settings(pictures=32, epochs=1), silent, 6)
    drawn = list(flowers("single-6c", 77, range(12)))
    images, labels = np.stack([each.image for each in drawn]), np.array([each.label for each in drawn])
    found = read(tmp_path / name)
    assert found.class_names == class_names("single-6c")
    expected = trained.classifier.probabilities(images)
    np.testing.assert_allclose(found.probabilities(images), expected, atol=error)
    assert accuracy(trained.classifier, images, labels) == (expected.argmax(axis=1) == labels).mean()


@pytest.mark.slow
@saves_keras
def test_the_command_says_how_often_the_network_is_right(tmp_path):
    out = tmp_path / "a.keras"
    arguments = ["flowers", "--kind", "double-12c", "--out", str(out), "--pictures", "24", "--epochs", "1"]
    result = CliRunner().invoke(train, [*arguments, "--json"], catch_exceptions=False)
    written = json.loads(result.stdout)
    assert (written["kind"], written["held_out"]) == ("double-12c", 600)
    assert 0 <= written["accuracy"] <= 1
    assert out.is_file()
