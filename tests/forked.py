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
import select
import shutil
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


def code(text, *words, **options):
    """`python -c TEXT WORDS`, finished; it finds itself in a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "program.py"
        file.write_text(text, encoding="utf-8")
        return python(file, *words, **options)


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


def cpu_seconds():
    """Of the forked processes of this test process that have ended."""
    return server().cpu if server.cache_info().currsize else 0.0


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
        self.socket, self.received, self.codes, self.cpu = ours, b"", {}, 0.0
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
            pid, code, self.cpu = json.loads(line)
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


PYTHON = """#!{python} -ES
# What programs that were forked find in sys.executable: it asks the server for a fork, and stands for it.
import json, os, signal, socket, sys
words, known = sys.argv[1:], {known!r}
if words[:2] == ["-m", "tfdl"]:
    words = [{tfdl!r}, *words[2:]]
if not words or not words[0].endswith(".py") or any(os.environ.get(name) != known[name] for name in known):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
message = json.dumps(dict(args=words, cwd=os.getcwd(), env=dict(os.environ))).encode() + b"\\n"
server.sendall(message[socket.send_fds(server, [message], [1, 2]):])
answers = server.makefile()
pid = json.loads(answers.readline())[0]
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(pid, number))
code = json.loads(answers.readline())[1]
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if code != -signal.SIGKILL else None
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Workshop:
    """The server: forks a child for each request of its client, or of a program that runs `python` (PYTHON above)."""

    def __init__(self, client, folder):
        self.client, self.children, self.cpu = client, {}, 0.0  # number -> who asked for it; seconds
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{folder}/socket")
        self.listener.listen()
        self.python = f"{folder}/python"
        known = {name: os.environ.get(name) for name in READ_AT_START}
        text = PYTHON.format(python=sys.executable, known=known, tfdl=TFDL, address=f"{folder}/socket")
        Path(self.python).write_text(text, encoding="utf-8")
        Path(self.python).chmod(0o700)

    def serve(self):
        """Until the client is gone: None.  In a child it returns at once: what was asked for, and its output files."""
        while True:
            others = [asker for asker in self.children.values() if asker not in (None, self.client)]
            pause = 0.02 if self.children else None  # between requests, a look at the children
            for ready in select.select([self.client, self.listener, *others], [], [], pause)[0]:
                asker = self.listener.accept()[0] if ready is self.listener else ready
                try:
                    message, files, *_ = socket.recv_fds(asker, 1 << 16, 2)
                except ConnectionResetError:  # the asking program was killed before it had read all answers
                    message, files = b"", []
                if not message:
                    self.kill_children_of(asker)
                    if asker is self.client:
                        return None
                    continue
                while not message.endswith(b"\n"):
                    message += asker.recv(1 << 16)
                pid = os.fork()
                if pid == 0:
                    for connection in (asker, self.client, self.listener, *others):
                        connection.close()
                    sys.executable = self.python
                    return json.loads(message), files
                for file in files:
                    os.close(file)
                with contextlib.suppress(OSError):  # here as in the child: whoever comes first, before any kill
                    os.setpgid(pid, pid)
                self.children[pid] = asker
                tell(asker, pid, None, self.cpu)
            for pid in list(self.children):
                ended, status, usage = os.wait4(pid, os.WNOHANG)
                if ended:
                    self.cpu += usage.ru_utime + usage.ru_stime
                    tell(self.children.pop(pid), pid, os.waitstatus_to_exitcode(status), self.cpu)

    def kill_children_of(self, asker):
        """Those of the client, when it ends, are all that there are."""
        for pid, owner in self.children.items():
            if asker in (owner, self.client):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                self.children[pid] = None


def tell(connection, pid, code, cpu):
    """Who has asked and is gone hears nothing."""
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps([pid, code, cpu]).encode() + b"\n")


def become(request, files):
    """Makes this process one that the command line had started."""
    os.setpgid(0, 0)
    for number, file in zip((1, 2), files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    for name in os.environ.keys() - request["env"].keys():
        del os.environ[name]
    os.environ.update(request["env"])
    if os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # Python's own random numbers start anew by themselves
    sys.argv = request["args"]


def execute(request, files):
    """Runs what was asked for as the interpreter would; returns the exit code."""
    try:
        become(request, files)
        if sys.argv[0] == TFDL:
            sys.exit(importlib.import_module("tfdl.__main__").main())
        sys.path[0] = str(Path(sys.argv[0]).parent)
        runpy.run_path(sys.argv[0], run_name="__main__")
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
    client = socket.socket(fileno=int(sys.argv[1]))
    if "--bare" not in sys.argv:
        load_everything()
    gc.collect()
    gc.set_threshold(20_000, 20, 20)  # as in conftest.py
    gc.freeze()  # the children's collections leave alone what all of them share
    folder = tempfile.mkdtemp(prefix="tfdl-forks-")
    asked = Workshop(client, folder).serve()
    if asked:
        leave(execute(*asked))
    shutil.rmtree(folder)


def leave(code):
    """Ends this child as the interpreter would, but without the second that taking down all modules takes."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
