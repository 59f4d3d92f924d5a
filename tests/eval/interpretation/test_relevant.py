"""Features of pictures that are told apart by colour; their file; photos with classes in folders."""

import json

import numpy as np
import pytest

from gazeback.eval.interpretation import lasso
from gazeback.eval.interpretation.class_folder import Photos, read_photos, with_frequent_classes
from gazeback.eval.interpretation.relevant import Feature, learn, load, save
from gazeback.eval.interpretation.responses import Standardised
from gazeback.eval.interpretation.task import learn_variants
from gazeback.models.errors import DataError, UserError
from gazeback.models.training.sketch_folder import split_of

MU = 0.5  # so little that a class gives it all to the best filter


@pytest.fixture
def found(network, photos, responses):
    return learn_variants(responses, photos, network.forward, MU)


def test_the_filter_of_a_colour_is_the_strongest_of_its_class(found, colours):
    for variant in found:
        for name in variant.classes:
            assert variant.of(name)[0].filter == colours.class_index(name)


def test_weights_are_positive_fall_and_keep_to_mu(found):
    for variant in found:
        for name in variant.classes:
            weights = [feature.weight for feature in variant.of(name)]
            assert weights == sorted(weights, reverse=True)
            assert min(weights) > 0
            assert sum(weights) <= MU * (1 + 1e-9)


def test_the_variants_look_at_their_layers(found):
    both, convolutions = found
    assert dict(both.layers) == {"colours": 6, "mixed": 3, "pool": 3}
    assert dict(convolutions.layers) == {"colours": 6, "mixed": 3}
    assert {f.layer for name in convolutions.classes for f in convolutions.of(name)} <= {"colours", "mixed"}


def test_a_file_gives_back_what_was_saved(found, tmp_path):
    path = save(tmp_path / "relevant.json", *found)
    assert load(path) == found[0]
    assert load(path, "only-conv") == found[1]
    assert [p.name for p in tmp_path.iterdir() if p.suffix in (".json", ".tmp")] == ["relevant.json"]


def test_a_file_gives_back_what_was_learned_from_standardised_responses(
    network, photos, responses, tmp_path, monkeypatch
):
    monkeypatch.setattr(lasso, "STEPS", 30)
    found = learn_variants(responses, photos, network.forward, None, "filter")
    assert (found[0].scale, found[0].mu) == ("filter", 1.0)
    assert load(save(tmp_path / "relevant.json", *found)) == found[0]
    content = json.loads((tmp_path / "relevant.json").read_text())
    content["variants"][0]["scale"] = "photo"
    (tmp_path / "relevant.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="the scale 'photo'"):
        load(tmp_path / "relevant.json")


def test_files_that_are_none(found, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "missing.json")
    (tmp_path / "other.json").write_text('{"format": "x"}')
    with pytest.raises(DataError, match="not what `gazeback interpret` wrote"):
        load(tmp_path / "other.json")
    path = save(tmp_path / "relevant.json", found[0])
    with pytest.raises(DataError, match="holds no features of the variant 'only-conv'"):
        load(path, "only-conv")
    content = json.loads(path.read_text())
    content["variants"][0]["features"]["red"][0][1] = 99
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="has no filter 99"):
        load(path)
    with pytest.raises(UserError, match="cannot write"):
        save(tmp_path / "no" / "relevant.json", found[0])


def test_a_class_without_an_image_is_refused(network):
    labels = np.zeros((4, 2), bool)
    labels[:, 0] = True
    with pytest.raises(UserError, match="class 'cat' has no image: nothing can be learned"):
        learn(np.ones((4, 12)), labels, ("dog", "cat"), network.forward.layers, "all")


def test_fewer_images_than_classes_are_refused(network):
    with pytest.raises(UserError, match="2 images for 3 classes"):
        learn(np.ones((2, 12)), np.ones((2, 3), bool), ("a", "b", "c"), network.forward.layers, "all")


def test_features_are_named_by_layer_and_filter(network):
    responses = np.zeros((6, 12))
    responses[:3, 1] = responses[3:, 7] = 1.0
    labels = np.repeat(np.eye(2), 3, axis=0) > 0
    found = learn(responses, labels, ("a", "b"), network.forward.layers, "all", 0.5)
    assert found.of("a") == (Feature("colours", 1, pytest.approx(0.5)),)
    assert found.of("b") == (Feature("mixed", 1, pytest.approx(0.5)),)


