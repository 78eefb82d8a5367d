"""`tfdl export`: what it makes of .keras files and run folders, and one sentence where it cannot."""

import json
import sys

import keras
import numpy as np
import pytest

import tfdl
from tfdl.__main__ import main
from tfdl.commands import export
from tfdl.core.task import Task
from tfdl.data import images
from tfdl.export import exporter


def small(shape=(8, 10, 1), classes=3, **options):
    x = keras.Input(shape, name="images")
    return keras.Model(x, keras.layers.Dense(classes, name="logits")(keras.layers.Flatten()(x)), **options)


def saved(model, folder):
    model.save(folder / "model.keras")
    return str(folder / "model.keras")


def refused(capsys, *words):
    """The sentence with which the command ends."""
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on digits, with its task."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "checkpoints" / "best").mkdir(parents=True)
    saved(small((8, 8, 1), 10), folder / "checkpoints" / "best")
    (folder / "config.json").write_text('{"data": "digits", "run.seed": 0}')
    task = Task(labels=tuple("0123456789"), image_shape=(8, 8, 1))
    (folder / "task.json").write_text(json.dumps(task.to_json()))
    return folder


def test_a_run_folder_gives_every_format_with_its_labels_and_its_task(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "out"), "--softmax"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["artifacts"]) == 5 and report["softmax"]
    assert report["labels"] == list("0123456789") == report["task"]["labels"]
    out = capsys.readouterr().out
    assert "model_uint8.tflite" in out and f"`tfdl verify {tmp_path / 'out'}` checks the files again" in out


