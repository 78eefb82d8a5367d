import json

import numpy as np
import pytest

from tfdl.core.files import sha256
from tfdl.export.exporter import export_model
from tfdl.export.parity import ExportError
from tfdl.export.verify import verify_export


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def resign(folder, file):
    """Writes the damaged file's checksum into the report, as a careful forger would."""
    report = json.loads((folder / "report.json").read_text())
    path = folder / file
    report["files"][file] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    (folder / "report.json").write_text(json.dumps(report))


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


def test_one_flipped_byte_is_found(copied):
    flip(copied / "model_int8.tflite", 2000)
    with pytest.raises(ExportError, match=r"model_int8.tflite: has another sha256"):
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
    export_model(tiny(), tmp_path / "other", formats=("tflite",))
    (copied / "model.tflite").write_bytes((tmp_path / "other" / "model.tflite").read_bytes())
    resign(copied, "model.tflite")
    with pytest.raises(ExportError, match=r"model.tflite: against the live model, difference"):
        verify_export(copied)


def test_changed_probe_is_found(copied):
    with np.load(copied / "probe.npz") as stored:
        arrays = dict(stored)
    arrays["live/logits"] = arrays["live/logits"] + 1.0
    np.savez(copied / "probe.npz", **arrays)
    with pytest.raises(ExportError, match=r"probe.npz: (has|is)"):
        verify_export(copied)
    resign(copied, "probe.npz")
    with pytest.raises(ExportError, match="against the live model"):
        verify_export(copied)


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
