"""The `tfdl` command.  At start it knows only the names of its commands: help never waits for TensorFlow.

Exit codes: 0 done, 1 a check failed (or an unexpected error), 2 a mistake that one sentence explains, 130 Ctrl-C; those
of a recipe (tfdl/train/command_line.py) are passed on.
"""

import importlib
import os
import sys
import traceback

from tfdl.catalog import nearest
from tfdl.core.errors import explains_itself, sentence

COMMANDS = {
    "list": "the topics of the curriculum, by stage",
    "show": "one topic: source, file, variants, command",
    "run": "train: a recipe, or the recipe of a topic",
    "launch": "run a recipe as several workers, and start them again when one dies",
    "export": "a trained model to SavedModel and TFLite",
    "verify": "check exported files against their stored outputs",
    "publish": "keep a run's export in saved_models/",
    "bench": "time .tflite files",
    "doctor": "versions, devices, strategies, folders, data",
}


def main(argv=None):
    """Runs one command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verbose = "--verbose" in words
    words = [w for w in words if w != "--verbose"]
    try:
        if not words or words[0] in ("-h", "--help", "help"):
            print(usage())
            return 0
        if words[0] == "--version":
            print(importlib.import_module("importlib.metadata").version("tfdl"))
            return 0
        name, *rest = words
        if name not in COMMANDS:
            raise ValueError(f"There is no command {name!r}; the nearest are {nearest(name, COMMANDS)}.")
        if verbose:
            os.environ["TFDL_VERBOSE"] = "1"  # for tfdl.core.quiet and the recipes
        return importlib.import_module(f"tfdl.commands.{name}").main(rest)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `tfdl list | head`: the reader has left, and so may we
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if verbose or not explains_itself(error):
            traceback.print_exc()
            return 2 if explains_itself(error) else 1
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2


def usage():
    rows = "\n".join(f"  {name:<8} {text}" for name, text in COMMANDS.items())
    return (
        "usage: tfdl [--verbose] COMMAND ...\n\n"
        "Deep learning from the perceptron to the phone.\n\n"
        f"{rows}\n\n"
        "  --verbose   TensorFlow's own messages, and a traceback with every error\n"
        "  --version   the version of tfdl\n\n"
        "`tfdl COMMAND --help` tells the rest."
    )


if __name__ == "__main__":
    sys.exit(main())
