"""What a stranger could send is answered in one sentence: nothing is lost, touched outside or filled with zeros.

Each is made here by the means of an outsider: NumPy, zipfile, h5py, the operating system.
"""

import io
import json
import os
import re
import shutil
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

import tfdl
from tests import forked
from tests.inference.trained import made, picture
from tfdl.__main__ import main
from tfdl.core.errors import explains_itself, sentence
from tfdl.core.files import checksums, refuse_links, write_json
from tfdl.data import folders
from tfdl.data.images import load
from tfdl.export.verify import digest
from tfdl.session.compare import is_result
from tfdl.session.limits import check_flags
from tfdl.train import checkpoints
from tfdl.train.callback_state import restore_states, states
from tfdl.train.callbacks import best_of, read_rows

# --- weights: all or none --------------------------------------------------------------------------------------------

KINDS = (".safetensors", ".npz", ".h5", ".keras", ".pth")
DAMAGES = {
    "nothing": lambda content, rng: b"",
    "no weights": lambda content, rng: b"<html>404</html>",
    "zeros": lambda content, rng: bytes(len(content)),
    "noise": lambda content, rng: rng.bytes(len(content)),
    "cut": lambda content, rng: content[: rng.integers(len(content))],
    "longer": lambda content, rng: content + rng.bytes(100),
    "a byte": lambda content, rng: changed(content, rng.integers(len(content)), rng),
    "a byte of the beginning": lambda content, rng: changed(content, rng.integers(200), rng),
    "a byte of the end": lambda content, rng: changed(content, len(content) - 1 - rng.integers(200), rng),
    "a part": lambda content, rng: content[:500] + rng.bytes(300) + content[800:],
}
ONCE = ("nothing", "no weights", "zeros", "longer", "a part")


def changed(content, place, rng):
    return content[:place] + bytes([content[place] ^ rng.integers(1, 256)]) + content[place + 1 :]


@pytest.fixture(scope="module")
def network():
    return tfdl.build("lenet", "nano", image_shape=(16, 16, 1), num_classes=3)


@pytest.fixture(scope="module")
def sound(network, tmp_path_factory):
    """Suffix -> the content of a good file of the network's weights."""
    folder = tmp_path_factory.mktemp("sound")
    for kind in KINDS:
        file = folder / f"weights{kind}"
        network.save(file) if kind == ".keras" else tfdl.save_weights(network, file)
    return {kind: (folder / f"weights{kind}").read_bytes() for kind in KINDS}


def all_or_none(model, source):
    """Loads; returns the sentence of a refusal, after which every weight is what it was, or None."""
    fresh = [np.full(weight.shape, 0.25, "float32") for weight in model.weights]
    model.set_weights(fresh)
    try:
        tfdl.load_weights(model, source)
    except ValueError as error:
        assert explains_itself(error) and len(sentence(error)) < 3000
        assert "weights_only" not in str(error)
        for weight, value in zip(model.get_weights(), fresh, strict=True):
            np.testing.assert_array_equal(weight, value)
        return sentence(error)
    for weight in model.get_weights():
        assert np.isfinite(weight).all() and not (weight == 0.25).all(), "some are loaded and some are not"
    return None


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_changes_no_weight(network, sound, tmp_path, kind, damage):
    rng = np.random.default_rng(sorted(DAMAGES).index(damage))
    file = tmp_path / f"weights{kind}"
    for _ in range(1 if damage in ONCE else 8):
        file.write_bytes(DAMAGES[damage](sound[kind], rng))
        refused = all_or_none(network, file)
        assert refused or damage in ("longer", "a part") or damage.startswith("a byte")  # which may be of a number


def test_a_sound_file_changes_every_weight(network, sound, tmp_path):
    for kind, content in sound.items():
        (tmp_path / f"weights{kind}").write_bytes(content)
        assert all_or_none(network, tmp_path / f"weights{kind}") is None


