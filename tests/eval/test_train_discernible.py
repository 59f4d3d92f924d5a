"""The bandit that learns the weights of the method "discernible"."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from gazeback.cnn_trace import trace
from gazeback.eval.data.folder import ObjectData
from gazeback.eval.train_discernible import ARMS, Arm, Bandit, asked_images, rewards, train_discernible
from gazeback.grounding.commands.train import train
from gazeback.models.errors import UserError
from gazeback.models.photos import load_photo


@pytest.fixture(autouse=True)
def classifier(colours, monkeypatch):
    monkeypatch.setattr("gazeback.eval.subjects.classifier.load_classifier", lambda model, **_: colours)
    return colours


def test_every_arm_is_pulled_once_first():
    bandit = Bandit()
    assert [bandit.play(lambda alphas: 1.0).alphas for _ in ARMS] == list(ARMS)


def test_ucb1_by_hand():
    rare, often = Arm((1, 1, 0), pulls=1, reward=0.0), Arm((1, 0, 1), pulls=9, reward=9 * 0.5)
    # 0 + sqrt(2 ln 10) = 2.15 against 0.5 + sqrt(2 ln 10 / 9) = 1.22
    assert Bandit([rare, often]).choose() is rare
    rare.pulls = 5
    # 0 + sqrt(2 ln 14 / 5) = 1.03 against 0.5 + sqrt(2 ln 14 / 9) = 1.27
    assert Bandit([rare, often]).choose() is often


@pytest.mark.parametrize("best", range(len(ARMS)))
def test_the_best_arm_is_found_and_pulled_most(best):
    random = np.random.default_rng(best)
    bandit = Bandit()
    for _ in range(600):
        bandit.play(lambda alphas: float(random.random() < (0.8 if alphas == ARMS[best] else 0.3)))
    assert bandit.best.alphas == ARMS[best]
    assert max(bandit.arms, key=lambda arm: arm.pulls) is bandit.best
    assert sum(arm.pulls for arm in bandit.arms) == 600


def test_the_succeeding_weight_changes_nothing(colours, squares_folder):
    photos = [load_photo(image.path) for image in ObjectData(squares_folder, limit=2).images]
    pixels = np.stack([colours.preprocess(photo).pixels for photo in photos])
    small = trace(colours.model, pixels, 0, method="discernible", alphas=(0.1, 1.0, 0.5))
    large = trace(colours.model, pixels, 0, method="discernible", alphas=(7.0, 1.0, 0.5))
    for first, second in zip(small, large, strict=True):
        np.testing.assert_array_equal(first.points, second.points)


def test_rewards_visit_every_image_before_any_again(colours, squares_folder):
    images = asked_images(ObjectData(squares_folder), colours)
    drawn = rewards(colours, images, seed=3)
    first = [next(drawn).image.name for _ in images]
    assert sorted(first) == sorted(image.name for image, _, _ in images)
    again = rewards(colours, images, seed=3)
    assert [next(again).image.name for _ in images] == first


def test_training_uses_the_tune_part_and_is_repeatable(squares_folder, tmp_path):
    written = []
    for name in ("a.json", "b.json"):
        train_discernible(squares_folder, "colours", None, 12, 0, tmp_path / name)
        written.append(json.loads((tmp_path / name).read_text()))
    assert written[0] == written[1]
    result = written[0]
    assert result["images"] == len(ObjectData(squares_folder, part="tune"))
    assert sum(arm["pulls"] for arm in result["arms"]) == result["rounds"] == 12
    assert all(0 <= arm["mean"] <= 1 for arm in result["arms"])
    assert tuple(result["alphas"]) in ARMS


def test_the_command(squares_folder, tmp_path):
    out = tmp_path / "alphas.json"
    arguments = ["discernible", "--data", str(squares_folder), "--out", str(out), "--rounds", "6"]
    result = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "after 6 rounds" in result.output
    assert out.is_file()


@pytest.mark.parametrize(
    ("out", "rounds", "message"),
    [
        ("{tmp}/a.txt", 6, "expected a file that ends in .json"),
        ("{tmp}/no/a.json", 6, "there is no folder"),
        ("{tmp}/a.json", 5, "--rounds 5: expected 6 or more"),
    ],
)
def test_mistakes_are_one_clear_line(squares_folder, tmp_path, out, rounds, message):
    arguments = ["--data", str(squares_folder), "--out", out.format(tmp=tmp_path), "--rounds", str(rounds)]
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(train, ["discernible", *arguments], catch_exceptions=False)
