"""A live model that computes in float32 with plain variables, for as long as it is exported.

TFLite has no bfloat16, and the graph of variables that a distribution strategy mirrors cannot be frozen.  The model
itself is changed and restored, not copied: a copy would need every layer to be serializable, which Lambda layers and
many subclasses are not.
"""

from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

REDUCED = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def reduced_layers(model):
    """The layers, the model itself among them, that compute in float16 or bfloat16."""
    return [layer for layer in model._flatten_layers() if layer.compute_dtype in REDUCED]


def is_mirrored(variable):
    return isinstance(variable.value, tf.distribute.DistributedValues)


def is_plain(model):
    """Whether the model computes in float32 with variables of its own already."""
    return not reduced_layers(model) and not any(map(is_mirrored, model.variables))


@contextmanager
def in_float32(model):
    """Inside `with`, the model computes in float32 and holds no mirrored variables; afterwards it is as it was.

    Raises:
        RuntimeError: inside `strategy.scope()`, where new variables would be mirrored again.
    """
    if tf.distribute.has_strategy():
        raise RuntimeError("export_model was called inside strategy.scope(); call it after the `with` block")
    changed = []

    def change(owner, attribute, value):
        changed.append((owner, attribute, getattr(owner, attribute)))
        setattr(owner, attribute, value)

    try:
        for layer in reduced_layers(model):
            change(layer, "dtype_policy", keras.DTypePolicy("float32"))
        for operation in casts(model):
            change(operation, "dtype", "float32")
        for tensor in getattr(model, "inputs", None) or []:
            if tensor.dtype in REDUCED:
                change(tensor, "_dtype", "float32")  # to which the model casts what it is given
        for variable in model.variables:
            if variable.dtype in REDUCED or is_mirrored(variable):
                dtype = "float32" if variable.dtype in REDUCED else variable.dtype
                value = tf.Variable(np.asarray(variable).astype(dtype), trainable=variable.trainable)
                change(variable, "_value", value)
                change(variable, "_dtype", dtype)
        yield
    finally:
        for owner, attribute, value in reversed(changed):
            setattr(owner, attribute, value)


def casts(model):
    """The operations of a functional model, and of those inside it, that cast to a reduced precision."""
    functional = [layer for layer in model._flatten_layers() if hasattr(layer, "operations")]
    operations = (operation for layer in functional for operation in layer.operations)
    return [one for one in operations if not isinstance(one, keras.Layer) and getattr(one, "dtype", None) in REDUCED]
