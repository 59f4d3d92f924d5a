"""What results depend on counts by its contents."""

from dataclasses import dataclass
from importlib.metadata import version

import keras
import numpy as np
import pytest

from gazeback.models import contents
from gazeback.models.classifiers import Classifier
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.contents import digest, file_digest, files_digest, versions
from gazeback.models.errors import DataError


def classifier(activation="relu", names=("a", "b"), values="none"):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(2, 3, activation=activation, kernel_initializer="ones"),
            keras.layers.Dropout(0.1),  # has a random state, which does not count
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, kernel_initializer="ones"),
        ]
    )
    return Classifier(model, names, Preprocessing(8, 8, values=values), "net")


def test_equal_models_are_equal_though_keras_counts_their_names_up():
    assert digest(classifier()) == digest(classifier())


@pytest.mark.parametrize("other", [{"activation": "tanh"}, {"names": ("b", "a")}, {"values": "tf"}])
def test_structure_names_and_preprocessing_count(other):
    assert digest(classifier()) != digest(classifier(**other))


def test_one_changed_weight_counts():
    changed = classifier()
    kernel, bias = changed.model.layers[0].get_weights()
    kernel[0, 0, 0, 0] += 1e-3
    changed.model.layers[0].set_weights([kernel, bias])
    assert digest(changed) != digest(classifier())


@dataclass
class Holder:
    values: object


def test_arrays_containers_and_functions():
    array = np.arange(3)
    assert digest(Holder({"a": [array]})) == digest(Holder({"a": [np.arange(3)]}))
    assert digest(Holder({"a": [array]})) != digest(Holder({"a": [array + 1]}))
    assert digest(array) != digest(array.astype(float))
    assert digest(file_digest) != digest(test_one_changed_weight_counts)
    looped = Holder([])
    looped.values.append(looped)
    assert digest(looped)


def test_files_count_by_their_contents(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    before = files_digest([file])
    file.write_bytes(b"two")
    assert files_digest([file]) != before
    assert files_digest([tmp_path / "none"]) == files_digest([tmp_path / "neither"])
    with pytest.raises(DataError, match="cannot be read"):
        file_digest(tmp_path)


def test_the_versions_of_what_computes():
    assert {"gazeback", "keras", "numpy", "backend"} <= set(versions())


def test_changed_code_is_another_version(tmp_path, monkeypatch):
    own = (tmp_path / "models" / "contents.py", tmp_path / "eval" / "tasks" / "one.py")
    for file in own:
        file.parent.mkdir(parents=True)
        file.write_text("one = 1")
    monkeypatch.setattr(contents, "__file__", str(own[0]))
    found = set()
    for text in ("one = 1", "one = 2"):
        own[1].write_text(text)
        contents._own_code.cache_clear()
        found.add(versions()["gazeback"])
    contents._own_code.cache_clear()
    assert len(found) == 2
    assert all(one.startswith(version("gazeback")) for one in found)
