"""The `tfdl` command.  At start it knows only the names of its commands: help never waits for TensorFlow.

Exit codes: 0 done, 1 a check failed (or an unexpected error), 2 a mistake that one sentence explains, 74 a file could
not be written, as on a full disk, 130 Ctrl-C; those of a recipe (tfdl/session/command_line.py) are passed on.
"""

import importlib
import os
import sys
import traceback

from tfdl.core import settings, streams
from tfdl.core.errors import explains_itself, is_full_disk, sentence
from tfdl.core.names import nearest

COMMANDS = {
    "list": "the topics of the curriculum, by stage",
    "show": "one topic: source, file, variants, command",
    "run": "train: a recipe, or the recipe of a topic",
    "launch": "run a recipe as several workers, and start them again when one dies",
    "predict": "what a trained model says of pictures or texts",
    "generate": "texts that a trained language model writes",
    "evaluate": "how good a trained model is on an image set, and where it is wrong",
    "export": "a trained model to SavedModel and TFLite",
    "verify": "check exported files against their stored outputs",
    "publish": "keep a run's export in saved_models/",
    "bench": "time .tflite files",
    "doctor": "versions, devices, strategies, folders, data",
}

WITHOUT_KERAS = {"list", "bench", "doctor"}  # doctor says itself what is wrong with the settings
ON_ANY_BACKEND = {"show"}


def main(argv=None):
    """Runs one command; returns the exit code."""
    streams.make_safe()
    words = list(sys.argv[1:] if argv is None else argv)
    verbose = "--verbose" in words
    try:
        code = dispatch([word for word in words if word != "--verbose"], verbose)
        sys.stdout.flush()  # a full disk shows here, where it is still an error
        return code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if verbose or not explains_itself(error):
            traceback.print_exc()
            return exit_code(error)
        print(f"error: {sentence(error)}", file=sys.stderr)
        streams.drop_unwritten()
        return exit_code(error)


def dispatch(words, verbose):
    """Runs the command that `words` name; returns its exit code."""
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
    if name not in WITHOUT_KERAS:
        settings.check(tensorflow=name not in ON_ANY_BACKEND)
    return importlib.import_module(f"tfdl.commands.{name}").main(rest)


def exit_code(error):
    """The code that tells scripts what kind of error it was."""
    if not explains_itself(error):
        return 1
    return 74 if is_full_disk(error) else 2


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
