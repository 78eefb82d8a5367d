"""A run that was killed and resumed ends bit-equal to one that was not (dropout, augmentation, shuffling on)."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests import forked

PROGRAM = Path(__file__).with_name("resumable.py")
BATCHES = 5  # an epoch of resumable.py: 450 images in batches of 100


def start(folder, *flags):
    return forked.start(PROGRAM, "--run.out", folder, *flags)


def finish(process):
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def kill_after(process, folder, update, number):
    """Sends the signal once the checkpoint after that update stands."""
    deadline = time.monotonic() + 240
    while not list((folder / "checkpoints" / "last").glob(f"step_{update:010d}.*")):
        assert process.poll() is None and time.monotonic() < deadline, finish(process)
        time.sleep(0.02)
    process.send_signal(number)
    return finish(process)


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    code, output, errors = finish(start(folder))
    assert code == 0, errors
    return folder


def logs(folder):
    """Epoch -> its line without what depends on the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "examples_per_second"} for row in rows]


def test_kill_in_mid_epoch_then_resume_is_bit_equal(uninterrupted, tmp_path):
    folder = tmp_path / "killed"
    code, *_ = kill_after(start(folder, "--slow", "0.3"), folder, update=BATCHES + 2, number=signal.SIGKILL)
    assert code == -signal.SIGKILL
    newest = max((folder / "checkpoints" / "last").iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])  # as if the disk had lost its end
    code, output, errors = finish(start(folder, "--run.resume", "--slow", "0"))
    assert code == 2 and "slow was 0.3 and is 0.0" in errors, errors
    code, output, errors = finish(start(folder, "--run.resume", "--slow", "0.3"))
    assert code == 0, errors
    assert "is damaged" in errors and "Falling back" in errors
    assert "ran out of data" not in errors
    assert summary(folder)["weights_sha256"] == summary(uninterrupted)["weights_sha256"]
    assert summary(folder)["metrics"] == summary(uninterrupted)["metrics"]
    assert logs(folder) == logs(uninterrupted)


def test_sigterm_saves_and_exits_with_the_documented_code(uninterrupted, tmp_path):
    folder = tmp_path / "terminated"
    code, _, errors = kill_after(start(folder, "--slow", "0.3"), folder, update=2, number=signal.SIGTERM)
    assert code == 75
    assert errors.splitlines()[-1].startswith("error: SIGTERM came; saved ")
    code, output, errors = finish(start(folder, "--run.resume", "--slow", "0.3"))
    assert code == 0, errors
    assert "resumed from" in output
    assert summary(folder)["weights_sha256"] == summary(uninterrupted)["weights_sha256"]


def test_infinite_loss_stops_with_step_batch_and_last_good_checkpoint(tmp_path):
    code, _, errors = finish(start(tmp_path / "poisoned", "--poison"))
    assert code == 3
    assert "The loss is nan at update 2 (epoch 1, batch 1)" in errors or "The loss is inf" in errors
    assert "step_0000000001.safetensors" in errors.splitlines()[-1]


def test_run_folder_is_never_overwritten(uninterrupted):
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}
    code, _, errors = finish(start(uninterrupted))
    assert code == 2
    assert "is not empty. Continue that run with --run.resume, or choose another" in errors
    assert {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")} == before


def test_run_folder_holds_what_the_readme_promises(uninterrupted):
    found = {path.name for path in uninterrupted.iterdir()}
    assert {"config.json", "env.json", "metrics.jsonl", "summary.json", "tb", "checkpoints"} <= found
    assert len(list((uninterrupted / "checkpoints" / "last").iterdir())) == 2
    assert (uninterrupted / "checkpoints" / "best" / "model.keras").exists()
    assert not [path for path in uninterrupted.rglob("*") if "tmp" in path.name]
    environment = (uninterrupted / "env.json").read_text()
    assert str(Path.home()) not in environment
