"""Which errors are shown to the user as one sentence without a traceback, and how."""

import errno
import re
import traceback
from pathlib import Path

OURS = (ValueError, RuntimeError, ArithmeticError, ImportError)  # raised by tfdl for users; all others are bugs
NOT_OURS = (RecursionError,)  # Python's own, although a RuntimeError
DAMAGED = "DataLossError"  # TensorFlow's, for a damaged TFRecord file; by name, to avoid importing TensorFlow
PACKAGE = Path(__file__).resolve().parent.parent
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})  # the command was correct and can be repeated later


def explains_itself(error):
    """Whether one sentence explains the error: a missing or damaged file, or an error raised by tfdl or a recipe.

    An error raised inside Keras or TensorFlow keeps its traceback, which is needed to find the cause.
    """
    if isinstance(error, OSError) or type(error).__name__ == DAMAGED:
        return True
    if not isinstance(error, OURS) or isinstance(error, NOT_OURS) or error.__traceback__ is None:
        return False
    origin = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
    return origin.is_relative_to(PACKAGE) or origin.is_relative_to(PACKAGE.parent / "recipes")


def sentence(error):
    """The message, safe to print; for an error of the operating system, without its number."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    if type(error).__name__ == DAMAGED:
        reason = re.sub(r"\{\{.*?\}\}|\[Op:.*|name:\s*$", "", text.partition("\n")[0]).strip()
        text = f"A file of the data set is damaged: {reason}; copy the set again, or correct TFDL_DATA_DIR."
    return printable(text) or type(error).__name__


def printable(text):
    """`text` on one line, except lists, whose lines begin with two spaces; control characters are escaped.

    File names may contain line breaks and characters that a terminal would interpret as commands.
    """
    lines = re.sub(r"\r?\n(?!  \S)", " ", text.strip())
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in lines)


def is_full_disk(error):
    """Whether a file could not be written although the command was correct, as on a full disk."""
    return isinstance(error, OSError) and error.errno in FULL
