"""Files of weights as trainers leave them, written with zipfile, pickle and struct alone, and the logits they give.

The network is a small DenseNet of torchvision; the logits are those that torchvision 0.28.0 computes with these weights
(tests/interop/probes.py).
"""

import argparse
import contextlib
import io
import json
import pickle
import struct
import sys
import types
import zipfile
from unittest import mock

import h5py
import numpy as np
import pytest

import tfdl
from tests.interop.probes import CLASSES, IMAGE, PROBES, image, seeded

LOGITS = PROBES["densenet"].logits


def norm(name, channels):
    return {f"{name}.{leaf}": (channels,) for leaf in ("weight", "bias", "running_mean", "running_var")}


def state_dict():
    """torchvision.models.DenseNet(8, (1, 2, 2, 1), 16, num_classes=3).state_dict(), with values from the names."""
    shapes, channels = {"features.conv0.weight": (16, 3, 7, 7)} | norm("features.norm0", 16), 16
    for block, layers in enumerate((1, 2, 2, 1), 1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            shapes |= norm(f"{name}.norm1", channels) | {f"{name}.conv1.weight": (32, channels, 1, 1)}
            shapes |= norm(f"{name}.norm2", 32) | {f"{name}.conv2.weight": (8, 32, 3, 3)}
            channels += 8
        if block < 4:
            name, half = f"features.transition{block}", channels // 2
            shapes |= norm(f"{name}.norm", channels) | {f"{name}.conv.weight": (half, channels, 1, 1)}
            channels = half
    shapes |= norm("features.norm5", channels)
    return seeded(shapes | {"classifier.weight": (CLASSES, channels), "classifier.bias": (CLASSES,)})


STATE = state_dict()
AVERAGE = {name: array * np.float32(0.5) for name, array in STATE.items()}
COUNTERS = {"features.norm0.num_batches_tracked": np.array(1000)}
TRAINING = {"epoch": 90, "optimizer": {"state": {0: {"step": 5, "exp_avg": np.ones(3, "float32")}}, "param_groups": []}}


def prefixed(prefix, arrays=STATE):
    return {prefix + name: array for name, array in arrays.items()}


# --- as torch.save writes --------------------------------------------------------------------------------------------

KINDS = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "uint16": "BFloat16Storage",
    "int64": "LongStorage",
}


