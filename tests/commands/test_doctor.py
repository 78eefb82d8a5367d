"""`tfdl doctor`: what it finds, and that its exit code tells whether anything essential failed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfdl.commands import doctor
from tfdl.commands.doctor import Finding

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ("versions", "folders", "data", "environment", "strategies")


@pytest.mark.parametrize("state, code", [("ok", 0), ("note", 0), ("FAIL", 1)])
@pytest.mark.parametrize("failing", CHECKS)
def test_exit_code_is_1_if_any_check_fails(monkeypatch, capsys, failing, state, code):
    for name in CHECKS:
        found = Finding(state if name == failing else "ok", name, "text")
        monkeypatch.setattr(doctor, name, lambda found=found: [found])
    assert doctor.main([]) == code
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()[:5]] == [
        [state if name == failing else "ok", name] for name in CHECKS
    ]
    assert ("1 essential check(s) failed" in out) == bool(code)


def test_missing_packages_matter_if_they_are_essential(monkeypatch):
    monkeypatch.setattr(doctor, "ESSENTIAL", ("no-such-package",))
    monkeypatch.setattr(doctor, "OPTIONAL", ("none-such-either",))
    assert [finding.state for finding in doctor.versions()][1:] == ["FAIL", "note"]
    monkeypatch.setattr(doctor, "PYTHONS", ((2, 6), (2, 7)))
    assert next(iter(doctor.versions())).state == "FAIL"


def test_prepared_sets_are_counted_and_a_missing_folder_fails(tmp_path, monkeypatch):
    for name in ("mnist/3.0.1", "xquad/en/3.0.0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "dataset_info.json").touch()
    monkeypatch.setenv("TFDL_DATA_DIR", str(tmp_path))
    (finding,) = doctor.data()
    assert finding.state == "ok" and "2 prepared sets (mnist, xquad)" in finding.text
    monkeypatch.setenv("TFDL_DATA_DIR", str(tmp_path / "nowhere"))
    assert [finding.state for finding in doctor.data()] == ["FAIL"]
    monkeypatch.delenv("TFDL_DATA_DIR")
    assert [finding.state for finding in doctor.data()] == ["note"]


def test_folders_that_cannot_be_written_fail_and_a_full_disk_is_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [finding.state for finding in doctor.folders()] == ["ok"] * 3

    def fails(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", fails)
    monkeypatch.setattr(doctor, "ENOUGH_DISK", 1e30)
    found = list(doctor.folders())
    assert [finding.state for finding in found] == ["FAIL", "FAIL", "note"]
    assert "Permission denied; go elsewhere" in found[0].text


@pytest.mark.parametrize(
    "name, value", [("KERAS_BACKEND", "foo"), ("KERAS_BACKEND", "torch"), ("TFDL_LOGICAL_CPUS", "abc")]
)
def test_a_broken_environment_is_named_and_no_strategy_is_tried(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    (finding,) = doctor.environment()
    assert finding.state == "FAIL" and finding.text.startswith(f"{name} is {value!r}")
    assert list(doctor.strategies()) == []


def test_a_training_step_under_each_strategy_and_a_bad_data_folder(tmp_path):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)}
    environment["TFDL_DATA_DIR"] = str(tmp_path / "nowhere")
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TFDL_LOGICAL_CPUS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "tfdl", "doctor"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "strategy mirrored    2 replica(s)" in result.stdout
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1 and "is no folder; correct it or unset it" in failed[0]
    assert result.stderr == "", "TensorFlow's start-up messages should be silenced"
