"""Networks and their names: published sizes, published weights, walked by the tracer, clear errors."""

import json
import zipfile
from functools import lru_cache

import keras
import numpy as np
import pytest
from PIL import Image
from twins.exact import assert_exact

from gazeback.cnn_trace import trace
from gazeback.models import load_classifier, load_photo
from gazeback.models.classifiers import (
    alexnet,
    applications,
    class_names,
    doodlenet,
    googlenet,
    keras_files,
    sketch_a_net,
    sketch_densenet,
    squeezenet,
    weight_files,
)
from gazeback.models.classifiers.caffe_layers import LocalResponseNormalization, max_pool
from gazeback.models.classifiers.classifier import Classifier
from gazeback.models.classifiers.preprocessing import Preprocessing
from gazeback.models.errors import ModelError

RANDOM = np.random.default_rng(0)


NETWORKS = {
    "alexnet": lambda: alexnet.build(20),
    "googlenet": lambda: googlenet.build(20, image_size=64),
    "squeezenet": lambda: squeezenet.build(20, image_size=64),
    "doodlenet": lambda: doodlenet.build(20),
    "sketch_a_net": lambda: sketch_a_net.build(
        20, 113, 0.25, first_kernel=7, first_stride=2, normalised=True
    ),
    "sketch_densenet": lambda: sketch_densenet.build(20, 48, blocks=(2, 2), growth=4),
}


@lru_cache
def network(name):
    keras.utils.set_random_seed(1)
    return NETWORKS[name]()


@pytest.mark.parametrize(
    ("name", "published", "classifying"),
    [
        ("alexnet", 60_965_224, 4096 + 1),
        ("googlenet", 6_998_552, 1024 + 1),
        ("squeezenet", 1_235_496, 512 + 1),
    ],
)
def test_networks_have_their_published_size(name, published, classifying):
    """With 20 classes here, 980 fewer than the published 1000."""
    assert network(name).count_params() == published - 980 * classifying


def test_sketch_a_net_is_the_papers_table():
    model = sketch_a_net.build(250)
    assert model.count_params() == 8_508_666  # "8.5 million"
    sides = [model.get_layer(name).output.shape[1] for name in ("conv1", "pool1", "conv2", "pool2", "pool5")]
    assert sides == [71, 35, 31, 15, 7]


@pytest.mark.parametrize("side", [6, 7, 112, 113])
def test_max_pooling_is_caffes_ceil_mode(side):
    """Windows start at 0, the last may hang over the end; compared with plain loops."""
    pixels = RANDOM.normal(size=(1, side, side, 2)).astype(np.float32)
    image = keras.Input((side, side, 2))
    answer = np.asarray(keras.Model(image, max_pool(image, "pool"))(pixels))
    count = int(np.ceil((side - 3) / 2)) + 1
    expected = np.empty((1, count, count, 2), np.float32)
    for row in range(count):
        for column in range(count):
            window = pixels[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            expected[:, row, column] = window.max(axis=(1, 2))
    np.testing.assert_array_equal(answer, expected)


def test_local_response_normalization_by_hand():
    """Every value from the formula, with loops; zeros beyond the first and last channel."""
    x = RANDOM.normal(size=(2, 3, 3, 7)).astype(np.float32)
    layer = LocalResponseNormalization(size=3, alpha=0.6, beta=0.75, k=2.0)
    expected = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        *where, channel = place
        around = x[(*where, slice(max(0, channel - 1), channel + 2))]
        expected[place] = x[place] / (2.0 + 0.6 / 3 * (around**2).sum()) ** 0.75
    np.testing.assert_allclose(np.asarray(layer(x)), expected, rtol=1e-5)
    again = LocalResponseNormalization.from_config(layer.get_config())
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(layer(x)))
    with pytest.raises(ValueError, match="odd number of channels, got 4"):
        LocalResponseNormalization(size=4)


def test_the_head_freezes_the_denominator_of_local_response_normalization():
    """What comes back through it adds up to its output exactly."""
    image = keras.Input((4, 5, 7))
    model = keras.Model(image, LocalResponseNormalization(alpha=0.5)(image))
    assert_exact(model, RANDOM.normal(size=(2, 4, 5, 7)).astype(np.float32), RANDOM)


