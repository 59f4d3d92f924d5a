"""Which layers have filters, what they answer, and a collection that is killed and goes on."""

import keras
import numpy as np
import pytest
from PIL import Image
from twins.interpreted_nets import channels_first, nested, sharing

from gazeback.cnn_trace.tracer import tracer_of
from gazeback.eval.interpretation import responses as module
from gazeback.eval.interpretation.forward import Forward
from gazeback.eval.interpretation.layers import filter_layers
from gazeback.eval.interpretation.responses import collect
from gazeback.models import load_photo
from gazeback.models.errors import UserError


def forward_of(model: keras.Model, variant: str = "all") -> Forward:
    tracer = tracer_of(model)
    answer = tracer.target()
    return Forward(tracer.graph, answer, filter_layers(tracer.graph, answer, variant))


def norms(maps: np.ndarray) -> np.ndarray:
    """The L2 norm of each channel, one by one."""
    return np.array([[np.linalg.norm(image[..., c]) for c in range(maps.shape[-1])] for image in maps])


def test_filters_are_read_behind_normalisation_and_activation_and_the_classes_are_left_out(network):
    found = [(one.name, one.kind, one.channels, one.tensors[0].name) for one in network.forward.layers]
    assert found == [
        ("colours", "convolution", 6, "rectified"),
        ("mixed", "convolution", 3, "mixed"),
        ("pool", "pooling", 3, "pool"),
    ]


def test_only_the_convolutions(colours):
    assert [one.name for one in forward_of(colours.model, "only-conv").layers] == ["colours", "mixed"]
    with pytest.raises(UserError, match="unknown variant 'some'; choose one of all, only-conv"):
        forward_of(colours.model, "some")


def test_responses_are_the_norms_of_each_map_and_the_answer_is_the_networks(colours, network):
    images = np.random.default_rng(0).random((3, 16, 16, 3)).astype(np.float32) * 255
    found, answers = network.forward.responses(images)
    for one in network.forward.layers:
        layer = one.tensors[0].name
        maps = keras.Model(colours.model.input, colours.model.get_layer(layer).output)(images).numpy()
        columns = network.forward.offsets[one.name]
        assert found[:, columns] == pytest.approx(norms(maps.reshape(3, -1, one.channels)), rel=1e-5)
    assert keras.ops.softmax(answers).numpy() == pytest.approx(colours.probabilities(images), abs=1e-6)


def test_nested_models_name_their_layers_by_path():
    forward = forward_of(nested())
    assert [one.name for one in forward.layers] == ["backbone/inner", "after", "hidden"]


def test_a_layer_that_is_called_twice_is_one_layer_with_both_maps():
    model = sharing()
    forward = forward_of(model)
    twice = next(one for one in forward.layers if one.name == "twice")
    assert len(twice.tensors) == 2
    images = np.random.default_rng(1).random((2, 8, 8, 2)).astype(np.float32)
    first = model.get_layer("twice")(images)
    maps = np.concatenate([first.numpy(), model.get_layer("twice")(first).numpy()], axis=1)
    found = forward.responses(images)[0][:, forward.offsets["twice"]]
    assert found == pytest.approx(norms(maps.reshape(2, -1, 2)), rel=1e-5)


def test_channels_first_layers_have_the_same_filters():
    last, first = channels_first()
    for one, other in zip(forward_of(last).layers, forward_of(first).layers, strict=True):
        assert (one.kind, one.channels) == (other.kind, other.channels)


def test_a_model_without_maps_is_refused():
    image = keras.Input((4, 4, 3))
    x = keras.layers.Dense(5)(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Dense(2)(x))
    with pytest.raises(UserError, match="has no layer before its last one whose filters answer with a map"):
        forward_of(model)


def test_collected_responses_sum_to_one_in_each_layer(colours, network, photos, responses):
    assert responses.readable.all()
    assert responses.values.shape == (len(photos), 12)
    for columns in network.forward.offsets.values():
        assert responses.values[:, columns].sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    names = [colours.class_names[number] for number in responses.predicted]
    assert names == [photos.classes[label] for label in photos.labels]


def test_a_run_that_is_killed_goes_on_and_loses_and_repeats_nothing(network, photos, tmp_path, monkeypatch):
    whole = collect(network, photos.paths, tmp_path / "whole")
    seen: list[str] = []
    killed_after = 25

    def counted(path):
        if len(seen) == killed_after:
            raise KeyboardInterrupt
        seen.append(path.name)
        return load_photo(path)

    monkeypatch.setattr("gazeback.eval.interpretation.forward.load_photo", counted)
    with pytest.raises(KeyboardInterrupt):
        collect(network, photos.paths, tmp_path / "killed")
    killed_after = len(photos) + 25
    safe = np.load(tmp_path / "killed" / "done.npy").sum()
    assert safe == module.BATCH
    seen.clear()
    resumed = collect(network, photos.paths, tmp_path / "killed")
    assert len(seen) == len(photos) - safe
    assert (resumed.values == whole.values).all()
    assert (resumed.predicted == whole.predicted).all()
    seen.clear()
    collect(network, photos.paths, tmp_path / "killed")
    assert not seen


def test_other_weights_or_photos_start_anew(network, photos, tmp_path):
    first = collect(network, photos.paths, tmp_path / "out")
    before = np.array(first.values)
    few = collect(network, photos.paths[3:], tmp_path / "out")
    assert (few.values == before[3:]).all()
    weights = network.model.get_weights()
    try:
        network.model.get_layer("colours").set_weights([weights[0][..., ::-1]])
        other = collect(network, photos.paths[3:], tmp_path / "out")
        assert np.abs(other.values - before[3:]).max() > 0.01
    finally:
        network.model.set_weights(weights)


def test_a_replaced_photo_is_read_anew(network, photos, tmp_path):
    before = np.array(collect(network, photos.paths, tmp_path / "out").values)
    pixels = np.array(Image.open(photos.paths[0]))
    Image.fromarray(pixels[..., ::-1]).save(photos.paths[0])
    after = collect(network, photos.paths, tmp_path / "out").values
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1:], after[1:])


def test_unreadable_photos_are_reported_and_left_out(network, photos, tmp_path):
    photos.paths[5].write_text("no photo")
    photos.paths[7].unlink()
    found = collect(network, photos.paths, tmp_path / "out")
    assert np.flatnonzero(~found.readable).tolist() == [5, 7]
    assert [line.split(":")[0] for line in found.skipped] == [str(photos.paths[5]), str(photos.paths[7])]


def test_no_readable_photo_at_all_is_an_error(network, tmp_path):
    (tmp_path / "x.png").write_text("no photo")
    with pytest.raises(UserError, match=r"none of 1 photos could be read; the first: .*x\.png"):
        collect(network, [tmp_path / "x.png"], tmp_path / "out")


def test_a_folder_that_cannot_be_written(network, tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the responses to"):
        collect(network, [tmp_path / "a.png"], tmp_path / "file" / "out")
