"""`tfdl export SOURCE FOLDER`: a trained model to SavedModel and TFLite files, each run and compared with the model."""

import argparse
import json
from pathlib import Path

import tfdl
from tfdl.core.files import model_file

INT8 = "tflite_int8"
FORMATS = ("savedmodel", "tflite", "tflite_float16", INT8)  # tfdl.export.exporter's, a test sees to it
SAMPLES = 256  # images of the representative set: half calibrate the int8 file, half judge it


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl export", description=__doc__)
    parser.add_argument("source", type=Path, help="a .keras file, or a run folder (its best checkpoint is taken)")
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--formats", nargs="+", help=f"of {' '.join(FORMATS)}; default: all that can be made")
    parser.add_argument(
        "--representative",
        metavar="DATASET",
        help=f"image set that calibrates {INT8}; default: the one that the run folder was trained on",
    )
    args = parser.parse_args(argv)
    file = model_file(args.source)
    dataset = args.representative or trained_on(args.source)
    formats = tuple(args.formats or (f for f in FORMATS if f != INT8 or dataset))
    if INT8 in formats and not dataset:
        raise ValueError(f"{INT8} needs --representative DATASET, for example --representative digits.")
    model = tfdl.load_model(file)
    samples, labels = representative(dataset, model) if dataset else (None, None)
    report = tfdl.export_model(model, args.folder, formats=formats, representative=samples, labels=labels)
    print(f"{file} -> {args.folder}: {', '.join(report['artifacts'])}.  `tfdl verify {args.folder}` checks them again.")
    return 0


def trained_on(source):
    """The image set of a run folder; None for anything else."""
    config = source / "config.json"
    return json.loads(config.read_text(encoding="utf-8")).get("data") if config.is_file() else None


def representative(name, model):
    """Held-out images of the set `name` in the model's own size, and its class names."""
    from tfdl.data import images

    _, height, width, channels = model.input_shape
    data = images.load(name, image_size=(height, width), channels=channels, batch_size=32)
    return data.validation.take(SAMPLES // 32), data.labels
