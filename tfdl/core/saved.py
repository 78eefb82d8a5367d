"""Loading .keras and .h5 files and SavedModels: tfdl's layers are imported as needed, and no code is executed."""

import importlib
import json
import math
import re
import zipfile
from pathlib import Path

import h5py
import keras

from tfdl.core.archives import SPARE, check_hdf5, read_zip
from tfdl.core.graphs import check_saved_model
from tfdl.core.outline import outline

WEIGHTS = "model.weights.h5"
ENDPOINT = "serving_default"  # the signature of a SavedModel that answers, as TensorFlow Serving has it


def load_model(file):
    """The model in a file that `model.save` has written, or in the folder of a SavedModel, without its optimizer.

    Keras only knows our layers once their modules are imported; the file names them.  A SavedModel becomes a functional
    model of one layer, for answers only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a Keras model, is damaged, has code in it, needs a module that this tfdl lacks, or wants
            far more memory than its weights take.
    """
    if Path(file).is_dir():
        return served(Path(file))
    if not Path(file).is_file():  # a pipe would be waited for
        raise FileNotFoundError(f"There is no file {file}.")
    is_hdf5 = h5py.is_hdf5(file)
    try:
        config, size = config_of_hdf5(file) if is_hdf5 else config_of_archive(file)
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
        check_memory(built_of_hdf5 if is_hdf5 else built, config, size)
        if is_hdf5:
            return loaded_hdf5(file)
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged or invented configuration can fail in any way in Keras
        text = str(error).strip() or type(error).__name__
        unknown = re.search(r"Could not locate (class|function) '\w+'", text)  # preceded by many lines
        reason = unknown.group() if unknown else text.splitlines()[0]
        raise ValueError(f"{file} cannot be loaded: {reason}") from error


def config_of_archive(file):
    """(configuration, bytes of the weights) of a .keras file."""
    with read_zip(file) as archive:
        config = json.loads(archive.read("config.json"))
        size = archive.getinfo(WEIGHTS).file_size if WEIGHTS in archive.namelist() else 0
        if size:
            with archive.open(WEIGHTS) as weights:
                check_hdf5(weights, size)
    return config, size


def config_of_hdf5(file):
    """The same of an .h5 file.  Raises ValueError if it has code in it, or only weights."""
    size = Path(file).stat().st_size
    check_hdf5(file, size)
    with h5py.File(file, "r") as opened:
        config = opened.attrs.get("model_config")
    if config is None:
        raise ValueError("it has weights only; build the model and call model.load_weights")
    config = json.loads(config)
    if has_class(config, "Lambda"):  # as bytes of Python code
        raise ValueError("it has a Lambda layer")
    return config, size


def has_class(config, name):
    """Whether a class of this name occurs anywhere in a Keras configuration."""
    if isinstance(config, dict):
        return config.get("class_name") == name or any(has_class(value, name) for value in config.values())
    return isinstance(config, list) and any(has_class(value, name) for value in config)


def built(config):
    """The network of a .keras file's configuration."""
    return keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)


def built_of_hdf5(config):
    """The network of an .h5 file's configuration, which is in the format of Keras 2."""
    options = keras.src.legacy.saving.saving_options.keras_option_scope(use_legacy_config=True)
    with options, keras.src.saving.serialization_lib.SafeModeScope(True):
        return keras.src.legacy.saving.saving_utils.model_from_config(config)


def loaded_hdf5(file):
    """The model of an .h5 file, whatever its name ends with."""
    with h5py.File(file, "r") as opened:
        return keras.src.legacy.saving.legacy_h5_format.load_model_from_hdf5(opened, compile=False, safe_mode=True)


class SavedSignature(keras.layers.TFSMLayer):
    """A signature of a SavedModel; its inputs {name: tensor} go by their names."""

    def call(self, inputs, training=False):
        return self.call_endpoint_fn(**inputs)


def served(folder):
    """A SavedModel as a functional model with the names of its signature.

    Raises:
        ValueError, FileNotFoundError: see `check_saved_model`; or it has no signature for any number of samples.
    """
    names = check_saved_model(folder)
    if ENDPOINT not in names:
        raise ValueError(f"{folder} has the signatures {', '.join(names) or 'none'}; one must be {ENDPOINT}.")
    layer = SavedSignature(folder, call_endpoint=ENDPOINT, name="saved_model")
    _, specs = layer.call_endpoint_fn.structured_input_signature
    for name, spec in specs.items():
        if spec.shape.rank is None or list(spec.shape)[:1] != [None]:
            raise ValueError(
                f"{folder} takes {name!r} in the shape {spec.shape}; save it with a batch of any size, (None, ...)."
            )
    inputs = {
        name: keras.Input(tuple(spec.shape[1:]), dtype=spec.dtype.name, name=name) for name, spec in specs.items()
    }
    return keras.Model(inputs, layer(inputs), name=re.sub(r"\W", "_", folder.resolve().name))


def check_memory(build, config, size):
    """Raises ValueError if the network would take far more memory than its stored weights, which have `size` bytes.

    It is built once without values for that, which takes a quarter of the time of loading it.
    """
    model = outline(build, config)
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