def test_standardised_responses_have_mean_0_and_deviation_1():
    rng = np.random.default_rng(0)
    values = rng.normal(3, [0.001, 1, 50], (1100, 3)).astype(np.float32)
    values = np.column_stack([values, np.full(1100, 0.7, np.float32)])
    found = Standardised.of(values)
    np.testing.assert_allclose(found.mean, values.mean(axis=0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(found.deviation[:3], values[:, :3].std(axis=0, dtype=np.float64), rtol=1e-6)
    assert found.shape == values.shape
    np.testing.assert_allclose(found[600:900], (values[600:900] - found.mean) / found.deviation)
    assert found.deviation[3] == 1
    assert np.abs(found[:][:, 3]).max() < 1e-6


def test_standardised_a_small_share_is_as_good_as_a_large_one(network):
    """Two filters tell the classes apart: one of a narrow layer, badly, and one of a wide layer, well."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.eye(2), 20, axis=0) > 0
    responses = np.full((40, 12), 0.5) + 1e-6 * rng.normal(size=(40, 12))
    responses[:, 1] += 0.2 * labels[:, 0] + 0.1 * rng.normal(size=40)
    responses[:, 7] += 1e-3 * labels[:, 0]
    found = {
        scale: learn(responses, labels, ("a", "b"), network.forward.layers, "all", 0.3, scale).of("a")[0]
        for scale in ("layer", "filter")
    }
    assert (found["layer"].layer, found["layer"].filter) == ("colours", 1)
    assert (found["filter"].layer, found["filter"].filter) == ("mixed", 1)
    assert found["filter"].relevance(responses[0, 7]) == pytest.approx(found["filter"].weight, rel=1e-2)
    assert found["layer"].relevance(2.0) == found["layer"].weight * 2


def test_what_cannot_be_learned_from(network):
    labels = np.repeat(np.eye(2), 3, axis=0) > 0
    responses = np.random.default_rng(0).random((6, 12))
    with pytest.raises(UserError, match="unknown scale 'photo'; expected layer or filter"):
        learn(responses, labels, ("a", "b"), network.forward.layers, "all", 1.0, "photo")
    responses[2, 3] = np.inf
    with pytest.raises(UserError, match="some responses of the network are NaN or infinite"):
        learn(responses, labels, ("a", "b"), network.forward.layers, "all", 1.0, "filter")


def test_class_folders(folder, photos):
    assert photos.classes == ("blue", "green", "red")
    assert len(photos) == 60
    for path, held_out, label in zip(photos.paths, photos.held_out, photos.labels, strict=True):
        assert photos.classes[label] == path.parent.name
        assert held_out == (split_of(path.parent.name, path.name) == "held-out")
    (folder.parent / "home").mkdir()
    folder.rename(folder.parent / "home" / "train")
    assert read_photos(folder.parent / "home").classes == photos.classes


def test_a_limit_holds_for_each_class_and_part(folder):
    some = read_photos(folder, 2)
    for label in range(3):
        assert (some.held_out[some.labels == label]).sum() <= 2
        assert (~some.held_out[some.labels == label]).sum() == 2


def test_pictures_without_folders_have_no_classes(folder):
    plain = read_photos(folder / "red")
    assert plain.labels is None
    assert len(plain) == 20


def test_photos_of_rare_classes_have_none():
    held_out = np.arange(60) % 5 == 0
    numbers = np.array([7] * 25 + [3] * 25 + [5] * 4 + [-1] * 6)
    photos = with_frequent_classes(Photos(("x",) * 60, held_out), numbers, [str(n) for n in range(9)])
    assert photos.classes == ("3", "7")
    assert photos.labels.tolist() == [1] * 25 + [0] * 25 + [-1] * 10
    with pytest.raises(DataError, match="only 0 classes have 10 photos or more"):
        with_frequent_classes(Photos(("x",) * 60, held_out), numbers * 0 - 1, ["x"])


def test_layouts_that_are_none(folder, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        read_photos(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures; expected one folder of pictures per class"):
        read_photos(tmp_path / "empty")
    (tmp_path / "empty" / "a").mkdir()
    with pytest.raises(DataError, match="holds one folder, a/"):
        read_photos(tmp_path / "empty")
    (tmp_path / "empty" / "b").mkdir()
    with pytest.raises(DataError, match=r"holds no folder of pictures \(a/ has none\)"):
        read_photos(tmp_path / "empty")
    (folder / "none").mkdir()
    with pytest.raises(DataError, match="class 'none' has no image"):
        read_photos(folder)
    (folder / "none" / "one.png").write_bytes((folder / "red" / "red0.png").read_bytes())
    with pytest.raises(DataError, match="class 'none' has 1 images, none to"):
        read_photos(folder)
    (folder / "stray.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds pictures beside folders \(stray\.png, blue/\)"):
        read_photos(folder)


def test_annotations_with_too_few_photos_of_a_class(squares_folder):
    with pytest.raises(DataError, match=r"only 0 classes .* or .*images to use the predicted classes"):
        read_photos(squares_folder)
