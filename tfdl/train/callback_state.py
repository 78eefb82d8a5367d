"""The state of a user's own callbacks, so that a resumed run goes on exactly where it was."""

import keras
import numpy as np

PLAIN = (bool, int, float, str, type(None))
KERAS_OWN = {"model", "_model", "params", "validation_data"}  # attributes that Keras sets on every callback


def states(callbacks):
    """Class name and JSON-ready state of each callback, for a checkpoint.

    A callback may have `get_state() -> dict` and `set_state(dict)`.  Of others the plain attributes are saved (numbers,
    strings and booleans: those of Keras's EarlyStopping and ReduceLROnPlateau that change); names of attributes that
    cannot be saved are kept as well, so that resuming can say so.
    """
    return [{"class": type(callback).__name__, **state_of(callback)} for callback in callbacks]


def state_of(callback):
    if hasattr(callback, "get_state"):
        return {"state": callback.get_state(), "unsaved": []}
    attributes = {name: value for name, value in vars(callback).items() if name not in KERAS_OWN}
    plain = {name: as_plain(value) for name, value in attributes.items()}
    unsaved = [name for name, value in plain.items() if value is NotImplemented and is_state(attributes[name])]
    return {"state": {k: v for k, v in plain.items() if v is not NotImplemented}, "unsaved": sorted(unsaved)}


def as_plain(value):
    """A number, string, boolean or None as JSON has it, also in a list or dict; NotImplemented for anything else."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        items = [as_plain(item) for item in value]
        return NotImplemented if NotImplemented in items else items
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        items = {key: as_plain(item) for key, item in value.items()}
        return NotImplemented if NotImplemented in items.values() else items
    return NotImplemented


def is_state(value):
    """Whether an attribute can change while training: arrays and containers can, functions and writers are fixed."""
    return isinstance(value, (np.ndarray, list, tuple, dict, set)) or keras.ops.is_tensor(value)


def restore_states(callbacks, saved):
    """Gives each callback the state that it had.

    Raises:
        ValueError: there are other callbacks than before, or one has state that no checkpoint can hold.
    """
    names = [type(callback).__name__ for callback in callbacks]
    before = [entry["class"] for entry in saved]
    if names != before:
        raise ValueError(
            f"The run began with the callbacks {', '.join(before) or 'none'} and goes on with"
            f" {', '.join(names) or 'none'}. Give fit() the same ones in the same order."
        )
    for callback, entry in zip(callbacks, saved):
        if entry["unsaved"]:
            raise ValueError(
                f"The callback {entry['class']} keeps {', '.join(entry['unsaved'])}, which a checkpoint cannot hold:"
                " give its class get_state() and set_state(), or start the run anew without --run.resume."
            )
        if hasattr(callback, "set_state"):
            callback.set_state(entry["state"])
        else:
            vars(callback).update(entry["state"])
