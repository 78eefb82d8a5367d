"""`tfdl export SOURCE FOLDER`: a trained model to SavedModel and TFLite files, each run and compared with the model."""

import argparse
import importlib
import re
import sys
from pathlib import Path

import tfdl
from tfdl.core.chat_templates import ChatTemplate
from tfdl.core.files import model_file, read_json, refuse_links
from tfdl.core.task import Task

INT8 = "tflite_int8"
FORMATS = ("savedmodel", "tflite", "tflite_float16", INT8)  # tfdl.export.exporter's, a test sees to it
MORE = ("tflite_dynamic", "tflite_int4", "tflite_int16", "mediapipe")  # the same
CALIBRATED = (INT8, "tflite_int16")
SAMPLES = 256  # images of the representative set: half calibrate the int8 file, half judge it
BATCH = 32


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl export", description=__doc__)
    parser.add_argument(
        "source", type=Path, help="a .keras or .h5 file, a SavedModel, or a run folder (its best checkpoint)"
    )
    parser.add_argument(
        "folder",
        type=Path,
        help="where the files go; of a language model also a file for LiteRT-LM, such as gpt.litertlm",
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        help=f"of {' '.join(FORMATS)} (default: all of these that can be made), {' '.join(MORE)}",
    )
    parser.add_argument(
        "--representative",
        metavar="DATASET",
        help=f"image set that calibrates {INT8}; default: the one that the run folder was trained on",
    )
    parser.add_argument(
        "--input-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="smallest and largest pixel value that the model takes; default: what the run or the model itself says",
    )
    parser.add_argument("--batch-size", type=int, default=1, help="samples that a TFLite file takes at a time")
    parser.add_argument("--softmax", action="store_true", help="files that give probabilities in place of logits")
    parser.add_argument(
        "--size",
        dest="sizes",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="a size of a model with several entry points, such as cache_length=512; default: the model's own",
    )
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="a Python module of this folder or an installed one that defines the model's own layers",
    )
    args = parser.parse_args(argv)
    file = args.source if (args.source / "saved_model.pb").is_file() else model_file(args.source)
    task = task_of(args.source)
    dataset, sizes = args.representative or trained_on(args.source), sizes_of(args.sizes)
    formats = chosen(args.formats, dataset)
    import_all(args.modules)
    model = load(file)
    if args.folder.suffix == ".litertlm":
        return bundle(model, args.folder, task, tokenizer_of(args.source, task), args.formats, sizes)
    if callable(getattr(model, "signatures", None)):
        if args.representative:
            raise ValueError(f"{model.name!r} has several entry points and takes no --representative; leave it out.")
        from tfdl.inference.text_signature import text_entry_points

        tokenizer = tokenizer_of(args.source, task)
        report = tfdl.export_model(
            model,
            args.folder,
            formats=args.formats,
            task=task,
            tokenizer=tokenizer,
            more=text_entry_points(model, tokenizer) if tokenizer else None,
            input_range=args.input_range,
            softmax=args.softmax,
            batch_size=args.batch_size,
            sizes=sizes,
        )
        return show(report, file, args.folder)
    samples = representative(dataset, model, args.input_range) if set(CALIBRATED) & set(formats) else None
    report = tfdl.export_model(
        model,
        args.folder,
        formats=formats,
        representative=samples,
        task=task if args.input_range is None else None,
        tokenizer=tokenizer_of(args.source, task),
        labels=task.labels if task is not None and task.labels else None,
        input_range=args.input_range,
        softmax=args.softmax,
        batch_size=args.batch_size,
        sizes=sizes,
    )
    return show(report, file, args.folder)


def bundle(model, file, task, tokenizer, formats, sizes):
    """Writes a .litertlm file of a language model."""
    from tfdl.export.entry_points import checked_sizes
    from tfdl.export.litertlm import write_litertlm

    if tokenizer is None or len(formats or ()) > 1:
        raise ValueError(f"{file} needs the run folder of a language model, and at most one of --formats.")
    sizes, form = checked_sizes(model, sizes), formats[0] if formats else "tflite"
    template = ChatTemplate(*task.template) if task.template else None
    end = tokenizer.token_to_id(template.end if template else "<|endoftext|>")
    stops, jinja = () if end is None else (end,), template.jinja if template else None
    row = write_litertlm(model, file, tokenizer, form=form, stop_tokens=stops, template=jinja, **sizes)
    print(f"{file}: {row['bytes']:,} bytes; the network's logits differ from the live model's by {row['noise']:.1e}.")
    return 0


