"""The launcher: what it starts, when it starts again, what it ends; with plain processes that need no TensorFlow."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tfdl.distribution import local_cluster
from tfdl.distribution.local_cluster import Launch, check, free_ports, part_of_machine, supervise

FAST = {"grace": 1.0, "hang_after": 60.0}


def program(text):
    """A command that runs Python text with `index` (of the worker) and `here` (a folder for marks) at hand."""
    start = "import json, os, pathlib, signal, sys, time\n"
    start += "index = json.loads(os.environ['TF_CONFIG'])['task']['index']; here = pathlib.Path(sys.argv[1])\n"
    return [sys.executable, "-c", start + textwrap.dedent(text)]


def test_every_worker_knows_the_cluster_and_its_place(tmp_path, capfd):
    text = "(here / str(index)).write_text(os.environ['TF_CONFIG'] + os.environ['TFDL_LAUNCH']); print('hello')"
    assert supervise([*program(text), str(tmp_path)], Launch(workers=3, **FAST)) == 0
    decode = json.JSONDecoder().raw_decode
    found = [(tmp_path / str(i)).read_text() for i in range(3)]
    configs = [decode(text)[0] for text in found]
    assert [c["task"] for c in configs] == [{"type": "worker", "index": i} for i in range(3)]
    assert configs[0]["cluster"] == configs[1]["cluster"] and len(set(configs[0]["cluster"]["worker"])) == 3
    assert len({text[decode(text)[1] :] for text in found}) == 1, "one launch id for all"
    assert sorted(capfd.readouterr().out.splitlines()) == ["[0] hello", "[1] hello", "[2] hello"]


def test_a_dead_worker_ends_all_and_all_start_again(tmp_path, capfd):
    text = """
        mark = here / f"{index}_{os.environ['TFDL_LAUNCH']}"
        if mark.exists():
            sys.exit(0)
        mark.touch()
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    """
    started = time.monotonic()
    assert supervise([*program(text), str(tmp_path)], Launch(workers=2, **FAST)) == 0
    assert time.monotonic() - started < 30, "the survivor was not waited for"
    assert len(list(tmp_path.iterdir())) == 2, "the second start has the id of the first"
    said = capfd.readouterr().err
    assert "worker 1 stopped with exit code 137" in said and "restarting (1 of at most 3 times)" in said


def test_a_cap_on_restarts(tmp_path, capfd):
    text = "import uuid; (here / uuid.uuid4().hex).touch(); sys.exit(9)"
    assert supervise([*program(text), str(tmp_path)], Launch(workers=1, restarts=2, **FAST)) == 9
    assert len(list(tmp_path.iterdir())) == 3
    assert "giving up after 2 restarts; the last exit code was 9" in capfd.readouterr().err


@pytest.mark.parametrize("code", [2, 3])
def test_bad_input_and_a_nan_loss_are_not_tried_again(tmp_path, code):
    text = f"import uuid; (here / uuid.uuid4().hex).touch(); sys.exit({code})"
    assert supervise([*program(text), str(tmp_path)], Launch(workers=1, **FAST)) == code
    assert len(list(tmp_path.iterdir())) == 1


def test_the_worker_that_says_what_is_wrong_gives_the_exit_code(tmp_path):
    text = "time.sleep(0.6 * (1 - index)); sys.exit((2, 1)[index])"  # the other one fails first, of the consequences
    assert supervise([*program(text), str(tmp_path)], Launch(workers=2, restarts=0, **FAST)) == 2


def test_a_worker_without_heartbeat_is_hung(tmp_path, capfd):
    text = """
        beat = pathlib.Path(os.environ["TFDL_HEARTBEAT"])
        beat.write_text("busy")
        mark = here / str(index)
        if mark.exists():
            sys.exit(0)
        mark.touch()
        while index == 0:
            beat.touch()
            time.sleep(0.2)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    """
    assert supervise([*program(text), str(tmp_path)], Launch(workers=2, grace=0.5, hang_after=2.0)) == 0
    assert "worker 1 has finished no batch for 2 s" in capfd.readouterr().err


def test_a_worker_after_training_is_not_hung(tmp_path):
    text = "pathlib.Path(os.environ['TFDL_HEARTBEAT']).write_text('idle'); time.sleep(2.5)"
    assert supervise([*program(text), str(tmp_path)], Launch(workers=1, grace=0.5, hang_after=1.0, restarts=0)) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_workers_and_nothing_is_left(tmp_path, number):
    """They take longer than the grace: a checkpoint may."""
    text = """
        signal.signal(signal.SIGINT, lambda *_: (time.sleep(2), sys.exit(130)))
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(2), sys.exit(75)))
        (here / str(index)).write_text(str(os.getpid()))
        time.sleep(60)
    """
    launcher = subprocess.Popen(
        [sys.executable, "-c", "import sys\nfrom tfdl.distribution.local_cluster import *\n"
         "sys.exit(supervise(sys.argv[1:], Launch(workers=2, grace=0.2)))", *program(text), str(tmp_path)]
    )  # fmt: skip
    try:
        while len([p for p in tmp_path.iterdir() if p.read_text()]) < 2:
            time.sleep(0.1)
        launcher.send_signal(number)
        assert launcher.wait(timeout=30) == {signal.SIGINT: 130, signal.SIGTERM: 75}[number]
    finally:
        launcher.kill()
    for pid in [int(p.read_text()) for p in tmp_path.iterdir()]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_killed_worker_leaves_no_temporary_files(tmp_path):
    text = """
        import tempfile
        (here / "places").open("a").write(tempfile.mkdtemp() + "\\n")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    supervise([*program(text), str(tmp_path)], Launch(workers=1, restarts=1, **FAST))
    places = (tmp_path / "places").read_text().splitlines()
    assert len(places) == 2 and not any(os.path.exists(place) for place in places)


