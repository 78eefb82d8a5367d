"""A forked process behaves like one of its own: devices, environment, folder, output, exit codes, signals."""

import os
import signal
import subprocess
import textwrap
import time

import pytest

from tests import forked


@pytest.fixture
def program(tmp_path):
    """A function: text -> a Python file with it."""

    def write(text):
        file = tmp_path / "program.py"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    return write


def test_each_process_has_its_own_environment_folder_and_tensorflow(program, tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "set")
    place = tmp_path / "place"
    place.mkdir()
    file = program("""
        import os, sys, tensorflow as tf
        from tfdl.distribution import strategies
        print(strategies.create("mirrored").num_replicas_in_sync, os.environ.get("MINE"), os.path.basename(os.getcwd()))
        print(sys.argv[1:], tf.config.threading.get_intra_op_parallelism_threads(), file=sys.stderr)
    """)
    found = []
    for devices in ("2", "3"):
        done = forked.python(file, "--a", 1, cwd=place, env=os.environ | {"TFDL_LOGICAL_CPUS": devices})
        assert done.returncode == 0, done.stderr
        found.append((done.stdout, done.stderr))
    assert found == [(f"{devices} set place\n", "['--a', '1'] 0\n") for devices in (2, 3)]


@pytest.mark.parametrize(
    "text, code, error",
    [
        ("import sys; sys.exit(75)", 75, ""),
        ("import sys; sys.exit('no such thing')", 1, "no such thing\n"),
        ("raise ValueError('broken')", 1, "ValueError: broken\n"),
        ("import atexit, sys; atexit.register(print, 'left', file=sys.stderr)", 0, "left\n"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
    ],
)
def test_exit_codes_are_those_of_the_interpreter(program, text, code, error):
    done = forked.python(program(text))
    assert done.returncode == code
    assert done.stderr.endswith(error)


def test_commands_of_tfdl_keep_their_exit_codes():
    done = forked.tfdl("lits")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: There is no command 'lits'")
    assert forked.tfdl("--version").stdout.strip()


def test_a_running_process_can_be_watched_and_signaled(program, tmp_path):
    file = program("""
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
        print("ready", flush=True)
        time.sleep(60)
    """)
    log = tmp_path / "log"
    with open(log, "w") as stream:
        process = forked.start(file, log=stream)
    other = forked.start(file)
    assert process.pid != other.pid and process.poll() is None
    while not log.read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 75
    assert other.poll() is None
    other.kill()
    assert other.wait(timeout=30) == -signal.SIGKILL
    other.kill()  # as with Popen: nothing to do


def test_a_process_that_takes_too_long_is_killed(program, tmp_path):
    file = program("import time; time.sleep(60)")
    with pytest.raises(subprocess.TimeoutExpired):
        forked.python(file, timeout=0.2)


def test_a_folder_that_is_not_there_ends_only_the_program(program, tmp_path):
    done = forked.python(program("pass"), cwd=tmp_path / "nowhere")
    assert done.returncode == 1 and "nowhere" in done.stderr
    assert forked.python(program("pass")).returncode == 0


CHILD = """
    import os, pathlib, signal, sys, time, warnings
    assert "tensorflow" in sys.modules, "this is no fork"
    place, what = pathlib.Path(sys.argv[1]), sys.argv[2]
    if what == "exit":
        print(os.environ["MINE"], flush=True)
        sys.exit(7)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    (place / "started").write_text(str(os.getpid()))
    time.sleep(60)
"""
PARENT = """
    import os, pathlib, signal, subprocess, sys, time
    child, place = sys.argv[1], pathlib.Path(sys.argv[2])
    def start(what):
        return subprocess.Popen([sys.executable, child, place, what], env=os.environ | {"MINE": "set"})
    print(start("exit").wait(), start("die").wait(), flush=True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        (place / "started").unlink(missing_ok=True)
        process = start("wait")
        while not (place / "started").exists() or not (place / "started").read_text():
            time.sleep(0.01)
        process.send_signal(number)
        print(process.wait(), flush=True)
    print(subprocess.run([sys.executable, "-c", "import sys; print('tfdl' in sys.modules)"]).returncode)
"""


def test_what_a_forked_program_starts_is_forked_too(program, tmp_path):
    """Exit codes, deaths and signals pass through, and no process is left."""
    child = program(CHILD).rename(tmp_path / "child.py")
    done = forked.python(program(PARENT), child, tmp_path)
    assert done.stdout.split() == ["set", "7", "-9", "75", "-9", "False", "0"], done.stderr
    assert is_gone(int((tmp_path / "started").read_text()))


def is_gone(pid):
    """Whether a process has ended, or does within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_the_random_numbers_of_two_processes_differ(program):
    file = program("import random, tempfile, numpy; print(random.random(), numpy.random.random(), tempfile.mktemp())")
    first, second = (forked.python(file).stdout.split() for _ in range(2))
    assert not set(first) & set(second)


def test_what_python_reads_at_its_start_is_refused():
    with pytest.raises(ValueError, match="KERAS_BACKEND is read when Python starts"):
        forked.tfdl("list", env=os.environ | {"KERAS_BACKEND": "jax"})


def test_the_server_ends_with_its_client(program):
    """And takes along what still runs."""
    server = forked.Server(bare=True)
    process = server.start([str(program("import time; time.sleep(60)"))], None, None, None)
    server.close()
    assert server.process.returncode == 0
    assert is_gone(process.pid)
