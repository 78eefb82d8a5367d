"""TensorFlow without its start-up chatter.  `import tfdl` installs this; TFDL_VERBOSE=1 leaves the messages on.

No environment variable stops what TensorFlow's libraries print while they load, so an import hook catches it.
"""

import contextlib
import importlib.util
import logging
import os
import sys
import tempfile

from tfdl.core.streams import open_if_closed


def install():
    """Puts the hook in place once; it does nothing until `tensorflow` is imported."""
    if not any(isinstance(finder, QuietTensorFlow) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuietTensorFlow())


class QuietTensorFlow:
    """Import hook for the one name `tensorflow`."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        if os.environ.get("TFDL_VERBOSE"):
            return None
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        for logger in ("absl", "tensorflow"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        sys.meta_path.remove(self)  # or it would be asked again
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)  # whoever only asks whether TensorFlow is there may import it later
        if spec is not None:
            spec.loader.exec_module = caught(spec.loader.exec_module)
        return spec


@contextlib.contextmanager
def muffled():
    """What is written to file descriptor 2 inside (C++ writes there) is dropped; if the block fails, it is shown."""
    if os.environ.get("TFDL_VERBOSE"):
        yield
        return
    open_if_closed(2)
    flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def flush():
    """Writes out what Python still holds; nothing where standard error was closed."""
    if sys.stderr is not None:
        sys.stderr.flush()


def caught(load):
    """`load(module)`, muffled."""

    def exec_module(module):
        with muffled():
            load(module)

    return exec_module
