"""The reader of PyTorch's legacy weights files: right arrays, nothing executed, clear errors."""

import io
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from gazeback.models.torch_pickle import MAGIC_NUMBER, PROTOCOL_VERSION, TorchFileError, read_state_dict


class Name:
    """Pickles as a bare global, as PyTorch's own classes do."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Storage:
    """Pickles as a persistent id."""

    def __init__(self, key, size, kind="FloatStorage"):
        self.pid = ("storage", Name("torch", kind), key, "cpu", size, None)


class Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())


class LegacyPickler(pickle._Pickler):
    """The writer's side of the format: the pure Python pickler, taught the three kinds above."""

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Name):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Tensor):
            self.save(Name("torch._utils", "_rebuild_tensor_v2"))
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def write(path, state, storages, magic=MAGIC_NUMBER, little_endian=True):
    """Write a state dict whose storages are {key: float32 array}."""
    file = io.BytesIO()
    for part in (magic, PROTOCOL_VERSION, {"little_endian": little_endian}, state, list(storages)):
        LegacyPickler(file, protocol=2).dump(part)
    for array in storages.values():
        file.write(struct.pack("<q", array.size) + array.tobytes())
    path.write_bytes(file.getvalue())
    return path


NUMBERS = np.arange(12, dtype=np.float32)


def test_tensors_come_back_with_shape_strides_and_offset(tmp_path):
    storage = Storage("7", 12)
    state = OrderedDict(
        plain=Tensor(storage, 0, (3, 4), (4, 1)),
        transposed=Tensor(storage, 0, (4, 3), (1, 4)),
        part=Tensor(storage, 5, (2,), (3,)),
        scalar=Tensor(storage, 11, (), ()),
    )
    arrays = read_state_dict(write(tmp_path / "a.pth", state, {"7": NUMBERS}))
    assert list(arrays) == ["plain", "transposed", "part", "scalar"]
    np.testing.assert_array_equal(arrays["plain"], NUMBERS.reshape(3, 4))
    np.testing.assert_array_equal(arrays["transposed"], NUMBERS.reshape(3, 4).T)
    np.testing.assert_array_equal(arrays["part"], [5, 8])
    assert arrays["scalar"] == 11


class Malicious:
    """What an attacker would put into the file: a call of ``os.system``."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path):
    trace = tmp_path / "ran"
    path = write(tmp_path / "evil.pth", OrderedDict(w=Malicious(f"touch {trace}")), {})
    with pytest.raises(
        TorchFileError, match=r"asks for posix\.system; only tensors are read, so it is refused"
    ):
        read_state_dict(path)
    assert not trace.exists()


FORBIDDEN = [("builtins", "eval"), ("torch", "load"), ("collections", "Counter"), ("torch", "nn.Linear")]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_every_other_name_is_refused(tmp_path, name):
    with pytest.raises(TorchFileError, match="is refused"):
        read_state_dict(write(tmp_path / "a.pth", OrderedDict(w=Name(*name)), {}))


OUTSIDE = [(0, (3, 5), (5, 1)), (10, (3,), (1,)), (-1, (2,), (1,)), (3, (2,), (-1,))]


@pytest.mark.parametrize("tensor", OUTSIDE)
def test_a_tensor_must_lie_inside_its_storage(tmp_path, tensor):
    path = write(tmp_path / "a.pth", OrderedDict(w=Tensor(Storage("0", 12), *tensor)), {"0": NUMBERS})
    with pytest.raises(TorchFileError, match="reaches outside its storage"):
        read_state_dict(path)


def test_damaged_files_are_named(tmp_path):
    state = OrderedDict(w=Tensor(Storage("0", 12), 0, (12,), (1,)))
    good = write(tmp_path / "good.pth", state, {"0": NUMBERS})
    data = good.read_bytes()
    for length in range(0, len(data), 7):
        good.write_bytes(data[:length])
        with pytest.raises(TorchFileError, match=r"good\.pth: "):
            read_state_dict(good)
    with pytest.raises(TorchFileError, match="its first bytes differ"):
        read_state_dict(write(tmp_path / "b.pth", OrderedDict(), {}, magic=5))
    with pytest.raises(TorchFileError, match="big-endian"):
        read_state_dict(write(tmp_path / "c.pth", OrderedDict(), {}, little_endian=False))
    with pytest.raises(TorchFileError, match="no such file"):
        read_state_dict(tmp_path / "none.pth")
    path = write(tmp_path / "d.pth", OrderedDict(w=Tensor(Storage("0", 13), 0, (13,), (1,))), {"0": NUMBERS})
    with pytest.raises(TorchFileError, match="announces 13 elements but holds 12"):
        read_state_dict(path)