@pytest.mark.parametrize("method", ["evidence", pytest.param("fixations", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_tracer_walks_every_network(name, method):
    model = network(name)
    shape = model.input.shape[1:]
    pixels = RANDOM.uniform(0, 1, (1, *shape)).astype(np.float32)
    found = trace(model, pixels, target=3, method=method)[0]
    assert found.shape == shape[:2]
    assert (found.points >= 0).all()
    assert (found.points < shape[:2]).all()


def test_googlenet_reproduces_the_reference_activations(data_pack):
    """All 39 arrays of the original network, to the rounding of how they are stored (half precision)."""
    folder = data_pack / "googlenet"
    model = googlenet.build(image_size=227)
    weight_files.load(model, folder / "googlenet_bvlc.npz", {})
    with np.load(folder / "reference_activations.npz") as content:
        reference = {name: content[name] for name in content.files}
    pixels = reference.pop("data")[None]
    layers = [model.get_layer(name.replace("/", "_")).output for name in reference]
    answers = keras.Model(model.input, layers)(pixels, training=False)
    for (name, expected), answer in zip(reference.items(), answers, strict=True):
        tolerance = 1e-5 if expected.dtype == np.float32 else 2**-11
        np.testing.assert_allclose(
            np.asarray(answer)[0],
            expected,
            rtol=tolerance,
            atol=tolerance * float(expected.max()),
            err_msg=name,
        )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "top_1"), [("googlenet", 0.792), ("squeezenet", 0.732)])
def test_top_1_on_imagenet(data_pack, name, top_1):
    classifier = load_classifier(name, data_pack / name)
    folder = data_pack / "imagenet_val"
    hits = []
    for photo in json.loads((folder / "annotations.json").read_text())["images"]:
        pixels = classifier.preprocess(load_photo(folder / "images" / photo["file_name"])).pixels
        hits.append(classifier.probabilities(pixels[None])[0].argmax() == photo["label"])
    assert np.mean(hits) == pytest.approx(top_1, abs=0.003)


def test_class_names_come_with_the_classifier(data_pack):
    classifier = load_classifier("squeezenet", data_pack / "squeezenet")
    published = json.loads((data_pack / "imagenet_val" / "class_names.json").read_text())
    assert classifier.class_names == tuple(published) == class_names.imagenet()
    assert load_classifier("doodlenet", data_pack / "sketches").class_names[:2] == ("flashlight", "belt")


def test_classes_are_found_by_name_synonym_and_number():
    names = ("tench, Tinca tinca", "Egyptian cat", "wine_bottle", "crane", "crane, machine")
    assert [class_names.find(x, names) for x in ("0", "tinca tinca", "EGYPTIAN_CAT", "wine-bottle")] == [
        0,
        0,
        1,
        2,
    ]
    assert class_names.find("crane", names) == 3
    with pytest.raises(ModelError, match=r"no class 'egyptian dog' among 5, 0 to 4; close: Egyptian cat"):
        class_names.find("egyptian dog", names)
    with pytest.raises(ModelError, match=r"no class '5' among 5, 0 to 4"):
        class_names.find("5", names)


@pytest.mark.parametrize("name", sorted(applications.known()))
def test_preprocessing_of_applications_is_keras_own(name):
    import importlib

    application = applications.known()[name]
    own = importlib.import_module(application.__module__).preprocess_input
    photo = load_photo(RANDOM.integers(0, 256, (8, 8, 3)).astype(np.uint8))
    ours = Preprocessing(8, 8, values=applications.values_of(application))(photo).pixels
    np.testing.assert_allclose(ours, own(photo.pixels.astype(np.float32)), atol=1e-4)


def test_applications_by_name_in_any_spelling():
    classifier = load_classifier("MobileNet-V2", weights=None)
    assert (classifier.name, classifier.input_size) == ("mobilenetv2", (224, 224))
    assert classifier.class_names[0] == "tench, Tinca tinca"
    assert classifier.class_index("goldfish") == 1


def test_efficientnet_lite0_sees_an_astronaut():
    from gazeback.models.photos import bundled_photo

    classifier = load_classifier("efficientnet-lite0")
    best = classifier.top(load_photo(bundled_photo()), 3)
    assert len(best) == 3
    assert best[0][1] >= best[1][1] >= best[2][1]
    assert classifier.probabilities(np.zeros((1, 224, 224, 3))).sum() == pytest.approx(1, abs=1e-4)


def test_logits_become_probabilities():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    classifier = Classifier(model, ("a", "b", "c"), Preprocessing(4, 4), "tiny")
    pixels = RANDOM.normal(size=(5, 4, 4, 3)).astype(np.float32) * 9
    logits = np.asarray(model(pixels))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.probabilities(pixels), expected, rtol=1e-4)
    with pytest.raises(ModelError, match="tiny: 2 class names for 3 outputs"):
        Classifier(model, ("a", "b"), Preprocessing(4, 4), "tiny")


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("vgg17", "imagenet", r"unknown classifier 'vgg17'; did you mean vgg1\d"),
        ("resnet", "imagenet", r"expected a FILE.keras, a network of keras.applications"),
        (
            "googlenet",
            "imagenet",
            r"do not come with the package; name a file or a folder with \*googlenet\*",
        ),
        ("googlenet", "nowhere", r"nowhere: no such file or folder; expected the weights of googlenet"),
        ("vgg16", "nowhere.h5", r"nowhere.h5: no such file; expected weights of vgg16"),
        ("efficientnet-lite0", "x.h5", r"comes with its weights; leave the weights out"),
        ("none.keras", "imagenet", r"none.keras: no such file; expected a .keras file"),
        ("none.keras", "x.npz", r"a .keras file has weights of its own"),
    ],
)
def test_what_cannot_be_loaded_is_one_clear_line(name, weights, message):
    with pytest.raises(ModelError, match=message) as caught:
        load_classifier(name, weights)
    assert "\n" not in str(caught.value)


