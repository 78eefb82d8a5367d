"""What a run says on the screen: the header before the first silence, and the summary at the end."""

import numpy as np
import tensorflow as tf

SPLITS = ("train", "validation", "test")


def header(session, model, data):
    """Model, data, device and folder, a line each."""
    rows = {
        "model": f"{model.name}, {model.count_params():,} parameters{input_text(model)}",
        "data": data_text(data),
        "device": device_text(session.strategy),
        "precision": f"{session.run.precision}{accumulation_text(session.run.accumulate)}, seed {session.seed}",
        "folder": str(session.folder),
    }
    return table(rows)


def input_text(model):
    """The size of a model's one input."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
        return ""
    return f", input {' x '.join(map(str, shape[1:]))}"


def data_text(data):
    """Name, examples in each split, classes and how unequal they are."""
    counts = getattr(data, "counts", {})
    text = f"{getattr(data, 'name', 'data')}: " + ", ".join(f"{counts[key]:,} {key}" for key in SPLITS if key in counts)
    labels = getattr(data, "labels", None)
    if not labels:
        note = getattr(data, "note", "")
        return f"{text}; {note}" if note else text
    text += f"; {len(labels)} {'class' if len(labels) == 1 else 'classes'}"
    if len(labels) <= 12:
        text += f" ({', '.join(labels)})"
    class_counts = getattr(data, "class_counts", None)
    if class_counts is not None:
        train = np.asarray(class_counts["train"])
        text += f", {train.min():,} to {train.max():,} training images each"
    return text


def device_text(strategy):
    replicas = strategy.num_replicas_in_sync
    if replicas > 1:
        return f"{replicas} replicas, {type(strategy).__name__}"
    gpus = tf.config.list_physical_devices("GPU")
    return "1 GPU" if gpus else "CPU"


def accumulation_text(accumulate):
    return f", {accumulate} micro-batches per update" if accumulate > 1 else ""


def summary(numbers, *, parameters, seconds, folder, board, files):
    """The measured numbers in plain words, then where everything lies."""
    rows = {plain_name(name): plain_number(name, value) for name, value in numbers.items()}
    if parameters is not None:
        rows["parameters"] = f"{parameters:,}"
    rows["training time" if parameters is not None else "time"] = duration(seconds)
    text = "\n" + table(rows)
    if files:
        text += "\n\nfigures\n" + "\n".join(f"  {file}" for file in files)
    return f"{text}\n\nEverything is in {folder}. Curves: tensorboard --logdir {board}"


def table(rows):
    """A name and a value a line, aligned."""
    width = max(map(len, rows)) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in rows.items())


def plain_name(name):
    """test_accuracy/relu -> test accuracy, relu"""
    return name.replace("/", ", ").replace("_", " ")


def plain_number(name, value):
    """A fraction as a percentage where the name says so, a whole number with separators, else four digits."""
    if "accuracy" in name and 0 <= value <= 1:
        return f"{value:.4f}  ({100 * value:.1f} %)"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def duration(seconds):
    """95.2 -> "1 min 35 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
