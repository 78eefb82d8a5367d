"""Files of PyTorch are read without PyTorch; what would run code in them does not, and damage is a sentence."""

import os
import struct
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import tfdl
from tfdl.data import images
from tfdl.interop.files.archives import read_arrays
from tfdl.interop.files.pickles import Tensor, Unknown
from tfdl.interop.files.torch_files import MAGIC, encoded, read_torch, torch_bytes


def program(path, instructions, records=()):
    """A file of PyTorch with this pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + instructions + b".")
        for name, content in records:
            archive.writestr(f"archive/{name}", content)
    return path


def text(value):
    return encoded(value, [])


def storage(kind, count):
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text("0") + text("cpu") + text(count) + b"tQ"


def tensor(kind, count, offset, shape, strides, function="_rebuild_tensor_v2"):
    parts = b"".join(encoded(part, []) for part in (offset, shape, strides, False))
    return f"ctorch._utils\n{function}\n(".encode() + storage(kind, count) + parts + b"ccollections\nOrderedDict\n)RtR"


def test_numbers_texts_and_containers_come_back(tmp_path):
    content = {"epoch": -3, "lr": 0.1, "name": "übung", "list": [1, (2, None), True], "a": np.ones((2, 0, 3), "int64")}
    (tmp_path / "w.pth").write_bytes(torch_bytes(content))
    found = read_torch(tmp_path / "w.pth")
    array = found.pop("a").array()
    assert array.shape == (2, 0, 3) and array.dtype == "int64"
    assert found == {name: value for name, value in content.items() if name != "a"}
    with pytest.raises(ValueError, match="cannot be written with a set in it"):
        torch_bytes({"a": {1}})
    with pytest.raises(ValueError, match="PyTorch has no uint64 numbers"):
        torch_bytes({"a": np.zeros(3, "uint64")})


def test_views_have_their_offset_and_strides(tmp_path):
    numbers = np.arange(12, dtype="<f4")
    file = program(tmp_path / "w.pth", tensor("FloatStorage", 12, 1, (2, 3), (1, 4)), [("data/0", numbers.tobytes())])
    np.testing.assert_array_equal(read_torch(file).array(), numbers[1:].reshape(-1)[[[0, 4, 8], [1, 5, 9]]])


def test_bfloat16_and_big_endian_numbers(tmp_path):
    halves = np.array([1.0, -2.5], "<f4").view("<u2")[1::2]
    file = program(tmp_path / "w.pth", tensor("BFloat16Storage", 2, 0, (2,), (1,)), [("data/0", halves.tobytes())])
    np.testing.assert_array_equal(read_torch(file).array(), np.array([1.0, -2.5], "float32"))
    records = [("data/0", np.array([1.0, -2.5], ">f4").tobytes()), ("byteorder", "big")]
    file = program(tmp_path / "w.pth", tensor("FloatStorage", 2, 0, (2,), (1,)), records)
    np.testing.assert_array_equal(read_torch(file).array(), np.array([1.0, -2.5], "float32"))


@pytest.mark.parametrize(
    "offset, shape, strides, message",
    [
        (0, (5,), (1,), r"shape \(5,\) has only 4 numbers"),
        (2, (3,), (1,), r"shape \(3,\) has only 4 numbers"),
        (0, (2, 2), (3, 1), "has only 4 numbers"),
        (0, (1000, 1000, 1000), (0, 0, 0), "has only 4 numbers"),
        (-1, (2,), (1,), "impossible tensor"),
        (0, (2,), (-1,), "impossible tensor"),
        (0, (2, 2), (1,), "impossible tensor"),
    ],
)
def test_tensor_never_reaches_beyond_its_numbers(offset, shape, strides, message, tmp_path):
    records = [("data/0", bytes(16))]
    program(tmp_path / "w.pth", b"}" + text("a") + tensor("FloatStorage", 4, offset, shape, strides) + b"s", records)
    with pytest.raises(ValueError, match=f"w.pth cannot be read as weights: .*{message}"):
        dict(read_arrays(tmp_path / "w.pth"))


def test_kinds_without_a_counterpart_in_numpy_are_refused_by_the_tensor_s_name(tmp_path):
    instructions = b"}" + text("layer.scale") + tensor("Float8_e4m3fnStorage", 4, 0, (4,), (1,)) + b"s"
    with pytest.raises(ValueError, match="its tensor layer.scale: it holds Float8_e4m3fnStorage numbers"):
        dict(read_arrays(program(tmp_path / "w.pth", instructions, [("data/0", bytes(4))])))


# --- nothing is run --------------------------------------------------------------------------------------------------


def test_functions_that_a_file_names_are_not_called(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "system", lambda command: pytest.fail("it was run"))
    monkeypatch.setattr("posix.system", lambda command: pytest.fail("it was run"), raising=False)
    call = b"(" + text("echo") + b"tR"
    for function in (b"cos\nsystem\n", b"cposix\nsystem\n", text("os") + text("system") + b"\x93"):
        assert isinstance(read_torch(program(tmp_path / "w.pth", function + call)), Unknown)
        with pytest.raises(ValueError, match="it holds a pickled system, not a dictionary of tensors"):
            read_arrays(tmp_path / "w.pth")


def test_objects_beside_the_weights_do_no_harm(tmp_path):
    namespace = b"cargparse\nNamespace\n)\x81}" + text("lr") + text(0.1) + b"sb"
    weights = text("state_dict") + b"}" + text("a") + tensor("FloatStorage", 2, 0, (2,), (1,)) + b"s"
    file = program(
        tmp_path / "w.pth", b"}(" + text("args") + namespace + weights + b"u", [("data/0", np.ones(2, "<f4").tobytes())]
    )
    assert read_torch(file)["args"] == Unknown("argparse.Namespace")
    np.testing.assert_array_equal(read_arrays(file)["a"], [1, 1])


@pytest.mark.parametrize(
    "instructions",
    [
        b"R",
        b"0",
        b"t",
        b"h\x07",
        b"}(" + text("a") + b"u" + b"00",
        b"]" + text(1) + b"R",
        text("x") + b"Q",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"\x82\x01",  # EXT1: a number for a class
        b"X\xff\xff\xff\x7fabc",  # a text that is shorter than it says
        b"\x8b\xff\xff\xff\x7f1",
        b"}" + b"(" * 3 + b"tt" + text(1) + b"s",
    ],
)
def test_damaged_program_is_one_sentence(instructions, tmp_path):
    with pytest.raises(ValueError, match=r"w.pth cannot be read as weights: [^\n]+\.$") as error:
        read_arrays(program(tmp_path / "w.pth", instructions))
    assert "weights_only" not in str(error.value)


def test_cut_off_files_are_told(tmp_path):
    whole = torch_bytes({"a": np.zeros(1000, "float32")})
    for size in (1, 3, len(whole) // 2, len(whole) - 9):
        (tmp_path / "w.pth").write_bytes(whole[:size])
        with pytest.raises(ValueError, match="w.pth cannot be read as weights: it (is cut off|does not begin as)"):
            read_arrays(tmp_path / "w.pth")
    damaged = bytearray(whole)
    damaged[damaged.find(bytes(1000)) + 500] ^= 1  # in a tensor's numbers, which the archive has a checksum of
    (tmp_path / "w.pth").write_bytes(damaged)
    with pytest.raises(ValueError, match="its tensor a: a record of its archive is damaged"):
        dict(read_arrays(tmp_path / "w.pth"))


def test_program_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tfdl.interop.files.pickles.LONGEST", 100)
    with pytest.raises(ValueError, match="more than 100 instructions, which no file of weights needs"):
        read_arrays(program(tmp_path / "w.pth", b"N0" * 60))


def test_storage_that_many_tensors_share_is_read_once(tmp_path, monkeypatch):
    pairs = b"".join(text(name) + tensor("FloatStorage", 4, i, (2,), (1,)) for i, name in enumerate("abc"))
    file = program(tmp_path / "w.pth", b"}(" + pairs + b"u", [("data/0", np.arange(4, dtype="<f4").tobytes())])
    arrays, reads = read_arrays(file), []
    whole = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *args: reads.append(args) or whole(*args))
    assert [arrays[name].tolist() for name in "abc"] == [[0, 1], [1, 2], [2, 3]] and len(reads) == 1


# --- before PyTorch 1.6 ----------------------------------------------------------------------------------------------


def old_file(path, content, numbers):
    """What PyTorch wrote before 1.6."""
    magic = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
    rest = [b"\x80\x02" + part + b"." for part in (text(1001), b"}", content, b"](" + text("0") + b"e")]
    path.write_bytes(magic + b"".join(rest) + struct.pack("<Q", len(numbers)) + numbers.tobytes())
    return path


def test_old_file_is_read_to_the_last_number(tmp_path):
    numbers = np.arange(6, dtype="<f4")
    content = b"}" + text("a") + tensor("FloatStorage", 6, 0, (2, 3), (3, 1), "_rebuild_tensor") + b"s"
    file = old_file(tmp_path / "w.th", content, numbers)
    np.testing.assert_array_equal(read_arrays(file)["a"], numbers.reshape(2, 3))
    whole = file.read_bytes()
    for size in (5, 20, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="w.th cannot be read as weights: it is (cut off|damaged)"):
            read_arrays(file)


# ---------------------------------------------------------------------------------------------------------------------


WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights"


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the trained weights are not beside this checkout")
def test_a_real_trained_resnet_gives_its_known_logits(capsys):
    golden = np.load(WEIGHTS / "resnet20_golden.npz")
    model = tfdl.build(
        "resnet", "cifar20_a", weights=WEIGHTS / "resnet20-12fca82f.th", image_shape=(32, 32, 3), normalize="imagenet"
    )
    assert "prefix 'module.' was taken off" in capsys.readouterr().out
    np.testing.assert_allclose(model(golden["images"] / np.float32(255)), golden["logits"], atol=1e-4)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the trained weights are not beside this checkout")
def test_it_finds_what_its_authors_say_and_in_int8_a_point_less_at_most(tmp_path):
    model = tfdl.build(
        "resnet", "cifar20_a", weights=WEIGHTS / "resnet20-12fca82f.th", image_shape=(32, 32, 3), normalize="imagenet"
    )
    data = images.load("cifar10", image_size=32, batch_size=500)
    model.compile(metrics=["accuracy"], loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    accuracy = model.evaluate(data.test, return_dict=True, verbose=0)["accuracy"]
    assert accuracy == pytest.approx(0.8118, abs=5e-5)  # of 10,000
    representative = next(iter(data.train))[0].numpy()
    tfdl.export_model(model, tmp_path / "files", formats=("tflite_int8",), representative=representative)
    phone = tfdl.load(tmp_path / "files" / "model_int8.tflite")
    pictures, labels = next(iter(data.test.unbatch().batch(2000)))
    found = np.argmax([answer.probabilities for answer in phone.predict(pictures.numpy())], axis=-1)
    assert np.mean(found == labels.numpy()) > accuracy - 0.01


@pytest.mark.parity
def test_pytorch_and_tfdl_read_each_other_s_files(tmp_path):
    torch = pytest.importorskip("torch", reason="the extra `parity` is not installed")
    arrays = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.array([True, False]), "c": np.ones((), "int64")}
    (tmp_path / "w.pth").write_bytes(torch_bytes({"state_dict": arrays, "epoch": 3}))
    theirs = torch.load(tmp_path / "w.pth", weights_only=True)
    assert theirs["epoch"] == 3
    assert all(np.array_equal(theirs["state_dict"][name].numpy(), array) for name, array in arrays.items())
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.arange(384.0).reshape(2, 3, 8, 8).sin()).square().sum().backward()
    optimizer.step()
    extra = {"t": torch.arange(12.0).reshape(3, 4).t(), "v": torch.arange(9)[2:5], "h": torch.ones(3).bfloat16()}
    for new in (True, False):
        content = {"state_dict": network.state_dict() | extra, "optimizer": optimizer.state_dict()}
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
        ours = read_arrays(tmp_path / "w.pth")
        assert ours.keys() == content["state_dict"].keys()
        for name, t in content["state_dict"].items():
            np.testing.assert_array_equal(ours[name], t.float().numpy(), name)
        assert isinstance(read_torch(tmp_path / "w.pth")["optimizer"]["state"][0]["exp_avg"], Tensor)
        torch.save(network, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
        with pytest.raises(ValueError, match="it holds a pickled Sequential, not a dictionary of tensors"):
            read_arrays(tmp_path / "w.pth")