def test_a_failed_download_is_one_clear_line(monkeypatch):
    def unreachable(weights):
        raise Exception("URL fetch failure on https://example.org: None -- no route")

    monkeypatch.setattr(applications, "known", lambda: {"vgg16": unreachable})
    with pytest.raises(ModelError, match="the imagenet weights of vgg16 could not be loaded: URL fetch"):
        load_classifier("vgg16")


def tiny(outputs=3, channels=3):
    image = keras.Input((6, 5, channels))
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(outputs, activation="softmax")(x), name="tiny")


def test_our_keras_files_keep_names_and_preprocessing(tmp_path):
    preprocess = Preprocessing(6, 5, 1, placement="sketch", dilations=1, margin=1)
    saved = Classifier(tiny(channels=1), ("sun", "cat", "tree"), preprocess, "small")
    keras_files.save(saved, tmp_path / "small.keras")
    loaded = load_classifier(tmp_path / "small.keras")
    assert (loaded.class_names, loaded.preprocess, loaded.name) == (saved.class_names, preprocess, "small")
    pixels = RANDOM.uniform(size=(2, 6, 5, 1)).astype(np.float32)
    np.testing.assert_allclose(loaded.probabilities(pixels), saved.probabilities(pixels), rtol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["small.keras"]
    with pytest.raises(ModelError, match=r"ends in .keras"):
        keras_files.save(saved, tmp_path / "small.h5")


def test_keras_files_of_others(tmp_path):
    tiny().save(tmp_path / "other.keras")
    classifier = load_classifier(tmp_path / "other.keras", preprocessing="tf")
    assert classifier.class_names == ("class 0", "class 1", "class 2")
    photo = load_photo(np.full((9, 9, 3), 255, np.uint8))
    np.testing.assert_array_equal(classifier.preprocess(photo).pixels, np.ones((6, 5, 3)))
    (tmp_path / "class_names.json").write_text('["x", "y", "z"]')
    classifier = load_classifier(tmp_path / "other.keras", placement="crop")
    assert classifier.class_names == ("x", "y", "z")
    assert classifier.preprocess(photo).pixels.max() == 255
    with pytest.raises(ModelError, match="unknown preprocessing 'vgg'; choose one of none, unit, tf"):
        load_classifier(tmp_path / "other.keras", preprocessing="vgg")
    with pytest.raises(ModelError, match="squeezenet has its own preprocessing"):
        load_classifier("squeezenet", None, preprocessing="tf")


@keras.saving.register_keras_serializable("gazeback_tests")
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(2)

    def call(self, x):
        return self.dense(self.flatten(x))


def test_subclassed_models_in_keras_files(tmp_path):
    model = Subclassed()
    pixels = RANDOM.normal(size=(1, 8, 8, 3)).astype(np.float32)
    expected = np.asarray(model(pixels))
    model.save(tmp_path / "sub.keras")
    classifier = load_classifier(tmp_path / "sub.keras")
    np.testing.assert_allclose(np.asarray(classifier.model(pixels)), expected, rtol=1e-5)
    assert len(trace(classifier.model, pixels, target=1)[0].points)


def broken_zip(path):
    path.write_bytes(b"PK not a zip")


def cut_off(path):
    tiny().save(path)
    path.write_bytes(path.read_bytes()[:-200])


def zip_of_nothing(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello", "world")


def unbuilt(path):
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)]).save(path)