def show(report, file, folder):
    from tfdl.export.card import overview

    print(overview(report))
    print(f"{file} -> {folder}; `tfdl verify {folder}` checks the files again.")
    return 0


def sizes_of(words):
    """["cache_length=512"] -> {"cache_length": 512}.  Raises ValueError for other words."""
    sizes = {}
    for word in words:
        found = re.fullmatch(r"([A-Za-z_]\w*)=(\d{1,9})", word)
        if found is None:
            raise ValueError(f"--size {word!r} is no size; write it as cache_length=512.")
        sizes[found[1]] = int(found[2])
    return sizes


def chosen(formats, dataset):
    """The formats to make: those that are asked for, or all that can be made.  Raises ValueError."""
    unknown = [form for form in formats or () if form not in FORMATS + MORE]
    if unknown:
        raise ValueError(f"There is no format {unknown[0]!r}; choose from {', '.join(FORMATS + MORE)}.")
    calibrated = [form for form in CALIBRATED if form in (formats or ())]
    if calibrated and not dataset:
        raise ValueError(f"{calibrated[0]} needs --representative DATASET, for example --representative digits.")
    return tuple(formats or (form for form in FORMATS if form != INT8 or dataset))


def task_of(source):
    """The `Task` of a run folder; None for anything else.  Raises ValueError for a damaged one."""
    file = source / "task.json"
    if not file.is_file():
        return None
    try:
        return Task.from_json(read_json(file, kind=dict))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}); restore it.") from None


def tokenizer_of(source, task):
    """The tokenizer of a run folder on texts; None for anything else."""
    if task is None or task.tokenizer is None:
        return None
    from tfdl.core.token_rows import read_tokenizer

    refuse_links(source, task.tokenizer)
    return read_tokenizer(source / task.tokenizer)


def trained_on(source):
    """The image set of a run folder; None for anything else, and for a folder of pictures.

    A run folder may come from somebody else, who must not choose which of this machine's folders is read.
    """
    file = source / "config.json"
    if not file.is_file():
        return None
    data = read_json(file, kind=dict).get("data")
    if data is None:
        return None
    if not isinstance(data, str):
        raise ValueError(f"{file} names the data {data!r}, which is no name; restore it.")
    if re.fullmatch(r"\w+(:\d+\.\d+\.\d+)?", data):
        return data
    print(f"export: no int8 files: trained on {data!r}; to calibrate them with it, give it as --representative.")
    return None


def import_all(modules):
    """Imports the modules in which the user defines layers; they may lie in the current folder."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        for name in modules:
            if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name):
                raise ValueError(f"--import {name!r} is no module's name; write it as in Python's `import`.")
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(f"--import: there is no module {error.name!r} here or among the installed ones.") from error
    finally:
        sys.path.remove(str(Path.cwd()))


def load(file):
    """The model in `file`.  Raises ValueError with what to do about layers that cannot be loaded."""
    try:
        return tfdl.load_model(file)
    except ValueError as error:
        reason = str(error.__cause__ or error)
        if "Lambda" in reason:
            raise ValueError(
                f"{file} has a Lambda layer, whose Python code is not run; make it a layer class, or call "
                "tfdl.export_model(model, folder) in the program that builds the model."
            ) from error
        if "Could not locate" in reason:
            name = re.search(r"Could not locate (?:class|function) '?(\w+)", reason)
            what = f"the class {name[1]}" if name else "a class"
            raise ValueError(
                f"{file} needs {what}, which is not Keras's; give --import MODULE, the module that defines it with "
                "@keras.saving.register_keras_serializable."
            ) from error
        raise


def representative(name, model, limits=None):
    """Held-out images of the set `name` in the model's own size and range.

    Raises:
        ValueError: the model takes no pictures of a fixed size.
    """
    from tfdl.data import images

    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:] or shape[3] not in (1, 3):
        raise ValueError(
            f"--representative names a set of pictures, but {model.name!r} takes {shape}; leave it out and choose "
            f"--formats without {INT8}, or call tfdl.export_model(model, folder, representative=samples) in Python."
        )
    _, height, width, channels = shape
    data = images.load(name, image_size=(height, width), channels=channels, batch_size=BATCH)
    samples = data.validation.take(SAMPLES // BATCH)
    low, high = limits or (0.0, 1.0)
    return samples.map(lambda pictures, labels: low + (high - low) * pictures)
