"""Two workers of which something breaks: the launcher starts them again, and the weights end as if nothing had been."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests import forked
from tfdl.train import checkpoints

SUPERVISED = Path(__file__).with_name("supervised.py")
PROGRAM = Path(__file__).with_name("resumable.py")
# Each happens after the seventh of ten updates; the launcher says the words.
FAULTS = {
    "kill the chief": (["kill", "0"], "worker 0 stopped with exit code 137"),
    "kill a worker": (["kill", "1"], "worker 1 stopped with exit code 137"),
    "kill all": (["kill", "01"], "stopped with exit code 137"),
    "a worker hangs": (["hang", "1"], "has finished no batch for 40 s"),
    "a truncated checkpoint": (["truncate", "0"], "worker 0 stopped with exit code 137"),
    "a full disk": (["full_disk", "0"], "stopped with exit code 74"),
}
IN_THE_SUITE = "kill the chief"


def launch(folder, *flags, workers=2):
    with open(f"{folder}.log", "a") as log:
        return forked.start(SUPERVISED, workers, 40, PROGRAM, "--run.out", folder, *flags, log=log)


def finish(process, folder):
    """The exit code and what was printed."""
    try:
        code = process.wait(timeout=400)
    finally:
        process.kill()
    return code, Path(f"{folder}.log").read_text()


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "whole"
    code, said = finish(launch(folder), folder)
    assert code == 0, said
    return folder


def test_only_the_chief_leaves_files_and_speaks(whole):
    env = json.loads((whole / "env.json").read_text())
    assert env["strategy"] == "CollectiveAllReduceStrategy" and env["replicas"] == 2
    assert len((whole / "metrics.jsonl").read_text().splitlines()) == 2
    said = Path(f"{whole}.log").read_text()
    assert "[0] test accuracy" in said and "[1] test accuracy" not in said and "[1] Epoch" not in said
    boards = list((whole / "tb").rglob("events.out*"))
    assert boards and len({path.name.split(".")[-3] for path in boards}) == 1, "one process wrote them"


@pytest.mark.parametrize(
    "fault", [IN_THE_SUITE, *(pytest.param(f, marks=pytest.mark.slow) for f in FAULTS if f != IN_THE_SUITE)]
)
def test_a_broken_run_ends_with_the_weights_of_a_whole_one(whole, tmp_path, fault):
    (kind, on), words = FAULTS[fault]
    folder = tmp_path / "broken"
    flags = ["--fault", kind, "--on", on, "--mark", str(tmp_path / "mark")]
    started = time.monotonic()
    code, said = finish(launch(folder, *flags), folder)
    print(f"{fault}: {time.monotonic() - started:.0f} s")
    assert code == 0, said
    assert words in said and "restarting (1 of at most 2 times)" in said and "resumed from" in said
    assert ("is damaged" in said) == (fault == "a truncated checkpoint")
    assert summary(folder)["weights_sha256"] == summary(whole)["weights_sha256"]
    assert summary(folder)["metrics"] == summary(whole)["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("before, after", [(2, 3), (3, 1)])
def test_another_number_of_workers_goes_on_to_the_same_weights(tmp_path, before, after):
    """Without dropout, whose masks are each worker's own."""
    found = []
    for name, first, second in (("whole", before, None), ("changed", before, after)):
        folder, flags = tmp_path / name, ["--dropout", "0", "--slow", "0.2"]
        process = launch(folder, *flags, workers=first)
        if second is not None:
            while not list((folder / "checkpoints" / "last").glob("step_000000000[67].*")):
                assert process.poll() is None, finish(process, folder)
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=100) == 75, finish(process, folder)
            process = launch(folder, *flags, "--run.resume", workers=second)
        code, said = finish(process, folder)
        assert code == 0, said
        tensors = checkpoints.read_newest(folder / "checkpoints" / "last").tensors
        found.append({key: value for key, value in tensors.items() if key.startswith("model/")})
    for key, value in found[0].items():
        np.testing.assert_allclose(found[1][key], value, rtol=0, atol=1e-6)
