"""TensorFlow's converter in a process of its own: if it ends there, the user's session lives and is told what to do.

The converter and its int8 calibrator stop the whole process where their C++ code meets what nobody foresaw.  A forked
child would be quicker to start, but TensorFlow's threads do not survive a fork, and it would wait for them.  So a
fresh Python imports TensorFlow (without Keras), converts whatever is asked for, and ends after a minute without a
job.  It starts while the model is still being traced.  What it costs is in docs/deployment.md.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from tfdl.export.parity import ExportError

PROGRAM = Path(__file__).with_name("converter_process.py")
LOCK = threading.RLock()
RUNNING = {}  # number of this process -> its `Converter`; a fork of it starts one of its own


class ConversionError(ExportError):
    """TensorFlow refuses to convert the model, or its converter has ended without an answer."""


def start():
    """Starts the converter's process, if none is running, and does not wait for it."""
    with LOCK:
        current = RUNNING.get(os.getpid())
        if current is None or current.process.poll() is not None:
            stop()
            RUNNING[os.getpid()] = Converter()
        return RUNNING[os.getpid()]


def stop():
    """Ends the converter's process, if there is one."""
    with LOCK:
        current = RUNNING.pop(os.getpid(), None)
        if current:
            current.close()


atexit.register(stop)


def converted(source, kind, samples=None):
    """TFLite bytes of a `tfdl.export.graph.Source`; see `converted` in converter_process.py for kinds.

    Args:
        samples: {input name: array (N, ...)} for "int8", "int8_decoding" and "int16".

    Raises:
        ConversionError: TensorFlow cannot convert the graph, or the converter's process has ended.
    """
    with LOCK, tempfile.TemporaryDirectory(prefix="tfdl_convert_") as folder:
        job = {"folder": source.folder.name, "names": source.names, "batch": source.batch, "kind": kind}
        job |= {"samples": None, "result": f"{folder}/model.tflite"}
        if samples:
            job["samples"] = f"{folder}/samples.npz"
            np.savez(job["samples"], **samples)
        answer = ask(job)
        if answer["error"]:
            raise ConversionError(f"TensorFlow's converter refuses the model for {kind}: {answer['error']}")
        return Path(job["result"]).read_bytes()


def ask(job):
    """The converter's answer.  One that has ended by itself in this very moment, without a job, is started again."""
    for _ in range(2):
        converter = start()
        try:
            answer = converter.ask(job)
        except BaseException:  # Ctrl-C among them: what it still sends must not be taken for the next answer
            stop()
            raise
        if answer is not None:
            return answer
        code = converter.process.wait()
        stop()
        if code:
            break
    how = signal.Signals(-code).name if code < 0 else f"code {code}"
    raise ConversionError(
        f"TensorFlow's converter ended ({how}) while it made the {job['kind']} file; leave that format out"
    )


class Converter:
    """The process and the connection to it."""

    def __init__(self):
        place = tempfile.gettempdir()
        self.folder = tempfile.TemporaryDirectory(prefix="tfdl_converter_", dir=place if len(place) < 60 else "/tmp")
        # A socket's address has at most 104 bytes.
        address = str(Path(self.folder.name, "socket"))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen(1)
        self.listener.settimeout(0.2)
        self.connection = self.answers = None
        verbose = os.environ.get("TFDL_VERBOSE")
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), address],
            env={name: value for name, value in environment.items() if name != "TF_CONFIG"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if verbose else subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the user's process, which ends this one
        )

    def ask(self, job):
        """The answer; None if the process has ended."""
        while self.connection is None:
            if self.process.poll() is not None:
                return None
            try:
                self.connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.connection.setblocking(True)
            self.answers = self.connection.makefile("rb")
        try:
            self.connection.sendall(json.dumps(job).encode() + b"\n")
            line = self.answers.readline()
        except (BrokenPipeError, ConnectionResetError):
            return None
        return json.loads(line) if line else None

    def close(self):
        for end in (self.answers, self.connection, self.listener):
            if end is not None:
                end.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