def test_one_machine_of_several_starts_its_own_worker(tmp_path, capfd):
    text = "print(index, json.loads(os.environ['TF_CONFIG'])['cluster']['worker'])"
    launch = Launch(hosts=("a:1", "b:2", "c:3"), index=1, **FAST)
    assert supervise([*program(text), str(tmp_path)], launch) == 0
    assert capfd.readouterr().out == "[1] 1 ['a:1', 'b:2', 'c:3']\n"


def test_bad_numbers_are_named():
    for launch, words in (
        (Launch(workers=0), "workers is 0; give 1 or more"),
        (Launch(restarts=-1), "restarts is -1"),
        (Launch(hosts=("a:1",), index=1), "index is 1; 1 hosts are numbered from 0"),
        (Launch(hosts=("a:1", "b:2"), index=-1), "index is -1"),
        *((Launch(hosts=(host,)), "is not HOST:PORT") for host in ("a", "a:", ":1", "a:0", "a:65536", "a:1x", "a b:1")),
        (Launch(hosts=("a:1", "a:1")), "'a:1' is listed twice"),
        (Launch(grace=math.nan), "grace is nan; give 0 or more"),
        (Launch(grace=-0.5), "grace is -0.5"),
        (Launch(hang_after=math.nan), "hang_after is nan; give 1 or more"),
        (Launch(hang_after=0.5), "hang_after is 0.5"),
        (Launch(workers=10**9), "at most 256"),
    ):
        with pytest.raises(ValueError, match=words):
            check(launch)
    check(Launch(hosts=("a:1", "[::1]:65535"), index=1, grace=0, hang_after=math.inf, restarts=0))


@pytest.mark.parametrize(
    "text, code", [("pass", 0), ("sys.exit(2)", 2), ("time.sleep(60)", 124), ("os.kill(os.getpid(), 9)", 137)]
)
def test_no_temporary_folder_is_left(tmp_path, monkeypatch, text, code):
    monkeypatch.setattr(local_cluster.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(local_cluster, "check", lambda launch: None)  # it may hang for less than a second here
    launch = Launch(workers=1, restarts=0, grace=0.5, hang_after=0.5 if code == 124 else 60)
    assert supervise([*program(text), str(tmp_path)], launch) == code
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_cannot_be_started_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(local_cluster.tempfile, "tempdir", str(tmp_path))
    popen, started = subprocess.Popen, []

    def second_fails(*args, **kwargs):
        if started:
            raise OSError(12, "Cannot allocate memory")
        started.append(popen(*args, **kwargs))
        return started[0]

    monkeypatch.setattr(local_cluster.subprocess, "Popen", second_fails)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        supervise([*program("time.sleep(60)"), str(tmp_path)], Launch(workers=2, **FAST))
    assert started[0].poll() == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_the_launchers_own_signal_handlers_come_back(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    supervise([*program("pass"), str(tmp_path)], Launch(workers=1, **FAST))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_ports_differ():
    assert len(set(free_ports(20))) == 20


def test_cores_and_gpus_are_shared_out(monkeypatch, tmp_path):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert part_of_machine(0, 1) == {}
    assert part_of_machine(1, 2)["TF_NUM_INTRAOP_THREADS"] == "3"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    assert [part_of_machine(i, 2) for i in range(2)] == [
        {"CUDA_VISIBLE_DEVICES": "4,6"},
        {"CUDA_VISIBLE_DEVICES": "5"},
    ]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho GPU 0: A\necho GPU 1: B\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert local_cluster.visible_gpus() == ["0", "1"]
