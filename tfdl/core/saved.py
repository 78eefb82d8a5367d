"""Loading .keras files: tfdl's layers are imported as needed, and no code in the file is executed."""

import importlib
import json
import math
import re
import zipfile
from pathlib import Path

import keras

from tfdl.core.archives import SPARE, check_hdf5, read_zip
from tfdl.core.outline import outline

WEIGHTS = "model.weights.h5"


def load_model(file):
    """The model in a .keras file, without its optimizer.

    Keras finds tfdl's layers only after their modules, which the file names, have been imported.

    Args:
        file: written by `model.save`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a Keras model, is damaged, contains code, needs a module that this version of tfdl
            lacks, or needs far more memory than its weights take.
    """
    if not Path(file).is_file():  # a pipe would be waited for
        raise FileNotFoundError(f"There is no file {file}.")
    try:
        with read_zip(file) as archive:
            config = json.loads(archive.read("config.json"))
            size = archive.getinfo(WEIGHTS).file_size if WEIGHTS in archive.namelist() else 0
            if size:
                with archive.open(WEIGHTS) as weights:
                    check_hdf5(weights, size)
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, OSError, RuntimeError) as error:
        raise ValueError(f"{file} is not a Keras model ({error}); `model.save('name.keras')` writes one.") from error
    for module in sorted(own_modules(config)):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f"{file} needs the module {module}, which this version of tfdl cannot import ({error}); load it with "
                "the version that saved it."
            ) from error
    try:
        check_memory(config, size)
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged or invented configuration can fail in any way in Keras
        text = str(error).strip() or type(error).__name__
        unknown = re.search(r"Could not locate (class|function) '\w+'", text)  # preceded by many lines
        reason = unknown.group() if unknown else text.splitlines()[0]
        raise ValueError(f"{file} cannot be loaded: {reason}") from error


def check_memory(config, size):
    """Raises ValueError if the network would take far more memory than its stored weights, which have `size` bytes.

    It is built once without values for that, which takes a quarter of the time of loading it.
    """
    model = outline(keras.saving.deserialize_keras_object, {**config, "compile_config": None}, safe_mode=True)
    count = sum(math.prod(weight.shape) for weight in model.weights)
    if count > size + SPARE // 4:  # none is stored in less than a byte
        raise ValueError(f"its network has {count:,} weights, but only {size:,} bytes of them are stored")


def own_modules(config):
    """Dotted names of tfdl's own modules, anywhere in a Keras configuration."""
    if isinstance(config, dict):
        found = set().union(*map(own_modules, config.values()))
        named = str(config.get("module"))
        return found | {named} if re.fullmatch(r"tfdl(\.[a-z0-9_]+)+", named) else found
    return set().union(*map(own_modules, config)) if isinstance(config, list) else set()
