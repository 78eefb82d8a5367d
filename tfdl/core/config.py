"""`@config`: a frozen, keyword-only dataclass that Keras can store inside a saved model."""

from dataclasses import dataclass, fields, replace
from numbers import Integral

import keras

from tfdl.core.serial import serializable


def config(cls):
    """Class decorator.  Fields may be numbers, strings, None, (nested) tuples and other configs.

    JSON has no tuples, so lists are converted back when a config is read: it then equals the one that was written.
    """
    cls = dataclass(frozen=True, kw_only=True)(cls)
    cls.get_config = to_json
    cls.from_config = classmethod(from_json)
    return serializable(cls)


def choose_variant(variant, variants, *, model, **changes):
    """The row of `variants` with this name, or a config that was given; `changes` that are not None replace its fields.

    Raises:
        ValueError: there is no such row.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    if isinstance(variant, type(next(iter(variants.values())))):
        return replace(variant, **changes)
    if variant not in variants:
        raise ValueError(
            f"{model} has no variant {variant!r}; it has {', '.join(variants)} (`tfdl show {model}`). In Python, one of"
            f" your own is dataclasses.replace(VARIANTS[{next(iter(variants))!r}], ...)."
        )
    return replace(variants[variant], **changes)


def check_num_classes(num_classes):
    """Raises ValueError unless it is a number of classes, or None for features instead of logits."""
    if num_classes is None:
        return
    if not isinstance(num_classes, Integral) or isinstance(num_classes, bool):
        raise ValueError(f"num_classes is {num_classes!r}; give an integer, or None for features.")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, or None for features; it is {num_classes}.")


def to_json(instance):
    """Field name -> value as Keras stores it."""
    return {f.name: keras.saving.serialize_keras_object(getattr(instance, f.name)) for f in fields(instance)}


def from_json(cls, values):
    """The inverse of `to_json`."""
    known = {f.name for f in fields(cls)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
    return cls(**{name: as_tuple(keras.saving.deserialize_keras_object(value)) for name, value in values.items()})


def as_tuple(value):
    """Converts lists to tuples, at every depth."""
    return tuple(as_tuple(v) for v in value) if isinstance(value, (list, tuple)) else value
