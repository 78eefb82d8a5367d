"""Starts workers, puts their number before what they print, and starts them again when one dies or hangs.

When one TensorFlow worker of a cluster dies, the others wait for it or stop with an error.  So `supervise` ends them
all, after a short time in which they may stop by themselves, and starts all of them again with the same launch id.  The
run recognizes the id and continues from its newest checkpoint.

TensorFlow's workers listen on all network interfaces, without a password or encryption, also in a cluster on one
machine: use a network that you trust, or a firewall.

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
FINAL = {0, 2, 3, 130}  # exit codes that another start would not change: done, bad input, a NaN loss, Ctrl-C
MOST_WORKERS = 256  # more are a slip of the finger: each one loads TensorFlow
HUNG = 124  # what a worker without a heartbeat counts as


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start and restart the workers.

    Attributes:
        workers: processes on this machine; with `hosts` this machine has one.
        hosts: "host:port" of every worker of a cluster of several machines, the chief first; () for this machine alone.
        index: this machine's place in `hosts`.
        restarts: how often all are started again before giving up.
        grace: seconds that the others get to stop by themselves when one has failed; then SIGKILL.
        hang_after: seconds without a finished batch after which a worker counts as hung.
    """

    workers: int = 2
    hosts: tuple[str, ...] = ()
    index: int = 0
    restarts: int = 3
    grace: float = 15.0
    hang_after: float = 600.0


def supervise(command, launch):
    """Runs `command` as every worker of this machine until they are done; returns the exit code.

    Raises:
        ValueError: a number in `launch` is out of its range, or TensorFlow would not understand the hosts.
    """
    check(launch)
    stopped = []  # the signal that came to this process: passed on to the workers once, then they have their grace
    handlers = {s: signal.signal(s, lambda number, _: stopped.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    # A scheduler that starts this very command again after a power cut gives the same id; else it is new.
    environment = {"TFDL_LAUNCH": os.environ.get("TFDL_LAUNCH", uuid.uuid4().hex)}
    try:
        for attempt in range(launch.restarts + 1):
            code = attend(start(command, launch, environment), launch, stopped)
            if code in FINAL or stopped:
                return code
            if attempt < launch.restarts:
                say(f"exit code {code}; starting again ({attempt + 1} of at most {launch.restarts} times)")
        say(f"giving up after {launch.restarts} restarts; the last exit code was {code}")
        return code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def check(launch):
    """Raises ValueError for numbers that make no sense and hosts that TensorFlow would not understand."""
    for name, least in (("workers", 1), ("restarts", 0), ("grace", 0), ("hang_after", 1)):
        if not getattr(launch, name) >= least:  # NaN is not
            raise ValueError(f"{name} is {getattr(launch, name)}; give {least} or more.")
    if launch.workers > MOST_WORKERS:
        raise ValueError(f"workers is {launch.workers}; one machine runs at most {MOST_WORKERS}.")
    if launch.hosts and not 0 <= launch.index < len(launch.hosts):
        raise ValueError(f"index is {launch.index}; {len(launch.hosts)} hosts are numbered from 0.")
    for host in launch.hosts:
        if not is_address(host):
            raise ValueError(f"The host {host!r} is not HOST:PORT with a port from 1 to 65535.")
        if launch.hosts.count(host) > 1:
            raise ValueError(f"The host {host!r} is listed twice; give each worker a port of its own.")


def is_address(host):
    """Whether it reads NAME:PORT, as TensorFlow wants it."""
    if not isinstance(host, str):
        return False
    name, _, port = host.rpartition(":")
    return bool(name) and not any(c.isspace() for c in host) and is_port(port)


def is_port(text):
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


@dataclass(eq=False)
class Worker:
    """A process, its number in the cluster, who prints for it, and the file that it touches after every batch."""

    number: int
    process: subprocess.Popen
    printer: threading.Thread
    heartbeat: Path
    started: float

    def is_hung(self, seconds):
        """Whether it is in the middle of a training, or has not begun one, and did nothing for so long."""
        known = self.heartbeat.exists()
        last = self.heartbeat.stat().st_mtime if known else self.started
        if self.process.poll() is not None or time.time() - last <= seconds:
            return False
        return not known or self.heartbeat.read_text() != "idle"


def start(command, launch, environment):
    """Starts the workers of this machine.  -> list of `Worker`

    Raises:
        OSError: a process could not be started; those that were are ended.
    """
    hosts = list(launch.hosts) or [f"127.0.0.1:{port}" for port in free_ports(launch.workers)]
    numbers = [launch.index] if launch.hosts else range(launch.workers)
    folder = Path(tempfile.mkdtemp(prefix="tfdl-launch-"))
    workers = []
    try:
        for place, number in enumerate(numbers):
            config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": number}}
            heartbeat = folder / f"worker-{number}"
            own = {"TF_CONFIG": json.dumps(config), "TFDL_HEARTBEAT": str(heartbeat), "PYTHONUNBUFFERED": "1"}
            own["TMPDIR"] = str(folder)  # what a worker that is killed leaves there goes with the folder
            everything = os.environ | share_of_machine(place, len(numbers)) | environment | own
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
    """Ports of this machine that nobody uses just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def share_of_machine(place, workers):
    """Environment variables that give the worker at `place` its part of the GPUs, or else of the CPU cores."""
    if workers == 1:
        return {}
    gpus = visible_gpus()
    if gpus:
        return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[place::workers])}
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
    """Prints a worker's lines with its number."""
    for line in lines:
        print(f"[{number}] {line}", end="" if line.endswith("\n") else "\n", flush=True)


def attend(workers, launch, stopped):
    """Waits until all workers are done, or one is not well; ends the rest.  -> exit code of the first that failed."""
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
                code = code if code > 0 else 128 - code  # as a shell counts signals
                say(f"worker {number} stopped with exit code {code}")
            elif all(c == 0 for c in codes):
                code = 0
            else:
                hung = [worker.number for worker in workers if worker.is_hung(launch.hang_after)]
                if hung:
                    say(f"worker {hung[0]} has finished no batch for {launch.hang_after:g} s")
                    return HUNG
        # After a signal they write a checkpoint, which may take its time; a second signal ends the patience.
        wait(workers, launch.hang_after if stopped else launch.grace, stopped)
        # Of several that failed, one that says what is wrong (bad input, a NaN loss, a signal) says it best.
        own = [c for c in (worker.process.poll() for worker in workers) if c is not None and c > 0]
        return next((c for c in own if c in FINAL or c == 75), code) if code else 0
    finally:
        end(workers, workers[0].heartbeat.parent)


def end(workers, folder):
    """Kills the workers and removes the folder of their heartbeats and temporary files."""
    for worker in workers:
        kill(worker.process)
        worker.printer.join(timeout=5)
    shutil.rmtree(folder, ignore_errors=True)


def wait(workers, seconds, stopped):
    """Until all have stopped or a second signal has come, at most `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(stopped) < 2 and any(w.process.poll() is None for w in workers):
        time.sleep(INTERVAL)


def kill(process):
    """SIGKILL to the process and all that it has started: TensorFlow does not always obey SIGTERM."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def say(text):
    print(f"[launch] {text}", file=sys.stderr, flush=True)