WRONG = {
    "missing": lambda arrays, name: {key: array for key, array in arrays.items() if key != name},
    "surplus": lambda arrays, name: arrays | {"surplus": arrays[name]},
    "many": lambda arrays, name: arrays | {f"{i:0100}": arrays[name] for i in range(1000)},
    "of another shape": lambda arrays, name: arrays | {name: arrays[name][..., None]},
    "a text": lambda arrays, name: arrays | {name: np.array("x")},
    "complex": lambda arrays, name: arrays | {name: arrays[name] + 1j},
    "NaN": lambda arrays, name: arrays | {name: arrays[name] * np.nan},
    "infinite": lambda arrays, name: arrays | {name: arrays[name] + np.inf},
    "too large for float32": lambda arrays, name: arrays | {name: np.full_like(arrays[name], 1e300, "float64")},
    "objects": lambda arrays, name: arrays | {name: np.array([{}], object)},
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("place", [0, -1])
def test_one_wrong_tensor_changes_no_weight(network, tmp_path, wrong, place):
    arrays = {weight.path: np.ones(weight.shape, "float32") for weight in network.weights}
    arrays = WRONG[wrong](arrays, network.weights[place].path)
    np.savez(tmp_path / "weights.npz", **arrays)  # pickles the objects
    assert all_or_none(network, tmp_path / "weights.npz")
    if wrong != "objects":
        assert all_or_none(network, arrays)


# --- memory ----------------------------------------------------------------------------------------------------------


def rebuilt(content, change=lambda name, part: part, **options):
    """A zip archive again, with changed members."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w", **options) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target.getvalue()


def giant(name, part):
    """config.json of a network with six million units."""
    return part.replace(b'"units": 3,', b'"units": 6000000,') if name == "config.json" else part


def bomb(name, part):
    """A quarter of a gigabyte of zeros in the place of the weights."""
    return bytes(2**28) if name.endswith(".h5") else part


def claims(name, part):
    """An HDF5 file of two kilobytes whose one data set has a terabyte."""
    if not name.endswith(".h5"):
        return part
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset("layers/dense/vars/0", (2**19, 2**19), "float32", chunks=(2**10, 2**10))
    return file.getvalue()


@pytest.mark.parametrize(
    "change, words",
    [(giant, "weights, but only"), (bomb, "claim to be"), (claims, "claim to be")],
    ids=["six million units", "zip bomb", "HDF5 bomb"],
)
def test_a_model_file_that_would_fill_the_memory_is_refused(sound, tmp_path, change, words):
    content = rebuilt(sound[".keras"], change, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    (tmp_path / "model.keras").write_bytes(content)
    del content
    Path("/proc/self/clear_refs").write_text("5")  # the largest size so far begins anew
    before = largest_size()
    with pytest.raises(ValueError, match=words) as caught:
        tfdl.load_model(tmp_path / "model.keras")
    grown = largest_size() - before
    assert explains_itself(caught.value) and grown < 150_000, f"{grown:,} KiB more than before"


def largest_size():
    """KiB of memory that this process has had at most."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def test_a_picture_that_would_fill_the_memory_is_named(tmp_path, capsys):
    """A few bytes of PNG claim 20,000 x 20,000 pixels, which are 1.2 GB."""
    photos = folder_of_photos(tmp_path)
    (photos / "cat" / "bomb.png").write_bytes(png(20_000, 20_000))
    with pytest.raises(
        ValueError, match=r"bomb\.png cannot be decoded \(it claims to have more than 178,956,970 pixels"
    ):
        load(f"folder:{photos}", image_size=8, batch_size=4)
    assert main(["predict", str(made()[1]), str(photos / "cat" / "bomb.png")]) == 2
    assert "it claims to have more than 178,956,970 pixels; make it smaller" in capsys.readouterr().err


def png(width, height):
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000)))]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# --- links and pipes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["task.json", "checkpoints", "checkpoints/best/model.keras", "export/report.json", "export/saved_model/variables"],
)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_answers_come_from_inside_the_folder(tmp_path, capsys, name, kind):
    run = shutil.copytree(made()[1], tmp_path / "run")
    (run / name).rename(tmp_path / "outside")
    (run / name).symlink_to(tmp_path / "outside") if kind == "link" else os.mkfifo(run / name)
    Image.fromarray(picture(3)[..., 0]).save(tmp_path / "digit.png")
    source = run / "export" / "saved_model" if "saved_model" in name else run
    assert main(["predict", str(source), str(tmp_path / "digit.png")]) == 2
    error = capsys.readouterr().err
    what = "a symbolic link" if kind == "link" else "a pipe or a device"
    assert f"{name} is {what}" in error or (kind == "pipe" and "holds no model" in error)
    assert error.count("\n") == 1


