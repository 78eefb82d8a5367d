import copy
import runpy

import pytest

from tfdl.export.card import overview, write_card
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
    register(root / "another", name="another", metric={"accuracy": 0.25}, manifest=root / "MANIFEST.json", **ROW)
    rows = read_manifest(root / "MANIFEST.json")
    assert [(row["name"], row["metric"]["accuracy"]) for row in rows] == [("another", 0.25), ("tiny_digits", 0.75)]


def test_damaged_export_is_not_published(copied, tmp_path):
    (copied / "model.tflite").write_bytes(b"nonsense")
    with pytest.raises(ExportError):
        publish(copied, name="tiny", metric={}, root=tmp_path / "saved", **ROW)
    assert not (tmp_path / "saved").exists()


NAMES = ["", "..", ".hidden", "a/b", "a\\b", "a\nb", "a b", "-rf", "--name", "é", "a\0", "a" * 101, None, 5]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_name_that_is_no_plain_folder_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="no plain folder name"):
        publish(tmp_path, name=name, metric={}, root=tmp_path / "saved", **ROW)
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    "facts, words",
    [
        ({"metric": [1]}, "metric is .1.; give"),
        ({"metric": {"accuracy": "0.5"}}, "metric 'accuracy' is '0.5'; give a finite number"),
        ({"metric": {"accuracy": float("nan")}}, "is nan; give a finite number"),
        ({"metric": {"accuracy": True}}, "is True"),
        ({"command": "a\nb"}, "command is 'a.nb'; give a text of one line"),
        ({"command": None}, "command is None"),
        ({"commit": 3}, "commit is 3"),
    ],
)
def test_odd_facts_are_refused_before_anything_is_copied(copied, tmp_path, facts, words):
    with pytest.raises(ValueError, match=words):
        publish(copied, name="tiny", root=tmp_path / "saved", **{"metric": {}, **ROW, **facts})
    assert not (tmp_path / "saved").exists()


def test_only_what_the_report_lists_is_published(copied, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (copied / "probe").symlink_to(tmp_path / "secret")
    with pytest.raises(ExportError, match="'probe' is a symbolic link"):
        publish(copied, name="tiny", metric={}, root=tmp_path / "saved", **ROW)
    (copied / "probe").unlink()
    (copied / "diary.txt").write_text("mine")
    with pytest.raises(ExportError, match="'diary.txt' was not exported"):
        publish(copied, name="tiny", metric={}, root=tmp_path / "saved", **ROW)
    assert not (tmp_path / "saved").exists()


def test_manifest_errors_say_what_to_do(copied, tmp_path):
    manifest = tmp_path / "MANIFEST.json"
    for text in ("{", "{}", "[1]", '[{"name": 3}]', "[" * 100_000):
        manifest.write_text(text)
        with pytest.raises(ValueError, match="restore it"):
            register(copied, name="tiny", metric={}, manifest=manifest, **ROW)
        with pytest.raises(ValueError, match="restore it"):
            publish(copied, name="tiny", metric={}, root=tmp_path, **ROW)
        assert not (tmp_path / "tiny").exists()
    with pytest.raises(FileNotFoundError, match=r"no report\.json"):
        register(tmp_path, name="tiny", metric={}, manifest=tmp_path / "other.json", **ROW)
    assert read_manifest(tmp_path / "none.json") == []


def card(folder, report, **more):
    """The text of a model card for the export `folder`/export."""
    facts = {"title": "Tiny", "summary": "A network.", "data": "Noise.", "metrics": {}, **more}
    write_card(folder / "MODEL_CARD.md", report=report, **facts)
    return (folder / "MODEL_CARD.md").read_text()


def test_card_shows_the_reports_numbers_and_runnable_python(all_formats, report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = card(
        tmp_path / "runs" / "my photos",
        report,
        title="Tiny on noise",
        license="Public domain.",
        metrics={"accuracy": 0.98765, "examples": 48},
        limits=["Knows nothing."],
        command="make demo",
    )
    for part in (
        "# Tiny on noise",
        "| accuracy | 0.9877 |",
        "| examples | 48 |",
        "- Knows nothing.",
        "make demo",
        "\ntfdl predict 'runs/my photos/export' photo.jpg\n",
        "made RGB, resized and cropped in the middle to 12 x 16 pixels, then scaled from [0, 255] to [0, 1].",
        "`model_uint8.tflite` takes the pixels in [0, 255] without that scaling.",
        "- Scores are logits; take the softmax for percentages.",
        "score(): a logit",
    ):
        assert part in text
    for file, row in report["artifacts"].items():
        agreement = f"{100 * row['agreement']:.1f} %"
        assert f"| `{file}` | {row['bytes']:,} | {row['difference']:.1e} | {agreement} |" in text
    assert "{" + "file}" not in text and 'createFromFile(context, "model_uint8.tflite")' in text
    monkeypatch.chdir(all_formats[1])
    code = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "card.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "card.py"))
    assert {name: value.shape for name, value in names["outputs"].items()} == {"logits": (1, 5)}


def test_terminal_shows_kilobytes_percent_and_milliseconds():
    rows = {
        "saved_model": {"bytes": 1_234_567, "difference": 2.5e-7, "agreement": None},
        "model.tflite": {"bytes": 45_678, "difference": 0.031, "agreement": 0.985, "latency": {"median_ms": 1.234}},
    }
    heading, first, second = overview({"artifacts": rows}).splitlines()
    assert heading.split() == ["file", "KB", "difference", "top-1", "agrees", "latency"]
    assert first.split() == ["saved_model", "1,235", "2.5e-07", "-", "-"]
    assert second.split() == ["model.tflite", "46", "3.1e-02", "98.5", "%", "1.23", "ms"]
    assert len({len(line) for line in (heading, first, second)}) == 1


def test_card_of_gray_pictures_says_who_does_not_take_them(report, tmp_path):
    gray = copy.deepcopy(report)
    gray["signature"]["inputs"]["images"]["shape"] = gray["task"]["image_shape"] = [16, 12, 1]
    text = card(tmp_path, gray)
    assert "MediaPipe's image tasks take RGB pictures only and refuse these files" in text
    assert "made gray" in text and "createFromFile" not in text


def test_card_of_probabilities_and_of_what_was_left_out(report, tmp_path, capsys):
    changed = copy.deepcopy(report)
    changed |= {"softmax": True, "left_out": {"tflite_int8": "2 representative samples; int8 needs at least 8"}}
    for file in ("model_int8.tflite", "model_uint8.tflite"):
        del changed["artifacts"][file]
    changed["task"]["input_range"] = [0.0, 255.0]
    text = card(tmp_path, changed)
    assert "score(): a probability" in text and "Scores are logits" not in text
    assert "No tflite_int8 files were made: 2 representative samples; int8 needs at least 8." in text
    assert "not exported: tflite_int8: 2 representative samples" in capsys.readouterr().out
    assert "scaled from" not in text


def test_card_of_a_table_has_no_pictures(report, tmp_path):
    table = copy.deepcopy(report)
    table["task"], table["labels"] = None, None
    table["signature"]["inputs"] = {"table": {"shape": [4], "dtype": "float32"}}
    for row in table["artifacts"].values():
        row["metadata"] = False
    row["control"] = None  # of one file is enough for the card to promise nothing
    text = card(tmp_path, table)
    assert "`table`: float32 (B, 4); B = 1" in text
    for word in ("tfdl predict", "MediaPipe", "EXIF", "wrong weights"):
        assert word not in text
