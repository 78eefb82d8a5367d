import json

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core.files import checksums, sha256
from tfdl.export.exporter import export_model
from tfdl.export.parity import ExportError
from tfdl.export.verify import digest, verify_export


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def edit(folder, change, *, signed=True):
    """Changes report.json with `change(report)`; a careful forger signs it again."""
    report = json.loads((folder / "report.json").read_text())
    change(report)
    if signed:
        report["digest"] = digest(report)
    (folder / "report.json").write_text(json.dumps(report))


def resign(folder, file):
    """Writes the damaged file's checksum into the report, as a careful forger would."""
    path = folder / file
    row = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    edit(folder, lambda report: report["files"].update({file: row}))


def test_untouched_export_passes(copied):
    result = verify_export(copied)
    assert set(result["files"].values()) == {"ok"} and "saved_model/saved_model.pb" in result["files"]
    assert set(result["artifacts"]) == {
        "saved_model",
        "model.tflite",
        "model_float16.tflite",
        "model_int8.tflite",
        "model_uint8.tflite",
    }
    assert all(row["own_noise"] < 1e-3 for row in result["artifacts"].values())


@pytest.mark.parametrize("file", ["model_int8.tflite", "labels.txt", "saved_model/saved_model.pb"])
def test_one_flipped_byte_is_found(copied, file):
    flip(copied / file, 3)
    with pytest.raises(ExportError, match=rf"{file}: has another sha256"):
        verify_export(copied)


