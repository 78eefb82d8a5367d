import subprocess
import sys

import pytest

from tfdl.export.card import write_card
from tfdl.export.manifest import publish, read_manifest, register
from tfdl.export.parity import ExportError
from tfdl.export.verify import verify_export

ROW = {
    "recipe": "recipes/1_foundation/classify_images.py",
    "command": "tfdl run classify_images --data digits",
    "commit": "abc",
}


def test_published_export_is_a_verified_copy_with_one_row(copied, tmp_path):
    root = tmp_path / "saved"
    row = publish(copied, name="tiny_digits", metric={"accuracy": 0.5}, root=root, **ROW)
    assert set(row) == {"name", "recipe", "metric", "command", "commit", "sha256", "bytes"}
    assert row["bytes"] == sum(path.stat().st_size for path in copied.rglob("*") if path.is_file())
    verify_export(root / "tiny_digits")
    publish(copied, name="another", metric={"accuracy": 0.25}, root=root, **ROW)
    publish(copied, name="tiny_digits", metric={"accuracy": 0.75}, root=root, **ROW)
    rows = read_manifest(root / "MANIFEST.json")
    assert [(row["name"], row["metric"]["accuracy"]) for row in rows] == [("another", 0.25), ("tiny_digits", 0.75)]


def test_damaged_export_is_not_published(copied, tmp_path):
    (copied / "model.tflite").write_bytes(b"nonsense")
    with pytest.raises(ExportError):
        publish(copied, name="tiny", metric={}, root=tmp_path / "saved", **ROW)
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b"])
def test_name_that_leaves_the_folder_is_refused(copied, tmp_path, name):
    with pytest.raises(ValueError, match="no plain folder name"):
        publish(copied, name=name, metric={}, root=tmp_path / "saved", **ROW)


def test_manifest_errors_say_what_to_do(copied, tmp_path):
    manifest = tmp_path / "MANIFEST.json"
    manifest.write_text("{")
    with pytest.raises(ValueError, match="restore it from git"):
        register(copied, name="tiny", metric={}, manifest=manifest, **ROW)
    with pytest.raises(FileNotFoundError, match=r"no report\.json"):
        register(tmp_path, name="tiny", metric={}, manifest=tmp_path / "other.json", **ROW)
    assert read_manifest(tmp_path / "none.json") == []


def test_card_shows_the_reports_numbers_and_runnable_python(all_formats, report, tmp_path):
    write_card(
        tmp_path / "MODEL_CARD.md",
        title="Tiny on noise",
        summary="A three-layer network.",
        report=report,
        data="Uniform noise.",
        license="Public domain.",
        metrics={"accuracy": 0.98765, "examples": 48},
        limits=["Knows nothing."],
        command="make demo",
    )
    text = (tmp_path / "MODEL_CARD.md").read_text()
    for part in ("# Tiny on noise", "| accuracy | 0.9877 |", "| examples | 48 |", "- Knows nothing.", "make demo"):
        assert part in text
    for file, row in report["artifacts"].items():
        assert f"| `{file}` | {row['bytes']:,} | {row['difference']:.1e} |" in text
    assert "{file}" not in text and 'createFromFile(context, "model_uint8.tflite")' in text
    code = text.split("```python\n")[1].split("```")[0]
    run = subprocess.run([sys.executable, "-c", code], cwd=all_formats[1], capture_output=True, text=True)
    assert run.stdout.strip() == "{'logits': (1, 5)}", run.stderr
