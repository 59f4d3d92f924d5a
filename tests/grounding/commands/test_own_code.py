"""``--model package.module:function`` and files of Keras: a captioner or classifier of the user's own."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import Result
from keras import layers
from PIL import Image

from gazeback.grounding import ground
from gazeback.models.errors import ModelError
from gazeback.models.from_code import made_by, names_code

CODE = """
import keras
from keras import layers
from gazeback.models import wrap_captioner

keras.utils.set_random_seed(2)
WORDS = ["<pad>", "start", "end", "a", "red", "dog"]
not_callable = 3


def cnn():
    image = keras.Input((20, 20, 3))
    x = layers.Conv2D(4, 3, 2, activation="relu", name="last")(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def captioner():
    features, words = keras.Input((4,)), keras.Input((5,), dtype="int32")
    x = layers.concatenate([features, layers.LSTM(6)(layers.Embedding(6, 3)(words))])
    decoder = keras.Model([features, words], layers.Dense(6, activation="softmax")(x), name="mine")
    return wrap_captioner(encoder=cnn(), decoder=decoder, tokenizer=WORDS, start="start", end="end")


def classifier():
    model = cnn()
    return keras.Model(model.input, layers.Dense(3, activation="softmax")(model.output), name="three")


def text():
    return "no model"


def broken():
    raise RuntimeError("no weights here")


def wants(more):
    return more
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo and a module, in which the command runs."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).save(tmp_path / "p.png")
    (tmp_path / "my_models.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return tmp_path


@pytest.fixture
def run(here: Path) -> Callable[..., Result]:
    from click.testing import CliRunner

    from gazeback.grounding.commands.main import gazeback

    return lambda *arguments: CliRunner().invoke(gazeback, list(map(str, arguments)))


def test_a_wrapped_captioner_is_grounded(run: Callable[..., Result], here: Path) -> None:
    result = run("ground", "p.png", "--model", "my_models:captioner", "--caption", "a red dog", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["caption"], said["model"]) == ("a red dog", "mine")
    assert {word["visual_share"] for word in said["words"]} == {None}
    assert (here / "gazeback-out" / "p.html").is_file()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_wrapped_captioner_is_grounded_from_its_file(run: Callable[..., Result]) -> None:
    mine = made_by("my_models:captioner")
    mine.save("mine.keras")
    result = run("ground", "p.png", "--caption", "a red dog", "--json", "--model", "mine.keras")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["words"]
    for word, expected in zip(found, ground(mine, "p.png", "a red dog").words, strict=True):
        assert word["text"] == expected.text
        assert word["logprob"] == pytest.approx(expected.logprob, abs=1e-4)
        assert [point[:2] for point in word["points"]] == expected.fixations.points.tolist()


def test_a_keras_model_is_traced(run: Callable[..., Result]) -> None:
    result = run("trace", "p.png", "--model", "my_models:classifier", "--top", 1, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["model"] == "three"
    assert said["predictions"][0]["class"].startswith("class ")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("ending", ["h5", "hdf5", "keras"])
def test_files_of_keras_are_traced(run: Callable[..., Result], here: Path, ending: str) -> None:
    image = keras.Input((20, 20, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    keras.Model(image, layers.Dense(3, activation="softmax")(x)).save(here / f"net.{ending}")
    (here / "class_names.json").write_text('["cat", "dog", "cow"]')
    result = run("trace", "p.png", "--model", f"net.{ending}", "--preprocessing", "tf", "--json", "--top", 1)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["model"] == "net"
    assert said["predictions"][0]["class"] in ("cat", "dog", "cow")


@pytest.mark.parametrize(
    ("command", "model", "message"),
    [
        (
            "ground",
            "my_models:text",
            "expected a captioner, it returned a str; return what gazeback.models.wrap_",
        ),
        ("ground", "my_models:classifier", "expected a captioner, it returned a Functional"),
        (
            "trace",
            "my_models:text",
            "expected a Keras model or a gazeback.models.Classifier, it returned a str",
        ),
        ("ground", "my_models:nothing", "my_models has no 'nothing'"),
        ("ground", "no_such:captioner", "there is no module 'no_such' here or installed"),
        ("trace", "my_models:broken", "it raised RuntimeError: no weights here"),
        ("trace", "my_models:not_callable", "expected a function without arguments that returns the model"),
        ("trace", "my_models:wants", "it raised TypeError: wants() missing 1 required positional argument"),
        ("trace", "gone.h5", "gone.h5: no such file"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    run: Callable[..., Result], command: str, model: str, message: str
) -> None:
    result = run(command, "p.png", "--model", model)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_file_that_is_no_model_is_told(run: Callable[..., Result], here: Path) -> None:
    (here / "text.h5").write_text("text")
    result = run("trace", "p.png", "--model", "text.h5")
    assert result.exit_code == 2
    assert "text.h5: Keras cannot load it" in result.stderr


def test_a_module_that_lacks_another_says_so(here: Path) -> None:
    (here / "needs_more.py").write_text("import does_not_exist_either\n")
    with pytest.raises(ModelError, match=r"needs_more cannot be imported .*does_not_exist_either"):
        made_by("needs_more:captioner")


def test_what_names_code() -> None:
    assert names_code("package.module:function")
    assert not any(map(names_code, ("vgg16", "file.keras", "C:\\x.keras", None, "a:b:c", "1a:b")))
