"""Reading .keras files: our own layers are found without being imported first, and nothing in a file is executed."""

import importlib
import json
import re
import zipfile

import keras


def load_model(file):
    """The model in a .keras file, without its optimizer.

    Keras only knows our layers once their modules are imported; the file names them.

    Args:
        file: that `model.save` has written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no Keras model file, is damaged, has code in it, or needs a module that this tfdl lacks.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            config = json.loads(archive.read("config.json"))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {file}.") from None
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no Keras model file ({error}); `model.save('name.keras')` writes one.") from error
    for module in sorted(own_modules(config)):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f"{file} needs the module {module}, which this version of tfdl cannot import ({error}); load it with "
                "the version that saved it."
            ) from error
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        text = str(error).strip() or type(error).__name__
        unknown = re.search(r"Could not locate (class|function) '\w+'", text)  # Keras says it after many lines
        reason = unknown.group() if unknown else text.splitlines()[0]
        raise ValueError(f"{file} cannot be loaded: {reason}") from error


def own_modules(config):
    """Dotted names of tfdl's own modules, anywhere in a Keras configuration."""
    if isinstance(config, dict):
        found = set().union(*map(own_modules, config.values()))
        named = str(config.get("module"))
        return found | {named} if re.fullmatch(r"tfdl(\.[a-z0-9_]+)+", named) else found
    return set().union(*map(own_modules, config)) if isinstance(config, list) else set()
