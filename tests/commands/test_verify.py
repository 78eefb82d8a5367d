"""`tfdl verify` and `tfdl publish`: exit codes, tables, and what a finished run has to have."""

import json
import shutil

import numpy as np
import pytest

from tests.inference.trained import made
from tfdl.__main__ import main
from tfdl.commands import publish, verify
from tfdl.export import manifest


@pytest.fixture
def copied(tmp_path):
    """An export of the small digit classifier that a test may damage."""
    return shutil.copytree(made()[1] / "export", tmp_path / "copy")


def test_verify_passes_then_sees_a_changed_byte(copied, capsys):
    assert main(["verify", str(copied)]) == 0
    assert "model.tflite" in capsys.readouterr().out
    content = bytearray((copied / "model.tflite").read_bytes())
    content[-1] ^= 1
    (copied / "model.tflite").write_bytes(content)
    assert main(["verify", str(copied)]) == 1
    assert "model.tflite: has another sha256" in capsys.readouterr().err


def test_verify_sees_edited_labels_and_added_files(copied, capsys):
    report = json.loads((copied / "report.json").read_text())
    report["labels"].reverse()
    (copied / "report.json").write_text(json.dumps(report))
    (copied / "added.txt").write_text("x")
    assert main(["verify", str(copied)]) == 1
    error = capsys.readouterr().err
    assert "report.json was changed" in error and "'added.txt' was not exported" in error


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": 3, "artifacts": {}}', "[" * 100_000, '{"files": {"a": 1}}']
)
def test_odd_reports_are_no_traceback(copied, capsys, text):
    (copied / "report.json").write_text(text)
    assert main(["verify", str(copied)]) == 1
    error = capsys.readouterr().err
    assert "report.json is damaged" in error and "Traceback" not in error and error.count("\n") == 1


def test_verify_table_shows_each_artifact():
    text = verify.table({"files": {"a.tflite": "ok"}, "artifacts": {"a.tflite": {"difference": 1.5e-6}}})
    assert "a.tflite  ok" in text and "1.50e-06" in text


SUMMARY = {"name": "digits", "command": "tfdl run train --a 1", "metrics": {"test_accuracy": 0.5}, "commit": "abc"}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A finished run with its export, below the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made()[1] / "export", tmp_path / "run" / "export")
    (tmp_path / "run" / "summary.json").write_text(json.dumps(SUMMARY))
    return tmp_path


@pytest.mark.parametrize(
    "command, recipe", [("tfdl run train --a 1", "train"), ("python recipes/t.py", "recipes/t.py")]
)
def test_publish_keeps_an_export_with_its_row(finished, capsys, command, recipe):
    (finished / "run" / "summary.json").write_text(json.dumps(SUMMARY | {"command": command}))
    assert main(["publish", "run"]) == 0
    assert "saved_models/digits" in capsys.readouterr().out
    (row,) = manifest.read_manifest()
    assert row | {"sha256": "", "bytes": 0} == {
        "name": "digits",
        "recipe": recipe,
        "metric": {"test_accuracy": 0.5},
        "command": command,
        "commit": "abc",
        "sha256": "",
        "bytes": 0,
    }
    assert main(["verify", "saved_models/digits"]) == 0


@pytest.mark.parametrize("name", ["a\nb", "a/b", "..", ".x", "a b"])
def test_names_that_are_no_folder_names_are_refused(finished, capsys, name):
    assert main(["publish", "run", name]) == 2
    error = capsys.readouterr().err
    assert "no plain folder name" in error and error.count("\n") == 1
    assert not (finished / "saved_models").exists()


def test_a_name_that_reads_like_a_flag_is_refused(finished, capsys):
    assert main(["publish", "run", "--", "-rf"]) == 2
    assert "no plain folder name" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["publish", "run", "-rf"])
    assert stop.value.code == 2


def test_links_and_extra_files_are_not_published(finished, capsys):
    (finished / "secret").write_text("secret")
    (finished / "run" / "export" / "notes.txt").symlink_to(finished / "secret")
    assert main(["publish", "run"]) == 1
    assert "'notes.txt' is a symbolic link" in capsys.readouterr().err
    assert not (finished / "saved_models").exists()


@pytest.mark.parametrize(
    "summary, words",
    [
        ("{", "not valid JSON"),
        ([], "contains a list instead of a dict"),
        ({}, "has no name, so this is no finished run"),
        (SUMMARY | {"name": 5}, "has no name"),
        (SUMMARY | {"metrics": [1]}, "has no metrics"),
        (SUMMARY | {"metrics": {"a": "b"}}, "give a finite number"),
        (SUMMARY | {"metrics": {"a": np.inf}}, "give a finite number"),
        (SUMMARY | {"command": "'"}, "cannot be read"),
        (SUMMARY | {"command": "python"}, "names no recipe"),
        (SUMMARY | {"commit": [1]}, "commit is"),
    ],
)
def test_odd_summaries_are_one_sentence(finished, capsys, summary, words):
    text = summary if isinstance(summary, str) else json.dumps(summary)
    (finished / "run" / "summary.json").write_text(text)
    assert main(["publish", "run"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (finished / "saved_models").exists()


def test_publishing_an_unfinished_run_is_one_sentence(tmp_path, capsys):
    assert main(["publish", str(tmp_path)]) == 2
    assert "There is no file" in capsys.readouterr().err
    assert publish.recipe_of("tfdl run a --b") == "a"
