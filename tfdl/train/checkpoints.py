"""Checkpoints for exact resume: everything that training depends on, in one file, written whole or not at all.

A checkpoint is a safetensors file with all model variables (weights, moving statistics and the state of every random
generator), all metrics, all optimizers, Keras's global seed, and in its header the position (epoch, step) in the data,
the seconds spent and a digest.  Two are kept; if the newest is damaged, the one before it serves.
"""

import dataclasses
import hashlib
import json
import warnings
from pathlib import Path

import keras
import numpy as np
import safetensors
import safetensors.numpy

from tfdl.core.files import write_bytes
from tfdl.core.gradients import optimizers_of
from tfdl.train.callback_state import is_saved_state

KEPT = 2
HEADER = ("epoch", "step", "seconds", "callbacks")  # stored as text beside the tensors
LONGEST = 200  # characters of one difference in a message
MOST = 2**31  # epochs, steps and seconds (68 years) that a checkpoint may name


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read from a file: `tensors` by name, and where training stood."""

    path: Path
    tensors: dict
    epoch: int
    step: int
    seconds: float
    callbacks: tuple = ()  # class and state of each of the user's own callbacks


def state(model):
    """Name -> variable: all that the rest of the run depends on, in an order that a rebuilt model repeats."""
    groups = {"model": model.variables, "metrics": model.metrics_variables}
    groups |= {name: optimizer.variables for name, optimizer in optimizers_of(model).items()}
    groups["seed"] = [keras.src.random.seed_generator.global_seed_generator().state]
    return {f"{group}/{i:05d}": v for group, variables in groups.items() for i, v in enumerate(variables)}


def save(folder, model, *, epoch, step, seconds=0.0, callbacks=(), write=True):
    """Writes `folder/step_UPDATES.safetensors`, deletes all but the newest two, returns its path.

    Args:
        epoch, step: where the data goes on: `step` batches of `epoch` have been used.
        callbacks: JSON-ready state of the user's callbacks.
        write: False on all workers but the chief: they only add their part of the metrics.

    Raises:
        OSError: the folder can't be written or the disk is full; older checkpoints are untouched.
    """
    tensors = {name: np.asarray(v.numpy()) for name, v in state(model).items()}
    path = Path(folder) / f"step_{int(model.optimizer.iterations.numpy()):010d}.safetensors"
    if not write:
        return path
    write_bytes(path, to_bytes(Checkpoint(path, tensors, epoch, step, seconds, tuple(callbacks))))
    for old in newest_first(folder)[KEPT:]:
        old.unlink()
    return path


def to_bytes(checkpoint):
    """A `Checkpoint` as the content of a safetensors file; b"" for None."""
    if checkpoint is None:
        return b""
    header = {name: json.dumps(getattr(checkpoint, name)) for name in HEADER}
    return safetensors.numpy.save(checkpoint.tensors, metadata=header | {"sha256": digest(checkpoint.tensors, header)})


def newest_first(folder):
    """Paths of the checkpoints in `folder`."""
    return sorted(Path(folder).glob("step_*.safetensors"), reverse=True)


def read_newest(folder):
    """The newest undamaged `Checkpoint`.

    Raises:
        FileNotFoundError: there is none.
    """
    damaged = []
    for path in newest_first(folder):
        try:
            return read(path)
        except ValueError as error:
            warnings.warn(f"{error} Falling back to the checkpoint before it.", stacklevel=2)
            damaged.append(path.name)
    reason = f"all of them are damaged: {', '.join(damaged)}" if damaged else "there is none"
    raise FileNotFoundError(
        f"No checkpoint to resume from in {folder} ({reason}). Start again in another folder with --run.out, or delete"
        " this one."
    )


def from_bytes(content, path):
    """What `to_bytes` was given, as another worker gets it; `path` is where the chief found it."""
    if not content:
        return None
    tensors = safetensors.numpy.load(content)
    size = int.from_bytes(content[:8], "little")
    return checked(path, tensors, json.loads(content[8 : 8 + size])["__metadata__"])


def read(path):
    """Reads and checks one file.  Raises ValueError if it is truncated or altered."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"The checkpoint {path} is damaged ({error}).") from None
    return checked(path, tensors, header)


def checked(path, tensors, header):
    """The `Checkpoint` of a file's content.  Raises ValueError where digest or header are not what was written."""
    header = dict(header or {})
    if header.pop("sha256", None) != digest(tensors, header):
        raise ValueError(f"The checkpoint {path} is damaged (its digest differs).")
    try:
        values = {name: json.loads(header[name]) for name in HEADER}
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"The checkpoint {path} is damaged (its header lacks {error}).") from None
    epoch, step, seconds, callbacks = values.values()
    whole = type(epoch) is int and type(step) is int and type(seconds) in (int, float)
    if not (whole and 0 <= epoch < MOST and 0 <= step < MOST and 0 <= seconds < MOST):
        raise ValueError(f"The checkpoint {path} is damaged (epoch {epoch!r}, batch {step!r}, {seconds!r} seconds).")
    if not (isinstance(callbacks, list) and all(map(is_saved_state, callbacks))):
        raise ValueError(f"The checkpoint {path} is damaged (its callbacks have no state).")
    return Checkpoint(Path(path), tensors, epoch, step, float(seconds), tuple(callbacks))


def restore(model, checkpoint):
    """Puts a checkpoint's values into a model that was built and compiled as the saved one was.

    Raises:
        ValueError: the variables differ in number, shape or type; nothing is changed then.
    """
    variables = state(model)
    wrong = sorted(set(variables) ^ set(checkpoint.tensors))
    wrong += [
        f"{name} is {described(checkpoint.tensors[name])} in the file and {described(v)} in the model"
        for name, v in variables.items()
        if name in checkpoint.tensors and described(checkpoint.tensors[name]) != described(v)
    ]
    wrong = [text if len(text) <= LONGEST else f"{text[:LONGEST]}..." for text in wrong]
    if wrong:
        raise ValueError(
            f"{checkpoint.path} does not fit this model ({'; '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''})."
            " Resume with the model, optimizer and metrics that the run began with."
        )
    for name, variable in variables.items():
        variable.assign(checkpoint.tensors[name])


def described(values):
    """Type and shape of an array or a variable, such as "float32 (3, 4)"."""
    return f"{keras.backend.standardize_dtype(values.dtype)} {tuple(values.shape)}"


def digest(tensors, header=None):
    """SHA-256 over the header, and names, dtypes, shapes and bytes in the order of the names."""
    result = hashlib.sha256()
    for name, text in sorted((header or {}).items()):
        result.update(f"{name}={text}\n".encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        result.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        result.update(tensor.tobytes())
    return result.hexdigest()


def weights_sha256(model):
    """Digest of the weights alone, for comparing two runs bit for bit."""
    return digest({f"{i:05d}": np.asarray(w) for i, w in enumerate(model.get_weights())})
