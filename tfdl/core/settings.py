"""Settings from environment variables, checked before anything is imported or written.

| variable          | allowed values                                                                  |
|-------------------|---------------------------------------------------------------------------------|
| KERAS_BACKEND     | tensorflow; jax or torch in programs that only build, load, fit and run models  |
| TFDL_LOGICAL_CPUS | logical devices of the CPU, 1 to 64                                             |
| TFDL_PROFILE      | batches to profile: FIRST,LAST, or one number (0: none)                         |
| TFDL_HEARTBEAT    | a file that `tfdl launch` watches; it must not contain anything else            |

Keras also reads keras.json in KERAS_HOME or ~/.keras.
"""

import importlib.machinery
import os
from pathlib import Path

from tfdl.core.files import read_json

BACKENDS = ("tensorflow", "jax", "torch")
MOST_CPUS = 64  # TensorFlow takes minutes to start with thousands
KERAS_NEEDS = {"floatx": "float32", "image_data_format": "channels_last"}
HEARTBEATS = {"", "busy", "idle"}  # the contents that tfdl.train.callbacks writes


def check(*, tensorflow=True):
    """Raises ValueError if a variable, or keras.json, would make a command fail later.

    Args:
        tensorflow: whether Keras must run on TensorFlow.
    """
    check_keras(tensorflow)
    logical_cpus()
    profiled_batches()
    heartbeat()


def check_keras(tensorflow):
    file, settings = keras_json()
    for name, needed in KERAS_NEEDS.items():
        if settings.get(name, needed) != needed:
            raise ValueError(f"{file} sets {name} to {settings[name]!r}; tfdl needs {needed!r}: correct the file.")
    source, backend = f"{file}'s backend", settings.get("backend", "tensorflow")
    if os.environ.get("KERAS_BACKEND"):
        source, backend = "KERAS_BACKEND", os.environ["KERAS_BACKEND"]
    remedy = "unset KERAS_BACKEND" if source == "KERAS_BACKEND" else "set KERAS_BACKEND=tensorflow"
    if backend not in BACKENDS:
        raise ValueError(f"{source} is {backend!r}; tfdl supports {', '.join(BACKENDS)}: {remedy}.")
    if tensorflow and backend != "tensorflow":
        raise ValueError(f"{source} is {backend!r}, but this command needs Keras on TensorFlow; {remedy}.")
    if not is_installed(backend):
        raise ValueError(f"{source} is {backend!r}, which is not installed; {remedy} or `pip install {backend}`.")


def is_installed(module):
    """Avoids `importlib.util.find_spec`, which would trigger the import hook of `tfdl.core.quiet` for tensorflow."""
    return importlib.machinery.PathFinder.find_spec(module) is not None


def keras_json():
    """(file, its settings); the settings are {} if there is no file or Keras ignores it.  Raises ValueError."""
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser() / "keras.json"
    try:
        settings = read_json(file)
    except (FileNotFoundError, ValueError):  # Keras ignores an invalid file too
        return file, {}
    if not isinstance(settings, dict):
        raise ValueError(f"{file} is not a JSON object; correct the file or delete it.")
    return file, settings


def logical_cpus():
    """TFDL_LOGICAL_CPUS, 1 if it is not set.  Raises ValueError."""
    text = os.environ.get("TFDL_LOGICAL_CPUS", "1")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_CPUS:
        raise ValueError(f"TFDL_LOGICAL_CPUS is {text!r}; give a number of logical devices from 1 to {MOST_CPUS}.")
    return int(text)


def profiled_batches():
    """TFDL_PROFILE as Keras's `profile_batch`: (first, last), or one number; 0 for none.  Raises ValueError."""
    text = os.environ.get("TFDL_PROFILE", "0")
    numbers = [int(part[:9]) if part.isascii() and part.isdigit() else -1 for part in text.split(",")]
    if len(numbers) > 2 or min(numbers) < 0 or (len(numbers) == 2 and not 1 <= numbers[0] <= numbers[1]):
        raise ValueError(f"TFDL_PROFILE is {text!r}; give the first and the last batch to profile, such as 10,20.")
    return tuple(numbers) if len(numbers) == 2 else numbers[0]


def heartbeat():
    """TFDL_HEARTBEAT as a path, or None.  Raises ValueError if it would overwrite something."""
    text = os.environ.get("TFDL_HEARTBEAT")
    if not text:
        return None
    path = Path(text)
    if path.is_symlink() or (path.exists() and not is_heartbeat(path)):
        raise ValueError(f"TFDL_HEARTBEAT is {text!r}, which exists and is not a heartbeat file; name a new file.")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"TFDL_HEARTBEAT is {text!r}, whose folder does not exist; name a file in an existing one.")
    return path


def is_heartbeat(path):
    return path.is_file() and path.stat().st_size <= 4 and path.read_bytes().decode(errors="replace") in HEARTBEATS
