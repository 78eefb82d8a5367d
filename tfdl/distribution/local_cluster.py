"""Starts workers, prefixes their output with their number, and restarts them if one dies or hangs.

When one TensorFlow worker of a cluster dies, the others wait for it or stop with an error.  Therefore `supervise` ends
them all, after a short time in which they may stop by themselves, and restarts all of them with the same launch id.
The run recognizes the id and resumes from its newest checkpoint.

TensorFlow's workers listen on all network interfaces, without a password or encryption, even if all are on one machine:
use a network that you trust, or a firewall.

    code = supervise(["python", "-m", "tfdl", "run", "classify_images"], Launch(workers=2))
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.2  # seconds between two checks of the workers
FINAL = {0, 2, 3, 130}  # exit codes that a restart would not change: success, bad input, a NaN loss, Ctrl-C
MAX_WORKERS = 256  # more are probably a typing error: each worker loads TensorFlow
HUNG = 124  # exit code for a worker without a heartbeat


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start and restart the workers.

    Attributes:
        workers: processes on this machine; with `hosts` this machine has one.
        hosts: "host:port" of every worker of a cluster of several machines, the chief first; () for this machine only.
        index: this machine's index in `hosts`.
        restarts: maximum number of restarts.
        grace: seconds for the other workers to stop by themselves when one has failed, before SIGKILL.
        hang_after: seconds without a finished batch after which a worker is considered hung.
    """

    workers: int = 2
    hosts: tuple[str, ...] = ()
    index: int = 0
    restarts: int = 3
    grace: float = 15.0
    hang_after: float = 600.0


