"""Files of weights: every kind is read, and what is damaged, foreign or dangerous is one sentence."""

import json
import struct
import zipfile

import h5py
import keras
import numpy as np
import pytest

from tfdl.interop.files.archives import read_arrays, write_arrays
from tfdl.interop.files.torch_files import torch_bytes

WEIGHTS = {"a.weight": np.arange(6, dtype="float32").reshape(2, 3), "a.bias": np.array([0.5, -1], "float32")}


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth", ".pt", ".bin"])
def test_what_is_written_is_read(suffix, tmp_path):
    write_arrays(tmp_path / f"w{suffix}", WEIGHTS)
    assert same(read_arrays(tmp_path / f"w{suffix}"), WEIGHTS)


# --- what trainers save ----------------------------------------------------------------------------------------------

OTHER = {name: array + 1 for name, array in WEIGHTS.items()}
CHECKPOINTS = {
    "w.pth": WEIGHTS,
    "w.th": {"state_dict": WEIGHTS, "best_prec1": 91.7},
    "model_best.pth.tar": {"epoch": 3, "arch": "resnet50", "state_dict": WEIGHTS, "optimizer": {"state": {}}},
    "last.ckpt": {"state_dict": WEIGHTS, "epoch": 1, "hyper_parameters": {"lr": 0.1}},
    "w.pt": {"model": {"state_dict": WEIGHTS}, "scores": [1.0, None, True]},
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoint_of_a_trainer_is_read(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(torch_bytes(CHECKPOINTS[name]))
    assert same(read_arrays(tmp_path / name), WEIGHTS)
    assert same(read_arrays(CHECKPOINTS[name]), WEIGHTS)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("network, average", [("model", "model_ema"), ("state_dict", "state_dict_ema")])
def test_of_weights_and_their_moving_average_the_choice_is_said(network, average, tmp_path, capsys):
    (tmp_path / "w.pth").write_bytes(torch_bytes({network: WEIGHTS, "epoch": 5, average: {"module": OTHER}}))
    assert same(read_arrays(tmp_path / "w.pth"), WEIGHTS)
    assert capsys.readouterr().out == (
        "The file also holds a moving average of the weights (EMA); ema=True loads that instead.\n"
    )
    assert same(read_arrays(tmp_path / "w.pth", ema=True), OTHER)


def test_checkpoint_without_weights_or_average_lists_its_keys(tmp_path):
    (tmp_path / "w.pth").write_bytes(torch_bytes({"epoch": 5, "loss": 0.1}))
    with pytest.raises(ValueError, match=r"w.pth cannot be .*no dictionary of tensors; its keys are epoch, loss\.$"):
        read_arrays(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(torch_bytes(WEIGHTS))
    with pytest.raises(ValueError, match="no moving average; its keys are a.weight, a.bias"):
        read_arrays(tmp_path / "w.pth", ema=True)


# --- several files ---------------------------------------------------------------------------------------------------


def shards(folder, kind, suffix):
    """A model in two files, as Hugging Face cuts large ones."""
    places = {"a.weight": f"{kind}-1-of-2{suffix}", "a.bias": f"{kind}-2-of-2{suffix}"}
    for name, file in places.items():
        write_arrays(folder / file, {name: WEIGHTS[name]})
    (folder / f"{kind}{suffix}.index.json").write_text(json.dumps({"weight_map": places}))
    return folder / f"{kind}{suffix}.index.json"


@pytest.mark.parametrize("kind, suffix", [("model", ".safetensors"), ("pytorch_model", ".bin")])
def test_index_and_its_folder_give_all_shards(kind, suffix, tmp_path):
    index = shards(tmp_path, kind, suffix)
    assert same(read_arrays(index), WEIGHTS) and same(read_arrays(tmp_path), WEIGHTS)
    (tmp_path / f"{kind}-2-of-2{suffix}").unlink()
    with pytest.raises(ValueError, match=f"index.json lists '{kind}-2-of-2{suffix}', which is no file beside it"):
        read_arrays(index)


def test_index_cannot_point_to_other_folders(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../secret.safetensors"}}')
    write_arrays(tmp_path.parent / "secret.safetensors", WEIGHTS)
    with pytest.raises(ValueError, match="lists '../secret.safetensors', which is no file beside it"):
        read_arrays(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(ValueError, match="is no index of weights"):
        read_arrays(tmp_path)


# --- kinds of numbers ------------------------------------------------------------------------------------------------


def safetensors_file(path, kind, content, shape):
    header = json.dumps({"a": {"dtype": kind, "shape": shape, "data_offsets": [0, len(content)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    return path


def test_bfloat16_becomes_float32_and_float8_is_refused_with_its_name(tmp_path):
    halves = np.array([1.0, -2.5], "float32").view("uint16")[1::2]  # the upper half of each number
    file = safetensors_file(tmp_path / "w.safetensors", "BF16", halves.tobytes(), [2])
    np.testing.assert_array_equal(read_arrays(file)["a"], np.array([1.0, -2.5], "float32"))
    safetensors_file(file, "F8_E4M3", b"ab", [2])
    with pytest.raises(ValueError, match="its tensor a holds F8_E4M3 numbers; save it as float32"):
        read_arrays(file)


# --- damaged, foreign, dangerous -------------------------------------------------------------------------------------


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_arrays(tmp_path / "w.npz")


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.h5", "w.keras", "w.pth", "w.ckpt"])
def test_damaged_file_is_one_sentence(name, tmp_path):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(ValueError, match=rf"{name} cannot be read as weights: .*[^.]\.$"):
        read_arrays(tmp_path / name)


def test_missing_file_and_unknown_suffix(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights file"):
        read_arrays(tmp_path / "w.npz")
    (tmp_path / "w.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match="w.pkl is no weights file"):
        read_arrays(tmp_path / "w.pkl")
    with pytest.raises(ValueError, match="does not write weights to w.pkl"):
        write_arrays(tmp_path / "w.pkl", {})
    with pytest.raises(ValueError, match="LAYER/VARIABLE names, not 'features.0.weight'"):
        write_arrays(tmp_path / "w.h5", {"features.0.weight": np.zeros(3)})


def test_pointer_of_git_lfs_is_told(tmp_path):
    (tmp_path / "w.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ValueError, match="only stands for a file that git keeps elsewhere; fetch it with git lfs pull"):
        read_arrays(tmp_path / "w.pth")


@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_hdf5_data_of_other_files_are_refused(kind, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(48))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(6)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        if kind == "external":
            file.create_dataset("a/kernel", (6,), "f8", external=[(str(tmp_path / "secret"), 0, 48)])
        else:
            layout = h5py.VirtualLayout((6,), "f8")
            layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (6,))
            file.create_virtual_dataset("a/kernel", layout)
    with pytest.raises(ValueError, match="cannot be read as weights: its a/kernel lies in another file"):
        read_arrays(tmp_path / "w.h5")


def test_hdf5_links_to_other_files_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["kernel"] = np.zeros(6)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["a/kernel"] = h5py.ExternalLink("other.h5", "kernel")
    assert read_arrays(tmp_path / "w.h5") == {}


def test_small_file_that_would_fill_the_memory_is_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("a/kernel", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")
    with pytest.raises(ValueError, match="bytes claim to be 4,398,046,511,104 bytes of numbers"):
        read_arrays(tmp_path / "w.h5")
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(ValueError, match="record 'data.pkl' is compressed, which PyTorch never does"):
        read_arrays(tmp_path / "w.pth")


def test_small_archives_that_would_fill_the_memory_are_refused(tmp_path):
    for name, record in {"w.npz": "a.npy", "w.keras": "model.weights.h5"}.items():
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(record, "w") as file:
            for _ in range(80):
                file.write(bytes(1_000_000))
        with pytest.raises(ValueError, match="bytes claim to be 80,000,000 bytes of numbers"):
            read_arrays(tmp_path / name)
    with h5py.File(tmp_path / "w.h5", "w") as file:  # a chunk is unpacked as a whole for a single number of it
        file.create_dataset("a/kernel", (8,), "f4", maxshape=(None,), chunks=(1 << 25,), compression="gzip")
    with pytest.raises(ValueError, match="bytes claim to be 134,217,728 bytes of numbers"):
        read_arrays(tmp_path / "w.h5")


def test_claims_beyond_the_file_are_refused_when_it_is_opened(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive, archive.open("a.npy", "w") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 38,)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match="its a.npy does not hold the 274,877,906,944 numbers that it claims"):
        read_arrays(tmp_path / "w.npz")
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    with pytest.raises(ValueError, match="w.safetensors cannot be read as weights"):
        read_arrays(tmp_path / "w.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth", ".h5"])
def test_shapes_are_known_before_any_number_is_read(suffix, tmp_path):
    arrays = {"a/kernel": np.arange(6, dtype="float32").reshape(2, 3), "b/bias": np.zeros(5, "float16")}
    write_arrays(tmp_path / f"w{suffix}", arrays)
    found = read_arrays(tmp_path / f"w{suffix}")
    found.read = lambda name: pytest.fail(f"{name} was read")
    assert found.shapes == {"a/kernel": (2, 3), "b/bias": (5,)} and len(found) == 2 and "c" not in found
    assert same(read_arrays(tmp_path / f"w{suffix}"), arrays)


def test_more_or_longer_names_than_any_model_has_are_one_short_sentence():
    with pytest.raises(ValueError, match="^there are 100,001 arrays, and no model has more than 100,000$"):
        read_arrays(dict.fromkeys(map(str, range(100_001)), np.zeros(1)))
    with pytest.raises(ValueError, match="^one of the names has 1,000,000 characters, and no weight's has more than"):
        read_arrays({"a" * 1_000_000: np.zeros(1)})
    with pytest.raises(ValueError, match="^names of weights are texts, and one of these is the int 3$"):
        read_arrays({3: np.zeros(1)})


def test_a_keras_file_that_hides_where_its_layers_sit_is_refused(tmp_path):
    blocks = [keras.Sequential([keras.layers.Dense(3, name="query")], name=name) for name in "ab"]
    keras.Sequential([keras.Input((3,)), *blocks]).save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="several layers called 'query'.*w.path"):
        read_arrays(tmp_path / "w.weights.h5")
