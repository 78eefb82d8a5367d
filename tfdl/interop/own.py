"""Our own names: a weight is called by its path in the model, as `tfdl run` and `save_weights` leave it."""

import re
from collections.abc import Mapping
from pathlib import Path

import keras

from tfdl.core.files import model_file
from tfdl.interop.archives import read_arrays
from tfdl.interop.layouts import EVERY, Layout

LAYOUT = Layout(name="tfdl", families={EVERY: ((r".*", r"\g<0>"),)}, torch=False)


def read_own(source):
    """Path -> array of what `read_arrays` reads, of a run folder (its best epoch) and of a .keras file.

    Raises:
        FileNotFoundError: no such file, or a folder without a model.
        ValueError: as `read_arrays`, or a .keras file with layers that this process doesn't know.
    """
    if isinstance(source, Mapping) or not (Path(source).is_dir() or Path(source).suffix == ".keras"):
        return read_arrays(source)
    file = model_file(Path(source))
    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        unknown = re.search(r"Could not locate class '\w+'", str(error))
        reason = unknown.group() if unknown else str(error).splitlines()[0]
        raise ValueError(f"{file} cannot be read as a model ({reason}); give one of the same family.") from error
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