def test_a_pipe_is_no_model(tmp_path, capsys):
    for name in ("a.keras", "a.tflite"):
        os.mkfifo(tmp_path / name)
        assert main(["predict", str(tmp_path / name), str(tmp_path / "digit.png")]) == 2
        assert f"{name} is a pipe or a device; give a file." in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="There is no file"):
        tfdl.load_model(tmp_path / "a.keras")


def test_a_probe_that_would_fill_the_memory_is_a_mismatch(tmp_path, capsys):
    """The checksums are of the same stranger."""
    export = shutil.copytree(made()[1] / "export", tmp_path / "export")
    np.savez_compressed(export / "probe.npz", **{"inputs/images": np.zeros(2**26, "float32")})
    report = json.loads((export / "report.json").read_text())
    report["files"]["probe.npz"] = checksums(export)["probe.npz"]
    report["digest"] = digest(report)
    write_json(export / "report.json", report)
    assert main(["verify", str(export)]) == 1
    error = capsys.readouterr().err
    assert "probe.npz: cannot be read (ValueError: its " in error and "claim to be 268," in error


def test_links_beside_what_is_asked_for_are_left_alone(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "latest").symlink_to("here")  # as trackers leave them
    refuse_links(tmp_path, "here", "nowhere/at/all")
    with pytest.raises(ValueError, match="latest is a symbolic link"):
        refuse_links(tmp_path, "latest/below")


@pytest.mark.parametrize("name", ["export", "summary.json"])
def test_a_run_whose_parts_are_links_is_not_published(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made()[1] / "export", "run/export")
    write_json(tmp_path / "run" / "summary.json", {"name": "x", "command": "tfdl run a", "metrics": {}, "commit": None})
    (tmp_path / "run" / name).rename(tmp_path / "outside")
    (tmp_path / "run" / name).symlink_to(tmp_path / "outside")
    assert main(["publish", "run"]) == 2
    assert f"run/{name} is a symbolic link" in capsys.readouterr().err
    assert not (tmp_path / "saved_models").exists()


def folder_of_photos(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (9, 7), (40 * number, 9, 9)).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


def test_a_pipe_among_the_pictures_is_passed_over(tmp_path, capfd):
    photos = folder_of_photos(tmp_path)
    os.mkfifo(photos / "cat" / "pipe.png")
    _, splits = folders.read(photos)
    assert sum(len(paths) for paths, _ in splits.values()) == 12
    assert "1 pipes or links that lead to no file" in capfd.readouterr().err