def test_another_range_of_pixels_keeps_the_labels_of_the_run(run, tmp_path):
    formats = ["--formats", "tflite"]
    assert main(["export", str(run), str(tmp_path / "out"), "--input-range", "0", "255", *formats]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["labels"] == list("0123456789") and report["task"]["input_range"] == [0, 255]


def test_the_files_are_calibrated_and_judged_on_validation_images(run):
    model = small((8, 8, 1), 10)
    found = np.concatenate(list(export.representative("digits", model).as_numpy_iterator()))
    data = images.load("digits", image_size=(8, 8), channels=1, batch_size=32)
    expected = np.concatenate([pictures for pictures, _ in data.validation.take(8).as_numpy_iterator()])
    np.testing.assert_array_equal(found, expected)
    wider = np.concatenate(list(export.representative("digits", model, (-1.0, 1.0)).as_numpy_iterator()))
    np.testing.assert_allclose(wider, 2 * expected - 1, atol=1e-6)


def test_a_calibration_set_brings_no_labels(tmp_path):
    file = saved(small((8, 8, 1), 3), tmp_path)
    formats = ["--formats", "tflite_int8"]
    assert main(["export", file, str(tmp_path / "out"), "--representative", "digits", *formats]) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["labels"] is None


def test_flags_reach_a_model_with_several_entry_points(tmp_path, monkeypatch):
    """Its formats are its own: what is not asked for is left to it."""
    (tmp_path / "model.keras").touch()
    model, seen = small(), {}
    model.signatures = lambda: {}
    monkeypatch.setattr(export, "load", lambda file: model)
    monkeypatch.setattr(export, "show", lambda report, file, folder: 0)
    monkeypatch.setattr(tfdl, "export_model", lambda model, folder, **options: seen.update(options))
    words = ["export", str(tmp_path / "model.keras"), str(tmp_path / "out")]
    assert main(words) == 0
    absent = dict.fromkeys(("formats", "input_range", "task", "tokenizer", "more"))
    assert seen == absent | {"softmax": False, "batch_size": 1, "sizes": {}}
    assert main([*words, "--formats", "tflite_dynamic", "--size", "length=5", "--batch-size", "3", "--softmax"]) == 0
    assert seen["formats"] == ["tflite_dynamic"] and seen["sizes"] == {"length": 5}
    assert seen["batch_size"] == 3 and seen["softmax"]


def test_a_sequential_model_is_exported(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert main(["export", saved(model, tmp_path), str(tmp_path / "out"), "--formats", "tflite"]) == 0


def test_a_table_has_no_pictures_to_calibrate_with(tmp_path, capsys):
    x = keras.Input((4,), name="table")
    file = saved(keras.Model(x, keras.layers.Dense(3)(x), name="iris"), tmp_path)
    error = refused(capsys, file, str(tmp_path / "out"), "--representative", "digits")
    assert "names a set of pictures, but 'iris' takes (None, 4)" in error
    assert not (tmp_path / "out").exists()


def test_a_model_of_any_size_cannot_be_calibrated(tmp_path, capsys):
    x = keras.Input((None, None, 3), name="images")
    file = saved(keras.Model(x, keras.layers.GlobalAveragePooling2D()(x)), tmp_path)
    error = refused(capsys, file, str(tmp_path / "out"), "--representative", "digits")
    assert "takes (None, None, None, 3)" in error


def test_a_lambda_is_refused_without_the_advice_to_run_it(tmp_path, capsys):
    x = keras.Input((4,))
    file = saved(keras.Model(x, keras.layers.Lambda(lambda y: 2 * y)(x)), tmp_path)
    error = refused(capsys, file, str(tmp_path / "out"))
    assert "has a Lambda layer, whose Python code is not run" in error and "safe_mode" not in error


OWN = """
import keras

@keras.saving.register_keras_serializable("mine")
class Doubling(keras.layers.Dense):
    def call(self, x):
        return 2 * super().call(x)
"""


def test_a_layer_of_the_users_own_is_imported_on_request(tmp_path, capsys, monkeypatch):
    (tmp_path / "my_own_layers.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__("my_own_layers")
    x = keras.Input((4,))
    file = saved(keras.Model(x, module.Doubling(3)(x)), tmp_path)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("my_own_layers")
    keras.saving.get_custom_objects().pop("mine>Doubling")  # as in a new process
    error = refused(capsys, file, "out")
    assert "needs the class Doubling, which is not Keras's; give --import MODULE" in error
    formats = ["--formats", "tflite"]
    assert main(["export", file, "out", "--import", "my_own_layers", *formats]) == 0
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    "words, message",
    [
        (["--import", "no_such_module"], "there is no module 'no_such_module'"),
        (["--import", "os; import x"], "is no module's name"),
        (["--formats", "onnx"], "There is no format 'onnx'; choose from savedmodel"),
        (["--formats", "tflite_int8"], "tflite_int8 needs --representative DATASET"),
        (["--formats", "tflite", "--input-range", "1", "0"], "goes from a smaller to a larger number"),
        (["--formats", "tflite", "--input-range", "nan", "1"], "goes from a smaller to a larger number"),
        (["--representative", "no_such_set"], "no_such_set"),
    ],
)
def test_wrong_flags_are_one_sentence(tmp_path, capsys, words, message):
    file = saved(small(), tmp_path)
    assert message in refused(capsys, file, str(tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"no zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_model_is_refused(tmp_path, capsys, content):
    (tmp_path / "model.keras").write_bytes(content)
    assert "is not a Keras model" in refused(capsys, str(tmp_path / "model.keras"), str(tmp_path / "out"))


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("config.json", "[]", "config.json contains a list instead of a dict"),
        ("config.json", "{", "config.json is not valid JSON"),
        ("config.json", "[" * 100_000, "config.json is not valid JSON"),
        ("config.json", '{"data": 5}', "names the data 5, which is no name"),
        ("task.json", "[]", "task.json is damaged"),
        ("task.json", '{"kind": "magic"}', "task.json is damaged"),
        ("task.json", '{"labels": 3}', "task.json is damaged"),
    ],
)
def test_a_damaged_run_folder_is_one_sentence(run, tmp_path, capsys, file, content, message):
    copy = tmp_path / "run"
    (copy / "checkpoints" / "best").mkdir(parents=True)
    (copy / "checkpoints" / "best" / "model.keras").hardlink_to(run / "checkpoints" / "best" / "model.keras")
    (copy / file).write_text(content)
    assert message in refused(capsys, str(copy), str(tmp_path / "out"))


@pytest.mark.parametrize("data", ["folder:/photos", "/etc", "../x", "photos/", "a\nb"])
def test_a_run_does_not_choose_which_folder_of_this_machine_is_read(tmp_path, capsys, data):
    (tmp_path / "config.json").write_text(json.dumps({"data": data}))
    assert export.trained_on(tmp_path) is None
    assert "give it as --representative" in capsys.readouterr().out


def test_export_knows_every_format_and_the_set_that_a_run_was_trained_on(run, tmp_path):
    assert export.FORMATS == exporter.FORMATS and export.MORE == exporter.MORE
    assert set(export.CALIBRATED) == set(exporter.INTEGERS)
    assert export.trained_on(tmp_path) is None and export.trained_on(run) == "digits"
    (tmp_path / "config.json").write_text('{"data": "mnist:3.0.1"}')
    assert export.trained_on(tmp_path) == "mnist:3.0.1"
    assert export.model_file(run) == run / "checkpoints" / "best" / "model.keras"
    assert export.model_file(export.model_file(run)) == export.model_file(run)
