"""`tfdl launch --on ray`: two workers of a local Ray cluster, one of them killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tfdl.commands import launch

HAS_RAY = importlib.util.find_spec("ray") is not None
FLAGS = ["--model", "lenet", "--variant", "nano", "--data", "digits", "--epochs", "12", "--run.precision", "float32"]


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_extra_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'tfdl\[ray\]'"):
        launch.main(["--on", "ray", "--", "run", "classify_images"])


@pytest.mark.extras
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: `make test-extras` has it")
@pytest.mark.timeout(900)
def test_a_killed_worker_is_replaced_and_the_run_goes_on(tmp_path):
    folder, log = tmp_path / "run", tmp_path / "log"
    command = [sys.executable, "-m", "tfdl", "launch", "--on", "ray", "--workers", "2", "--"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    with open(log, "w") as file:
        process = subprocess.Popen(
            [*command, "run", "classify_images", *FLAGS, "--run.out", str(folder)], env=environment, stdout=file,
            stderr=file, cwd=tmp_path,
        )  # fmt: skip
    try:
        end = time.monotonic() + 400
        while not list((folder / "checkpoints" / "last").glob("step_*")):
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.1)
        workers = subprocess.run(["pgrep", "-f", "ray::RayTrainWorker"], capture_output=True, text=True).stdout.split()
        assert len(workers) == 2, workers
        os.kill(int(workers[0]), signal.SIGKILL)
        assert process.wait(timeout=600) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
    assert "resumed from" in log.read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["config"]["epochs"] == 12 and len((folder / "metrics.jsonl").read_text().splitlines()) == 12
    assert json.loads((folder / "env.json").read_text())["replicas"] == 2