def test_names_of_pictures_need_not_be_text(tmp_path):
    photos = folder_of_photos(tmp_path)
    os.rename(photos / "cat" / "0.png", os.fsencode(photos / "cat") + b"/\xff\n\x1b[2J.png")
    data = load(f"folder:{photos}", image_size=8, batch_size=4)
    assert sum(data.counts.values()) == 12
    done = forked.tfdl("predict", made()[1], photos, "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 12 and any(row["path"].endswith("\udcff\n\x1b[2J.png") for row in rows)


def test_names_of_classes_and_flags_are_text(tmp_path):
    photos = folder_of_photos(tmp_path)
    os.rename(photos / "cat", os.fsencode(photos) + b"/c\xff")
    with pytest.raises(ValueError, match=r"class folder 'c\\udcff' of .* has a name that is no text of one line"):
        folders.read(photos)
    with pytest.raises(ValueError, match=r"--data is 'folder:\\udcff'; give a text"):
        check_flags({"data": "folder:\udcff"})
    check_flags({"data": "folder:Grüße/می‌خواهم"})


def test_json_keeps_a_name_that_is_no_text(tmp_path):
    write_json(tmp_path / "a.json", {"path": "\udcff é"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"path": "\udcff é"}


# --- run folders -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def forged(folder, model, change=lambda tensors: tensors, **header):
    """A checkpoint with a right digest, whatever it says."""
    tensors = change({name: np.asarray(v.numpy()) for name, v in checkpoints.state(model).items()})
    facts = {"epoch": "1", "step": "0", "seconds": "1.0", "callbacks": "[]"} | header
    facts = {name: text for name, text in facts.items() if text is not None}
    content = safetensors.numpy.save(tensors, metadata=facts | {"sha256": checkpoints.digest(tensors, facts)})
    path = folder / "step_0000000009.safetensors"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "header",
    [
        {"epoch": "-5"},
        {"epoch": "1.5"},
        {"epoch": '"1"'},
        {"epoch": "true"},
        {"epoch": "1e400"},
        {"epoch": "9" * 40},
        {"epoch": "[" * 10**5},
        {"epoch": None},
        {"step": "-1"},
        {"step": "{}"},
        {"seconds": "NaN"},
        {"seconds": "Infinity"},
        {"seconds": "null"},
        {"callbacks": "5"},
        {"callbacks": "{}"},
        {"callbacks": "[5]"},
        {"callbacks": '[{"class": 1, "state": {}, "unsaved": []}]'},
    ],
    ids=str,
)
def test_a_forged_checkpoint_is_damaged(compiled, tmp_path, header):
    path = forged(tmp_path, compiled, **header)
    with pytest.raises(ValueError, match=f"The checkpoint {path} is damaged") as caught:
        checkpoints.read(path)
    assert len(str(caught.value)) < 1000
    with warnings.catch_warnings(record=True), pytest.raises(FileNotFoundError, match="all of them are damaged"):
        checkpoints.read_newest(tmp_path)


def test_a_checkpoint_without_a_header_is_damaged(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "step_1.safetensors")
    with pytest.raises(ValueError, match="is damaged"):
        checkpoints.read(tmp_path / "step_1.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors | {"model/00001": tensors["model/00001"].astype("int32")},
        lambda tensors: tensors | {"model/00001": np.zeros((7,), "float32")},
        lambda tensors: tensors | {"x" * 10**6: np.zeros(1)},
        lambda tensors: {name: value for name, value in tensors.items() if name != "seed/00000"},
    ],
    ids=["type", "shape", "surplus", "missing"],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing(compiled, tmp_path, change):
    before = {name: np.asarray(v.numpy()) for name, v in checkpoints.state(compiled).items()}
    other = lambda tensors: change({name: np.asarray(value + 1) for name, value in tensors.items()})  # noqa: E731
    with pytest.raises(ValueError, match="does not fit this model") as caught:
        checkpoints.restore(compiled, checkpoints.read(forged(tmp_path, compiled, other)))
    assert len(str(caught.value)) < 2000
    for name, variable in checkpoints.state(compiled).items():
        np.testing.assert_array_equal(variable.numpy(), before[name])


def test_a_checkpoint_does_not_choose_which_file_a_callback_writes():
    class Notes(keras.callbacks.Callback):
        def __init__(self, file):
            super().__init__()
            self.file, self.count = file, 0

    (saved,) = states([Notes("notes.txt")])
    mine = Notes("notes.txt")
    restore_states([mine], [saved | {"state": saved["state"] | {"count": 3}}])
    assert mine.count == 3
    for state in ({"file": "diary.txt"}, {"file": 5}, {"on_epoch_end": 5}):
        with pytest.raises(ValueError, match="The callback Notes was saved with .* give it the same"):
            restore_states([mine], [saved | {"state": saved["state"] | state}])


@pytest.mark.parametrize(
    "content", [{"value": "x", "epoch": 1}, {"value": 0.5}, {"value": 0.5, "epoch": -5}, {"value": 10**400, "epoch": 0}]
)
def test_an_odd_best_epoch_is_none(content):
    with pytest.warns(UserWarning, match="best.json holds no value and epoch"):
        assert best_of(content) == (None, None)


def test_rows_of_anything_but_numbers_are_left_out(tmp_path):
    rows = [
        {"epoch": 0, "loss": 1.5},
        {"epoch": -5},
        {"epoch": 1, "loss": "x"},
        {"epoch": True},
        {"epoch": 10**30},
        [],
        5,
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n" + "[" * 10**5 + '\n{"epoch": 2')
    assert read_rows(tmp_path / "metrics.jsonl") == rows[:1]


def test_results_of_another_form_are_no_results():
    known = {"epochs": 2, "history": [{"epoch": 0, "loss": 1.0}], "metrics": {"test_loss": 1.0}, "seconds": 3.5}
    assert is_result(known)
    for odd in (
        {"history": []},
        {"history": [5]},
        {"metrics": []},
        {"metrics": {"a": "b"}},
        {"seconds": None},
        {"x": 1},
    ):
        assert not is_result(known | odd)
    assert not is_result({})
