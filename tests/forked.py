"""Python processes that start in milliseconds: forked from one that has imported TensorFlow, Keras and tfdl already.

    done = forked.tfdl("verify", folder)                 # subprocess.run([python, "-m", "tfdl", "verify", folder])
    done = forked.run("train_mlp", "--run.smoke")        # the same of `tfdl run train_mlp --run.smoke`
    done = forked.python(file, "--flag", cwd=..., env=...)
    process = forked.start(file, "--flag", cwd=..., env=...)            # subprocess.Popen([python, file, "--flag"])

Importing the stack takes 4 to 5 seconds of CPU; a fork takes 20 ms.  The server (this file, run as a program) imports
it once and computes nothing, so TensorFlow starts in each child anew: TFDL_LOGICAL_CPUS, TF_NUM_INTRAOP_THREADS,
TF_CONFIG and CUDA_VISIBLE_DEVICES are read there.  What is read while modules load (KERAS_BACKEND, PYTHONPATH) is
fixed; tests of such things, and of the start itself, use `subprocess`.

A request is one line of JSON over a socket, with the child's stdout and stderr; the server answers with the child's
number at once and with its exit code when it has ended.  The server ends, with all its children, when its client does.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TFDL = str(ROOT / "tfdl" / "__main__.py")
READ_AT_START = ("KERAS_BACKEND", "PYTHONHASHSEED", "TF_USE_LEGACY_KERAS")


# --- the client: a test ----------------------------------------------------------------------------------------------


def tfdl(*words, **options):
    """`python -m tfdl WORDS`, finished: a subprocess.CompletedProcess with text in stdout and stderr."""
    return python(TFDL, *words, **options)


def run(recipe, *flags, **options):
    """`tfdl run RECIPE FLAGS`, finished."""
    return tfdl("run", recipe, *flags, **options)


def python(program, *words, cwd=None, env=None, timeout=300):
    """`python PROGRAM WORDS`, finished.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout` seconds, and was killed.
    """
    process = start(program, *words, cwd=cwd, env=env)
    stdout, stderr = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def start(program, *words, cwd=None, env=None, log=None):
    """`python PROGRAM WORDS` on its way: a `Process`.

    Args:
        program: a Python file.
        cwd: its working folder; the test's if None.
        env: its environment; the test's if None.
        log: an open file for stdout and stderr; temporary files for `Process.communicate` if None.
    """
    return server().start([str(program), *map(str, words)], cwd, env, log)


class Process:
    """A running program: what tests use of subprocess.Popen."""

    def __init__(self, owner, args, pid, files):
        self.owner, self.args, self.pid, self.files = owner, args, pid, files
        self.returncode = None

    def poll(self):
        """The exit code, or None while it runs; minus the signal if one ended it."""
        if self.returncode is None:
            self.owner.listen(0)
            self.returncode = self.owner.codes.get(self.pid)
        return self.returncode

    def wait(self, timeout=None):
        end = time.monotonic() + (timeout or 3600)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.owner.listen(min(1.0, end - time.monotonic()))
        return self.returncode

    def communicate(self, timeout=None):
        """Waits; (stdout, stderr) as text.  A program that takes too long is killed, with the processes it started."""
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill(group=True)
            self.wait(10)
            raise
        return tuple(Path(file.name).read_text(encoding="utf-8", errors="replace") for file in self.files)

    def send_signal(self, number, group=False):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number) if group else os.kill(self.pid, number)

    def kill(self, group=False):
        self.send_signal(signal.SIGKILL, group)


@functools.cache
def server():
    """The server of this test process; it starts at the first call."""
    return Server()


def stop():
    """Ends the server, if there is one."""
    if server.cache_info().currsize:
        server().close()
        server.cache_clear()


atexit.register(stop)


class Server:
    """The client's end of the connection; a `bare` server imports nothing before it forks."""

    def __init__(self, bare=False):
        ours, theirs = socket.socketpair()
        self.socket, self.received, self.codes = ours, b"", {}
        self.started = []  # numbers of children that were announced and not yet asked for
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (as long-lived as the server)
        command = [sys.executable, __file__, str(theirs.fileno()), *["--bare"] * bare]
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command,
            env=self.environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,  # Ctrl-C is for the tests
        )
        theirs.close()

    def start(self, args, cwd, env, log):
        env = dict(os.environ if env is None else env)
        for name in READ_AT_START:
            if env.get(name) != self.environment.get(name):
                raise ValueError(f"{name} is read when Python starts, before the fork: use subprocess for this.")
        files = [] if log else [tempfile.NamedTemporaryFile(), tempfile.NamedTemporaryFile()]  # noqa: SIM115
        stdout, stderr = files or (log, log)
        request = {"args": args, "cwd": str(cwd or Path.cwd()), "env": env}
        message = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(self.socket, [message], [stdout.fileno(), stderr.fileno()])
        self.socket.sendall(message[sent:])
        while not self.started:
            self.listen(None)
        return Process(self, args, self.started.pop(), files)

    def listen(self, timeout):
        """Takes in what the server says within `timeout` seconds (None: until it says something)."""
        self.socket.settimeout(timeout)
        try:
            part = self.socket.recv(65536)
        except (BlockingIOError, TimeoutError):
            return
        if not part:
            self.errors.seek(0)
            raise RuntimeError(f"The fork server has ended.\n{self.errors.read().decode(errors='replace')}")
        *lines, self.received = (self.received + part).split(b"\n")
        for line in lines:
            pid, code = json.loads(line)
            if code is None:
                self.started.append(pid)
            else:
                self.codes[pid] = code

    def close(self):
        self.socket.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


# --- the server ------------------------------------------------------------------------------------------------------


def load_everything():
    """Imports what the programs will import; a module that cannot be loaded says so in the program that needs it."""
    package = importlib.import_module("tfdl")
    for module in pkgutil.walk_packages(package.__path__, "tfdl."):
        if not module.ispkg and not module.name.endswith("__main__"):
            with contextlib.suppress(Exception):
                importlib.import_module(module.name)
    for name in ("tfdl.__main__", "matplotlib.backends.backend_agg", "scipy.stats", "sklearn.datasets"):
        importlib.import_module(name)


def serve(connection):
    """Forks a child per request, until the client is gone.  Returns only in a child: the words of its command line."""
    children = set()
    while True:
        connection.settimeout(0.02 if children else None)  # between requests, a look at the children
        try:
            message, files, *_ = socket.recv_fds(connection, 1 << 16, 2)
        except TimeoutError:
            message = None
        if message == b"":
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            sys.exit()
        if message:
            connection.settimeout(None)
            while not message.endswith(b"\n"):
                message += connection.recv(1 << 16)
            pid = os.fork()
            if pid == 0:
                connection.close()
                return become(json.loads(message), files)
            for file in files:
                os.close(file)
            children.add(pid)
            tell(connection, pid, None)
        for pid in list(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                children.remove(pid)
                tell(connection, pid, os.waitstatus_to_exitcode(status))


def tell(connection, pid, code):
    with contextlib.suppress(BrokenPipeError):  # the client is gone: the next look at the connection ends the server
        connection.sendall(json.dumps([pid, code]).encode() + b"\n")


def become(request, files):
    """Makes this process one that the client's command line had started; returns its words."""
    os.setpgid(0, 0)
    for number, file in zip((1, 2), files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    for name in os.environ.keys() - request["env"].keys():
        del os.environ[name]
    os.environ.update(request["env"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # Python's own random numbers start anew by themselves
    return request["args"]


def execute(words):
    """Runs a Python file as the interpreter would; returns the exit code."""
    sys.argv = words
    try:
        if words[0] == TFDL:
            sys.exit(importlib.import_module("tfdl.__main__").main())
        sys.path[0] = str(Path(words[0]).parent)
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main():
    connection = socket.socket(fileno=int(sys.argv[1]))
    if "--bare" not in sys.argv:
        load_everything()
    gc.collect()
    gc.freeze()  # the children's collections leave alone what all of them share
    words = serve(connection)
    code = execute(words)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # taking down what the imports built up would cost another second


if __name__ == "__main__":
    main()