def supervise(command, launch):
    """Runs `command` in every worker of this machine until they are done; returns the exit code.

    Raises:
        ValueError: a number in `launch` is out of its range, or the hosts are invalid.
    """
    check(launch)
    stopped = []  # signals received by this process; the first one is passed on to the workers
    handlers = {s: signal.signal(s, lambda number, _: stopped.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    # A scheduler that repeats this command after a power failure sets the same id; otherwise it is new.
    environment = {"TFDL_LAUNCH": os.environ.get("TFDL_LAUNCH", uuid.uuid4().hex)}
    try:
        for attempt in range(launch.restarts + 1):
            code = attend(start(command, launch, environment), launch, stopped)
            if code in FINAL or stopped:
                return code
            if attempt < launch.restarts:
                say(f"exit code {code}; restarting ({attempt + 1} of at most {launch.restarts} times)")
        say(f"giving up after {launch.restarts} restarts; the last exit code was {code}")
        return code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def check(launch):
    """Raises ValueError for numbers out of range and invalid hosts."""
    for name, least in (("workers", 1), ("restarts", 0), ("grace", 0), ("hang_after", 1)):
        if not getattr(launch, name) >= least:  # also true for NaN
            raise ValueError(f"{name} is {getattr(launch, name)}; give {least} or more.")
    if launch.workers > MAX_WORKERS:
        raise ValueError(f"workers is {launch.workers}; one machine runs at most {MAX_WORKERS}.")
    if launch.hosts and not 0 <= launch.index < len(launch.hosts):
        raise ValueError(f"index is {launch.index}; {len(launch.hosts)} hosts are numbered from 0.")
    for host in launch.hosts:
        if not is_address(host):
            raise ValueError(f"The host {host!r} is not HOST:PORT with a port from 1 to 65535.")
        if launch.hosts.count(host) > 1:
            raise ValueError(f"The host {host!r} is listed twice; give each worker a port of its own.")


def is_address(host):
    """Whether it has the form NAME:PORT."""
    if not isinstance(host, str):
        return False
    name, _, port = host.rpartition(":")
    return bool(name) and not any(c.isspace() for c in host) and is_port(port)


def is_port(text):
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


@dataclass(eq=False)
class Worker:
    """A process, its number in the cluster, the thread that prints its output, and its heartbeat file.

    The process touches this file after every batch.
    """

    number: int
    process: subprocess.Popen
    printer: threading.Thread
    heartbeat: Path
    started: float

    def is_hung(self, seconds):
        """Whether it is training, or has not started to, and has made no progress for so long."""
        known = self.heartbeat.exists()
        last = self.heartbeat.stat().st_mtime if known else self.started
        if self.process.poll() is not None or time.time() - last <= seconds:
            return False
        return not known or self.heartbeat.read_text() != "idle"


def start(command, launch, environment):
    """Starts the workers of this machine.  -> list of `Worker`

    Raises:
        OSError: a process could not be started; the others are ended.
    """
    hosts = list(launch.hosts) or [f"127.0.0.1:{port}" for port in free_ports(launch.workers)]
    numbers = [launch.index] if launch.hosts else range(launch.workers)
    folder = Path(tempfile.mkdtemp(prefix="tfdl-launch-"))
    workers = []
    try:
        for i, number in enumerate(numbers):
            config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": number}}
            heartbeat = folder / f"worker-{number}"
            own = {"TF_CONFIG": json.dumps(config), "TFDL_HEARTBEAT": str(heartbeat), "PYTHONUNBUFFERED": "1"}
            own["TMPDIR"] = str(folder)  # temporary files of a worker that is killed are deleted with the folder
            everything = os.environ | part_of_machine(i, len(numbers)) | environment | own
            process = subprocess.Popen(
                command,
                env=everything,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            printer = threading.Thread(target=relay, args=(process.stdout, number), daemon=True)
            printer.start()
            workers.append(Worker(number, process, printer, heartbeat, time.time()))
    except BaseException:
        end(workers, folder)
        raise
    return workers


def free_ports(count):
    """Ports of this machine that are currently unused."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def part_of_machine(i, workers):
    """Environment variables that give the i-th worker its part of the GPUs or, without GPUs, of the CPU cores."""
    if workers == 1:
        return {}
    gpus = visible_gpus()
    if gpus:
        return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[i::workers])}
    threads = str(max(1, len(os.sched_getaffinity(0)) // workers))
    return {name: os.environ.get(name, threads) for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")}


def visible_gpus():
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES lists them."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name for name in listed.split(",") if name not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    lines = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout.splitlines()
    return [str(i) for i in range(len(lines))]


def relay(lines, number):
    """Prints a worker's lines with its number as a prefix."""
    for line in lines:
        print(f"[{number}] {line}", end="" if line.endswith("\n") else "\n", flush=True)


def attend(workers, launch, stopped):
    """Waits until all workers are done or one fails or hangs, and ends the others.  -> exit code"""
    code = None
    try:
        while code is None:
            time.sleep(INTERVAL)
            codes = [worker.process.poll() for worker in workers]
            failed = [c for c in codes if c not in (None, 0)]
            if stopped:
                code = 128 + stopped[0]
                for worker in workers:
                    worker.process.send_signal(stopped[0])
            elif failed:
                number, code = workers[codes.index(failed[0])].number, failed[0]
                code = code if code > 0 else 128 - code  # the shell's exit code for a signal
                say(f"worker {number} stopped with exit code {code}")
            elif all(c == 0 for c in codes):
                code = 0
            else:
                hung = [worker.number for worker in workers if worker.is_hung(launch.hang_after)]
                if hung:
                    say(f"worker {hung[0]} has finished no batch for {launch.hang_after:g} s")
                    return HUNG
        # After a signal they write a checkpoint, which may take long; a second signal ends the waiting.
        wait(workers, launch.hang_after if stopped else launch.grace, stopped)
        # Of several exit codes, one with a specific meaning (bad input, a NaN loss, a signal) is the most informative.
        own = [c for c in (worker.process.poll() for worker in workers) if c is not None and c > 0]
        return next((c for c in own if c in FINAL or c == 75), code) if code else 0
    finally:
        end(workers, workers[0].heartbeat.parent)


def end(workers, folder):
    """Kills the workers and removes the folder of their heartbeat and temporary files."""
    for worker in workers:
        kill(worker.process)
        worker.printer.join(timeout=5)
    shutil.rmtree(folder, ignore_errors=True)


def wait(workers, seconds, stopped):
    """Waits until all have stopped or a second signal arrives, at most `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(stopped) < 2 and any(w.process.poll() is None for w in workers):
        time.sleep(INTERVAL)


def kill(process):
    """Sends SIGKILL to the process and its children, as TensorFlow does not always react to SIGTERM."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def say(text):
    print(f"[launch] {text}", file=sys.stderr, flush=True)
