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

    A text is no state but a setting, which may name a file to write: it has to be what the callback was given now.

    Raises:
        ValueError: there are other callbacks than before, a text differs, or one has state that no checkpoint can hold.
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
            continue
        check_texts(callback, entry)
        vars(callback).update(entry["state"])


def check_texts(callback, entry):
    """Raises ValueError if a saved attribute has a method's name, or is or was a text and differs."""
    for name, value in entry["state"].items():
        now = vars(callback).get(name)
        is_other_text = str in (type(value), type(now)) and value != now
        if is_other_text or callable(getattr(callback, name, None)):
            raise ValueError(
                f"The callback {entry['class']} was saved with {name}={value!r} and now has {now!r}: give it the same,"
                " or give its class get_state() and set_state()."
            )


def is_saved_state(entry):
    """Whether it is an element of what `states` returns."""
    kinds = {"class": str, "state": dict, "unsaved": list}
    return isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in kinds.items())
