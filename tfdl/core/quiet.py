"""Silences TensorFlow's start-up messages.  `import tfdl` installs this; TFDL_VERBOSE=1 keeps the messages.

No environment variable silences TensorFlow's libraries while they load, so an import hook catches their output.
"""

import atexit
import contextlib
import functools
import importlib.util
import logging
import os
import sys
import tempfile

from tfdl.core.streams import open_if_closed


def install():
    """Installs the import hook once; it does nothing until `tensorflow` is imported."""
    if not any(isinstance(finder, QuietTensorFlow) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuietTensorFlow())


class QuietTensorFlow:
    """Import hook for `tensorflow` only."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        if os.environ.get("TFDL_VERBOSE"):
            return None
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        for logger in ("absl", "tensorflow"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        sys.meta_path.remove(self)  # find_spec would call this hook again
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)  # a caller that only looks for TensorFlow may import it later
        if spec is not None:
            spec.loader.exec_module = muffled_loader(spec.loader.exec_module)
        return spec


@contextlib.contextmanager
def muffled():
    """Drops what the block writes to file descriptor 2, as C++ code does; if the block fails, the output is shown."""
    if os.environ.get("TFDL_VERBOSE"):
        yield
        return
    open_if_closed(2)
    flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 2)
        try:
            yield
        except BaseException:
            output.seek(0)
            os.write(stderr, output.read())
            raise
        finally:
            flush()
            os.dup2(stderr, 2)
            os.close(stderr)


@functools.cache
def silent_at_exit():
    """Drops what libraries write to file descriptor 2 after Python's end: LiteRT tells which accelerators it leaves."""
    if not os.environ.get("TFDL_VERBOSE"):
        atexit.register(drop_errors)


def drop_errors():
    flush()
    open_if_closed(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)


def flush():
    """Flushes Python's standard error, unless it was closed."""
    if sys.stderr is not None:
        sys.stderr.flush()


def muffled_loader(load):
    """`load(module)`, muffled."""

    def exec_module(module):
        with muffled():
            load(module)

    return exec_module
