"""What every export's report and probe have in common."""

import io
import math
import platform
import time
from contextlib import contextmanager
from importlib.metadata import version

import numpy as np

from tfdl.core.files import write_text
from tfdl.core.task import OF_CLOUDS, OF_TEXTS
from tfdl.export.parity import TOLERANCES, ExportError, compare, failures
from tfdl.export.precision import in_float32, is_plain
from tfdl.export.verify import SCHEMAS


def facts(model):
    """The head of report.json: what was exported, and with what."""
    return {
        "schema": SCHEMAS[-1],
        "model": model.name,
        "parameters": sum(math.prod(weight.shape) for weight in model.weights),
        "versions": {name: version(name) for name in ("tensorflow", "keras", "ai-edge-litert", "numpy")},
        "machine": platform.machine(),
    }


def precision(model, answers):
    """How far the model in float32, as it is exported, is from itself, if it computes in another precision.

    answers: a function () -> {name: array (N, ...)} that runs the model.
    """
    if is_plain(model):
        return {"rebuilt": False}
    with in_float32(model):
        exported = answers()
    comparison = compare(exported, answers())
    broken = failures(comparison, TOLERANCES["rebuilt"])
    if broken:
        raise ExportError(f"{model.name!r} in float32 differs from the model as it is: {'; '.join(broken)}.")
    return {"rebuilt": True, "policy": model.dtype_policy.name, **comparison}


def npz(parts, *, packed=False):
    """The bytes of an archive with {part: {tensor name: array}} as the arrays PART/NAME."""
    content = io.BytesIO()
    arrays = {f"{part}/{name}": values for part, tensors in parts.items() for name, values in tensors.items()}
    (np.savez_compressed if packed else np.savez)(content, **arrays)
    return content.getvalue()


def is_of_texts(task):
    """Whether it is a `Task` on texts; None is none."""
    return task is not None and task.kind in OF_TEXTS


def is_of_clouds(task):
    """Whether it is a `Task` on clouds of points; None is none."""
    return task is not None and task.kind in OF_CLOUDS


def as_json(task):
    """A `Task` as report.json has it."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in task.to_json().items()}


def write_tokenizer(folder, task, tokenizer):
    """The file that `task` names, so that the export answers to texts by itself; nothing for a task on pictures."""
    if is_of_texts(task) and tokenizer is not None:
        write_text(folder / task.tokenizer, tokenizer.to_str())


@contextmanager
def timed(title, say):
    """Tells what is being made, and how long it took."""
    say(f"export: {title} ...")
    started = time.perf_counter()
    yield
    say(f"export: {title} done in {time.perf_counter() - started:.1f} s")
