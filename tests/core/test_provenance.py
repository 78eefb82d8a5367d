"""A record of a run tells nothing about the machine's folders."""

import re
import subprocess
import sys
from pathlib import Path

from tfdl.core import provenance


def test_command_is_relative_to_the_working_folder(monkeypatch, tmp_path):
    script = tmp_path / "scripts" / "train.py"
    script.parent.mkdir()
    script.touch()
    monkeypatch.setattr(sys, "argv", [str(script), "--data", "my photos"])
    monkeypatch.chdir(tmp_path)
    assert provenance.command() == "python scripts/train.py --data 'my photos'"
    monkeypatch.chdir(script.parent)
    assert provenance.command() == "python train.py --data 'my photos'"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert provenance.command() == "python train.py --data 'my photos'"


def test_command_of_a_recipe_is_what_a_user_types_to_start_it_anew(monkeypatch, tmp_path):
    script = tmp_path / "recipes" / "1_foundation" / "train_mlp.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--data", "mnist", "--run.resume"])
    assert provenance.command() == "tfdl run train_mlp --data mnist"


def test_commit_is_that_of_tfdl_and_not_of_the_working_folder(monkeypatch, tmp_path):
    before = provenance.commit()
    assert before is None or re.fullmatch(r"[0-9a-f]{12}(\+changes)?", before)
    monkeypatch.chdir(tmp_path)
    somebody = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", *somebody, "commit", "--quiet", "--allow-empty", "--message", "theirs"], check=True)
    assert provenance.commit() == before


def test_versions_name_what_is_installed():
    found = provenance.versions()
    assert found["tensorflow"].startswith("2.") and found["keras"].startswith("3.")
    assert all(Path(v).name == v for v in found.values())