def test_every_mismatch_is_listed(copied):
    content = (copied / "model.tflite").read_bytes()
    (copied / "model.tflite").write_bytes(content[: len(content) // 2])
    (copied / "labels.txt").unlink()
    with pytest.raises(ExportError) as error:
        verify_export(copied)
    text = str(error.value)
    assert f"model.tflite: has {len(content) // 2} bytes instead of {len(content)}" in text
    assert "model.tflite: cannot be run" in text
    assert "labels.txt: is missing" in text


def test_another_models_file_is_found_even_if_its_checksum_was_rewritten(copied, tiny, tmp_path):
    export_model(tiny(), tmp_path / "other", formats=("tflite",), progress=None)
    (copied / "model.tflite").write_bytes((tmp_path / "other" / "model.tflite").read_bytes())
    resign(copied, "model.tflite")
    with pytest.raises(ExportError, match=r"model.tflite: against the live model, difference"):
        verify_export(copied)


@pytest.mark.parametrize("key", ["live/logits", "model.tflite/logits", "model_int8.tflite/logits", "inputs/images"])
def test_changed_probe_is_found_even_if_its_checksum_was_rewritten(copied, key):
    with np.load(copied / "probe.npz") as stored:
        arrays = dict(stored)
    arrays[key] = arrays[key] + 1.0
    np.savez(copied / "probe.npz", **arrays)
    with pytest.raises(ExportError, match=r"probe.npz: (has|is)"):
        verify_export(copied)
    resign(copied, "probe.npz")
    words = "against its own outputs" if ".tflite" in key else "against the live model"
    with pytest.raises(ExportError, match=words):
        verify_export(copied)


def test_no_other_file_or_link_may_lie_in_an_export(copied, tmp_path):
    (copied / "saved_model" / "assets").mkdir(exist_ok=True)
    verify_export(copied)
    (copied / "saved_model" / "assets" / "notes.txt").write_text("hello")
    (tmp_path / "secret").write_text("secret")
    (copied / "link").symlink_to(tmp_path / "secret")
    content = (copied / "labels.txt").read_bytes()
    (copied / "labels.txt").unlink()
    (tmp_path / "labels").write_bytes(content)
    (copied / "labels.txt").symlink_to(tmp_path / "labels")
    with pytest.raises(ExportError) as error:
        verify_export(copied)
    text = str(error.value)
    assert "'saved_model/assets/notes.txt' was not exported" in text
    assert "'link' is a symbolic link" in text and "'labels.txt' is a symbolic link" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report["labels"].reverse(),
        lambda report: report.update(labels=None),
        lambda report: report.update(parameters=1),
        lambda report: report["artifacts"]["model.tflite"].update(difference=0.0),
        lambda report: report["task"].update(resize="pad"),
        lambda report: report.pop("digest"),
        lambda report: report.update(schema=1),
    ],
)
def test_an_edited_report_is_found(copied, change):
    edit(copied, change, signed=False)
    with pytest.raises(ExportError, match=r"report\.json was changed after the export"):
        verify_export(copied)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda report: report["labels"].reverse(), "labels.txt does not have the labels"),
        (lambda report: report.update(labels=None), "labels.txt and the labels in report.json do not belong together"),
        (lambda report: report["task"]["labels"].reverse(), "the task in report.json has other labels"),
        (lambda report: report["task"].update(kind="magic"), "the task in report.json is damaged"),
        (lambda report: report.update(task=5), "the task in report.json is damaged"),
    ],
)
def test_labels_are_compared_even_if_the_report_was_signed_again(copied, change, words):
    edit(copied, change)
    with pytest.raises(ExportError, match=words):
        verify_export(copied)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda report: report.update(schema=True), "schema True is none of 1, 2"),
        (lambda report: report.update(schema=3), "schema 3"),
        (lambda report: report.update(files=[]), "'files' is no table"),
        (lambda report: report.update(artifacts=None), "'artifacts' is no table"),
        (lambda report: report["files"].update({"../x": {"bytes": 1, "sha256": ""}}), "no path below the folder"),
        (
            lambda report: report["files"].update({"/etc/passwd": {"bytes": 1, "sha256": ""}}),
            "no path below the folder",
        ),
        (lambda report: report["files"].update({"a//b": {"bytes": 1, "sha256": ""}}), "no path below the folder"),
        (lambda report: report["files"].update({"": {"bytes": 1, "sha256": ""}}), "no path below the folder"),
        (lambda report: report["files"].update({"probe.npz": 3}), "has no checksum"),
        (lambda report: report["files"].update({"probe.npz": {"bytes": "1", "sha256": ""}}), "has no checksum"),
        (lambda report: report["artifacts"].update({"model.tflite": []}), "has no known format"),
        (lambda report: report["artifacts"]["model.tflite"].update(format="onnx"), "has no known format"),
        (lambda report: report["artifacts"].update({"../x": {"format": "tflite"}}), "is not among the files"),
        (lambda report: report.update(labels="cat"), "labels are no list"),
        (lambda report: report.update(labels=[1, 2]), "labels are no list"),
    ],
)
def test_odd_reports_are_one_sentence(copied, change, words):
    edit(copied, change)
    with pytest.raises(ExportError, match=f"report.json is damaged .*{words}.*; export the model again") as error:
        verify_export(copied)
    assert "\n" not in str(error.value)


def test_a_saved_model_that_touches_files_is_not_run(copied, tmp_path):
    mark = tmp_path / "written"

    class Writer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 16, 12, 3), name="images")])
        def serve(self, images):
            with tf.control_dependencies([tf.io.write_file(str(mark), "x")]):
                return {"logits": tf.reduce_sum(images, axis=(1, 2, 3))[:, None] * tf.ones(5)}

    module = Writer()
    tf.saved_model.save(module, str(copied / "saved_model"), signatures={"serve": module.serve})

    def relist(report):
        kept = {path: row for path, row in report["files"].items() if not path.startswith("saved_model/")}
        found = {path: row for path, row in checksums(copied).items() if path.startswith("saved_model/")}
        report["files"] = kept | found

    edit(copied, relist)
    with pytest.raises(ExportError, match="saved_model: .*WriteFile"):
        verify_export(copied)
    assert not mark.exists()


def test_missing_folder_and_missing_report_say_what_to_do(copied, tmp_path):
    with pytest.raises(FileNotFoundError, match="export_model"):
        verify_export(tmp_path / "nowhere")
    (copied / "report.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no report\.json"):
        verify_export(copied)


def test_damaged_report_is_an_export_error(copied):
    text = (copied / "report.json").read_text()
    (copied / "report.json").write_text(text[: len(text) // 2])
    with pytest.raises(ExportError, match=r"report\.json is damaged"):
        verify_export(copied)
