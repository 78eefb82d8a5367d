"""Which errors speak to the user, and how: one sentence without a traceback."""

import traceback
from pathlib import Path

OURS = (ValueError, RuntimeError, ArithmeticError, ImportError)  # what tfdl raises for users; the rest are bugs
PACKAGE = Path(__file__).resolve().parent.parent


def explains_itself(error):
    """True for an error whose message is meant for users: a missing file, or one that tfdl or a recipe raised itself.

    An error that began inside Keras or TensorFlow keeps its traceback, which is all that there is to go by.
    """
    if isinstance(error, OSError):
        return True
    if not isinstance(error, OURS) or error.__traceback__ is None:
        return False
    origin = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
    return origin.is_relative_to(PACKAGE) or origin.is_relative_to(PACKAGE.parent / "recipes")


def sentence(error):
    """The message; of an error of the operating system without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return str(error)
