"""Arguments that `tfdl predict` and `tfdl evaluate` have in common."""

import argparse
from pathlib import Path

import tfdl


def parser_of(command, *, description, examples):
    """The parser of `tfdl COMMAND SOURCE`, whose help ends with `examples`."""
    parser = argparse.ArgumentParser(
        prog=f"tfdl {command}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a run folder (its best epoch), an export folder, a SavedModel, a .tflite or a .keras file",
    )
    return parser


def add_model_options(parser):
    """Adds the options that select and run the model: --labels, --file, --batch-size and --threads."""
    parser.add_argument("--labels", type=Path, metavar="FILE", help="class names, one per line, instead of the stored")
    parser.add_argument(
        "--file", metavar="NAME", help="file in an export folder, such as model_int8.tflite; default: SavedModel"
    )
    parser.add_argument("--batch-size", type=positive, default=32, metavar="N", help="pictures per batch; default: 32")
    parser.add_argument(
        "--threads", type=positive, default=1, metavar="N", help="threads for a .tflite file; default: 1"
    )


def loaded(args, writers=False):
    """The model that the options select.  Raises ValueError for one that writes texts, but where `writers` may come."""
    model = tfdl.load(args.source, file=args.file, labels=args.labels, threads=args.threads)
    if not writers and not hasattr(model, "answers"):
        raise ValueError(f"{args.source} is a language model: use `tfdl generate {args.source} --prompt TEXT`.")
    return model


def positive(text):
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def share(text):
    """A number in [0, 1], for argparse."""
    number = float(text)
    if not 0.0 <= number <= 1.0:
        raise argparse.ArgumentTypeError(f"{number} is not between 0 and 1")
    return number