def two_outputs(path):
    image = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(image)
    keras.Model(image, [keras.layers.Dense(2)(flat), keras.layers.Dense(3)(flat)], name="twins").save(path)


def no_image(path):
    vector = keras.Input((4,))
    keras.Model(vector, keras.layers.Dense(2)(vector), name="rows").save(path)


def with_code(path):
    image = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(image)
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(flat)).save(path)


def names_a_function(module):
    def make(path):
        """Keras before 3.9 imports the module, and the layer calls the function."""
        image = keras.Input((4, 4, 3))
        keras.Model(image, keras.layers.Activation(keras.activations.relu)(image)).save(path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        relu = {"module": module, "class_name": "function", "config": "relu", "registered_name": "function"}
        config = members["config.json"].replace(
            b'"activation": "relu"', f'"activation": {json.dumps(relu)}'.encode()
        )
        assert module.encode() in config
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (members | {"config.json": config}).items():
                archive.writestr(name, content)

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "a folder; expected a .keras file with a classifier"),
        (broken_zip, "no complete zip archive, so not a .keras file"),
        (cut_off, "no complete zip archive, so not a .keras file"),
        (zip_of_nothing, "a zip archive without config.json"),
        (unbuilt, "is not built, so its shapes are unknown; call it once"),
        (two_outputs, r"twins: expected one output \[n, classes\], the model has \(None, 2\), \(None, 3\)"),
        (no_image, r"rows: expected one image input .* it has \(None, 4\)"),
        (names_a_function("theirs"), r"Keras cannot load it \(its layer relu is code of your own"),
        (names_a_function("keras.utils"), r"Keras cannot load it \(its layer relu is code of your own"),
    ],
)
def test_unusable_keras_files_are_one_clear_line(tmp_path, make, message):
    path = tmp_path / "bad.keras"
    make(path)
    with pytest.raises(ModelError, match=message) as caught:
        load_classifier(path)
    assert "\n" not in str(caught.value)


def test_a_captioner_is_no_classifier(tmp_path, tiny_captioner):
    tiny_captioner.save(tmp_path / "captions.keras")
    with pytest.raises(ModelError, match="a captioner, not a classifier; use gazeback ground"):
        load_classifier(tmp_path / "captions.keras")


def test_grey_photos_reach_the_networks(tmp_path):
    Image.new("L", (30, 20), 90).save(tmp_path / "grey.png")
    classifier = load_classifier("squeezenet", None)
    assert classifier.preprocess(load_photo(tmp_path / "grey.png")).pixels.shape == (227, 227, 3)


@keras.saving.register_keras_serializable("theirs")
class Sharpen(keras.layers.Layer):
    def call(self, x):
        return 2 * x


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_code_in_a_file_is_not_run(tmp_path, ending):
    path = tmp_path / f"net{ending}"
    with_code(path)
    with pytest.raises(ModelError, match=r"Keras cannot load it \(its layer Lambda is code of your own"):
        load_classifier(path)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_layer_of_ones_own_in_a_file_is_named(tmp_path, monkeypatch, ending):
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(Sharpen()(image))
    path = tmp_path / f"net{ending}"
    keras.Model(image, keras.layers.Dense(3, activation="softmax")(x)).save(path)
    monkeypatch.setattr(keras.saving, "get_registered_object", lambda *given, **options: None)
    for name in [name for name in keras.saving.get_custom_objects() if "Sharpen" in name]:
        monkeypatch.delitem(keras.saving.get_custom_objects(), name)
    with pytest.raises(ModelError) as caught:
        load_classifier(path)
    assert str(caught.value) == (
        f"{path}: Keras cannot load it (its layer Sharpen is code of your own, which a file does not hold; "
        "give a function that returns the model, --model package.module:function)"
    )