class TorchPickler(pickle.Pickler):
    """Arrays become tensors: a call of torch's function with the name of a storage.  uint16 stands for bfloat16."""

    def __init__(self, file, torch):
        super().__init__(file, protocol=2)
        self.torch, self.storages = torch, []

    def persistent_id(self, value):
        if isinstance(value, Storage):
            kind = getattr(self.torch, KINDS[value.array.dtype.name])
            self.storages.append(value.array)
            return ("storage", kind, str(len(self.storages) - 1), "cpu", value.array.size)
        return None

    def reducer_override(self, value):
        if not isinstance(value, np.ndarray):
            return NotImplemented
        strides = tuple(step // value.itemsize for step in value.strides)
        arguments = (Storage(value), 0, value.shape, strides, False, {})
        return self.torch._utils._rebuild_tensor_v2, arguments


class Storage:
    def __init__(self, array):
        self.array = array


@contextlib.contextmanager
def names_of_torch():
    """The module and the names that pickle looks up, whether torch is installed or not."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in KINDS.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    torch._utils = utils
    utils._rebuild_tensor_v2 = lambda *arguments: None
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2.__qualname__ = utils._rebuild_tensor_v2.__name__ = "_rebuild_tensor_v2"
    with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        yield torch


def pickled(content):
    """A pickle, and the arrays that stand beside it."""
    buffer = io.BytesIO()
    with names_of_torch() as torch:
        pickler = TorchPickler(buffer, torch)
        pickler.dump(content)
    return buffer.getvalue(), pickler.storages


def saved(content):
    """What torch.save writes since 1.6."""
    program, storages = pickled(content)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("checkpoint/data.pkl", program)
        for number, array in enumerate(storages):
            archive.writestr(f"checkpoint/data/{number}", array.tobytes())
        archive.writestr("checkpoint/version", "3\n")
    return buffer.getvalue()


def saved_before_2020(content):
    """What torch.save wrote before 1.6: five pickles, then the numbers."""
    program, storages = pickled(content)
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    keys = [str(number) for number in range(len(storages))]
    parts = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, facts)]
    parts += [program, pickle.dumps(keys, protocol=2)]
    return b"".join(parts) + b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages)


# --- one call loads each ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    return tfdl.build("densenet", "nano", image_shape=IMAGE, num_classes=CLASSES, normalize=None)


def check_logits(network, source, **options):
    network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
    tfdl.load_weights(network, source, **options)
    np.testing.assert_allclose(network(image())[0], LOGITS, atol=1e-4)


TRAINERS = {  # the file's name -> what is in it, and the prefix of its names
    "densenet.pth": (STATE | COUNTERS, ""),
    "pytorch_model.bin": (STATE, ""),
    "wrapped.pth": (prefixed("net."), "net."),
    "checkpoint.pth.tar": (
        {"arch": "densenet", "state_dict": prefixed("module."), "best_acc1": np.array(76.1)} | TRAINING,
        "module.",
    ),
    "model_best.th": ({"state_dict": prefixed("module."), "best_prec1": 91.7}, "module."),
    "last.ckpt": (
        {"state_dict": prefixed("model."), "pytorch-lightning_version": "2.4.0", "callbacks": {}} | TRAINING,
        "model.",
    ),
    "compiled.pt": ({"model": prefixed("_orig_mod."), "args": argparse.Namespace(lr=0.1)} | TRAINING, "_orig_mod."),
    "distributed.pt": ({"model_state_dict": prefixed("module._orig_mod.")} | TRAINING, "module._orig_mod."),
}


@pytest.mark.parametrize("save", [saved, saved_before_2020])
@pytest.mark.parametrize("name", TRAINERS)
def test_the_file_of_a_trainer_gives_the_logits_of_its_library(name, save, network, tmp_path, capsys):
    content, prefix = TRAINERS[name]
    (tmp_path / name).write_bytes(save(content))
    check_logits(network, tmp_path / name)
    said = f"The prefix {prefix!r} was taken off the names in {tmp_path / name}.\n" if prefix else ""
    assert capsys.readouterr().out == said


AVERAGES = {
    "torchvision.pth": {"model": AVERAGE, "model_ema": prefixed("module."), "args": argparse.Namespace()} | TRAINING,
    "timm.pth.tar": {"state_dict": AVERAGE, "state_dict_ema": STATE, "metric": 80.1} | TRAINING,
    "trainer.pt": {"model": AVERAGE, "ema": STATE} | TRAINING,
}


@pytest.mark.parametrize("name", AVERAGES)
def test_of_weights_and_their_moving_average_the_user_chooses(name, network, tmp_path, capsys):
    (tmp_path / name).write_bytes(saved(AVERAGES[name]))
    check_logits(network, tmp_path / name, ema=True)
    capsys.readouterr()
    tfdl.load_weights(network, tmp_path / name)
    assert "ema=True loads that instead" in capsys.readouterr().out
    np.testing.assert_array_equal(network.get_layer("logits").bias, AVERAGE["classifier.bias"])


def rounded(kind):
    """The weights as their half, bfloat16 as its bits."""
    if kind == "float16":
        return {name: array.astype("float16") for name, array in STATE.items()}
    return {name: (array.view("uint32") >> 16).astype("uint16") for name, array in STATE.items()}


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("save", [saved, saved_before_2020])
def test_half_precision_is_read_to_the_bit(kind, save, network, tmp_path):
    halves = rounded(kind)
    (tmp_path / "half.pt").write_bytes(save(halves))
    tfdl.load_weights(network, tmp_path / "half.pt")
    bias = halves["classifier.bias"]
    expected = bias.astype("float32") if kind == "float16" else (bias.astype("uint32") << 16).view("float32")
    np.testing.assert_array_equal(network.get_layer("logits").bias, expected)
    np.testing.assert_allclose(network(image())[0], LOGITS, atol=0.1)


def safetensors(arrays, kind="F32"):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_shards_of_an_index_and_of_its_folder_are_joined(network, tmp_path):
    names = list(STATE)
    places = {name: f"model-{1 + (i >= 40):05}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(places.values()):
        (tmp_path / file).write_bytes(safetensors({name: STATE[name] for name in names if places[name] == file}))
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    check_logits(network, tmp_path / "model.safetensors.index.json")
    check_logits(network, tmp_path)


def test_half_precision_in_safetensors_and_arrays_of_numpy(network, tmp_path):
    for kind, short in (("float16", "F16"), ("bfloat16", "BF16")):
        (tmp_path / "model.safetensors").write_bytes(safetensors(rounded(kind), short))
        tfdl.load_weights(network, tmp_path / "model.safetensors")
        np.testing.assert_allclose(network(image())[0], LOGITS, atol=0.1)
    np.savez_compressed(tmp_path / "w.npz", **STATE)
    check_logits(network, tmp_path / "w.npz")


# --- what is refused, in one sentence and with nothing changed --------------------------------------------------------


class Module:  # stands for torch.save(model)
    pass


def damaged(name):
    whole = saved(STATE)
    return {
        "half.pth": whole[: len(whole) // 2],
        "pointer.pth": b"version https://git-lfs.github.com/spec/v1\noid sha256:4665c0\nsize 97781949\n",
        "not_found.pth": b"<!DOCTYPE html><title>404</title>",
        "module.pth": saved(Module()),
        "float8.safetensors": safetensors({"a.weight": np.zeros(4, "uint8")}, "F8_E4M3"),
        "nan.pth": saved(STATE | {"classifier.bias": np.array([0, np.nan, 0], "float32")}),
        "infinite.safetensors": safetensors(STATE | {"classifier.bias": np.array([0, np.inf, 0], "float32")}),
    }[name]


@pytest.mark.parametrize(
    "name, message",
    [
        ("half.pth", "half.pth cannot be read as weights: it is cut off"),
        ("pointer.pth", "fetch it with git lfs pull"),
        ("not_found.pth", "it does not begin as a file of PyTorch"),
        ("module.pth", "it holds a pickled Module, not a dictionary of tensors: save model.state_dict()"),
        ("float8.safetensors", "its tensor a.weight holds F8_E4M3 numbers; save it as float32"),
        ("nan.pth", "classifier.bias holds NaN"),
        ("infinite.safetensors", "classifier.bias holds NaN, infinity"),
    ],
)
def test_damaged_and_foreign_files_change_nothing(name, message, network, tmp_path):
    (tmp_path / name).write_bytes(damaged(name))
    before = network.get_weights()
    with pytest.raises(ValueError, match="^.*") as error:
        tfdl.load_weights(network, tmp_path / name)
    assert message in str(error.value) and "weights_only" not in str(error.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


def test_a_wrong_layout_is_answered_with_the_right_one(network):
    with pytest.raises(ValueError, match="those of torchvision, not of keras_hub: say layout='torchvision'"):
        tfdl.load_weights(network, STATE, layout="keras_hub")


def test_a_small_file_cannot_fill_the_memory_and_many_names_give_a_short_message(network, tmp_path):
    with h5py.File(tmp_path / "grows.h5", "w") as file:
        file.create_dataset("conv1/kernel", (750_000_000,), "f4", chunks=(1 << 20,), compression="gzip")
    assert (tmp_path / "grows.h5").stat().st_size < 4096
    with pytest.raises(ValueError, match="claim to be 3,000,000,000 bytes of numbers"):
        tfdl.load_weights(network, tmp_path / "grows.h5")
    surplus = STATE | {f"surplus.{i}": np.zeros(1, "float32") for i in range(5000)}
    with pytest.raises(ValueError, match="4,988 more") as error:
        tfdl.load_weights(network, surplus)
    assert len(str(error.value)) < 1000
    with pytest.raises(ValueError, match="no model has more than 100,000") as error:
        tfdl.load_weights(network, dict.fromkeys(map(str, range(400_000)), np.zeros(1)))
    assert len(str(error.value)) < 200


def test_weights_of_colors_go_into_a_model_of_gray_images_on_request(network, tmp_path):
    (tmp_path / "densenet.pth").write_bytes(saved(STATE))
    options = dict(image_shape=(*IMAGE[:2], 1), normalize=None, weights=str(tmp_path / "densenet.pth"))
    with pytest.raises(ValueError, match=r"features.conv0.weight is \(16, 3, 7, 7\) and should be \(16, 1, 7, 7\)"):
        tfdl.build("densenet", "nano", **options)
    gray = tfdl.build("densenet", "nano", adapt_channels=True, **options)
    tfdl.load_weights(network, STATE)
    pixels = image()[..., :1]
    np.testing.assert_allclose(gray(pixels), network(np.repeat(pixels, 3, -1)), atol=1e-4)
