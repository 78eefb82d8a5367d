"""Our own names: a weight is called by its path in the model, as `tfdl run` and `save_weights` leave it."""

import re
from collections.abc import Mapping
from pathlib import Path

import keras

from tfdl.core.files import model_file
from tfdl.core.saved import load_model
from tfdl.interop.files.hub import HUB_FILES
from tfdl.interop.layouts import EVERY, Layout

LAYOUT = Layout(name="tfdl", families={EVERY: ((r".*", r"\g<0>"),)}, torch=False)


def is_own(source):
    """True for a .keras file, and for a folder that is not one of Hugging Face's."""
    if isinstance(source, Mapping):
        return False
    path = Path(source)
    return path.suffix == ".keras" or (path.is_dir() and not any((path / name).is_file() for name in HUB_FILES))


def read_own(source):
    """Path -> array of a run folder (its best epoch) or a .keras file.

    Raises:
        FileNotFoundError: no such file, or a folder without a model.
        ValueError: a damaged .keras file, or one with layers that this process doesn't know.
    """
    file = model_file(Path(source))
    try:
        model = load_model(file)
    except ValueError as error:
        unknown = re.search(r"Could not locate class '\w+'", str(error))
        reason = unknown.group() if unknown else str(error).splitlines()[0]
        raise ValueError(f"{file} cannot be read as a model ({reason}); give one of the same family.") from error
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
