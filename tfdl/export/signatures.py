"""What a model eats and gives: names, shapes, dtypes, and its outputs as float32.

Shapes: B is the batch; a TFLite file has B = 1, a SavedModel any B.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

REDUCED = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Names, per-sample shapes and dtypes of a model's inputs, and names and shapes of its outputs."""

    inputs: dict[str, tuple[tuple[int, ...], str]]  # name -> (shape without the batch, dtype)
    outputs: dict[str, tuple[int | None, ...]]  # name -> shape without the batch

    @property
    def is_image_model(self):
        """True for one input (H, W, 1 or 3) of floats: images in [0, 1]."""
        (shape, dtype), *more = self.inputs.values()
        return not more and len(shape) == 3 and shape[-1] in (1, 3) and dtype.startswith("float")

    def as_dict(self):
        """The same facts with lists instead of tuples, for report.json."""
        return {
            "inputs": {name: {"shape": list(shape), "dtype": dtype} for name, (shape, dtype) in self.inputs.items()},
            "outputs": {name: {"shape": list(shape)} for name, shape in self.outputs.items()},
        }


def signature_of(model):
    """The `Signature` of a functional model with fixed input shapes.

    Inputs are named after the `keras.Input`s; outputs after the keys of a dict, else after the layers that make them.
    Raises ValueError for a model without fixed, named inputs.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"model {model.name!r} has no symbolic inputs; wrap it: "
            "x = keras.Input(shape, name='images'); keras.Model(x, model(x))"
        )
    inputs = {}
    for tensor in model.inputs:
        shape = tuple(tensor.shape[1:])
        if None in shape:
            raise ValueError(
                f"input {tensor.name!r} of {model.name!r} has the shape {tuple(tensor.shape)}; "
                "TFLite needs every size but the batch fixed: build the model with a full image_shape"
            )
        inputs[tensor.name] = (shape, tensor.dtype if tensor.dtype not in REDUCED else "float32")
    outputs = dict(zip(output_names(model), (tuple(tensor.shape[1:]) for tensor in model.outputs)))
    if len(outputs) < len(model.outputs):
        raise ValueError(f"two outputs of {model.name!r} share a name ({', '.join(outputs)}); return a dict")
    return Signature(inputs=inputs, outputs=outputs)


def output_names(model):
    """Names of `model.outputs`, in that order: the keys of a dict, else the layers' names."""
    if isinstance(model.output, dict):
        return sorted(model.output)  # the order in which nested structures are flattened
    return [tensor._keras_history.operation.name for tensor in model.outputs]


def evaluate(model, inputs, *, weights=None):
    """Outputs of the live model as {name: float32 array (N, ...)} for `inputs` {name: array (N, ...)}.

    With `weights`, a list in the order of `model.get_weights()`, the model is run as if it held those.
    """
    count = len(next(iter(inputs.values())))
    batches = [
        model_call(model, {name: tf.convert_to_tensor(value[i : i + 32]) for name, value in inputs.items()}, weights)
        for i in range(0, count, 32)
    ]
    return {name: np.concatenate([tf.cast(batch[name], tf.float32) for batch in batches]) for name in batches[0]}


def model_call(model, inputs, weights=None):
    """`{name: tensor}` -> `{name: tensor}`, whatever structure the model itself takes and returns."""
    packed = keras.tree.pack_sequence_as(model.input, [inputs[tensor.name] for tensor in model.inputs])
    if weights is None:
        outputs = model(packed, training=False)
    else:
        value = dict(zip((weight.path for weight in model.weights), weights))
        trainable = [value[variable.path] for variable in model.trainable_variables]
        rest = [value.get(variable.path, variable.value) for variable in model.non_trainable_variables]
        outputs, _ = model.stateless_call(trainable, rest, packed, training=False)
    return dict(zip(output_names(model), keras.tree.flatten(outputs)))


def portable(model):
    """The model itself where it can be exported as it is, else a float32 copy of it with the same weights.

    A copy is made of a model that computes in float16 or bfloat16 (TFLite has no bfloat16) and of one whose variables
    a distribution strategy mirrors (their graph cannot be frozen).
    Raises RuntimeError inside `strategy.scope()`, where the copy would be mirrored again.
    """
    if tf.distribute.has_strategy():
        raise RuntimeError("export_model was called inside strategy.scope(); call it after the `with` block")
    reduced = any(layer.compute_dtype in REDUCED for layer in model._flatten_layers())
    mirrored = any(isinstance(weight.value, tf.distribute.DistributedValues) for weight in model.weights)
    return rebuilt(model, [np.asarray(weight) for weight in model.get_weights()]) if reduced or mirrored else model


def rebuilt(model, weights):
    """A float32 model of the same configuration that holds `weights` (in the order of `model.get_weights()`)."""
    classes = {type(layer).__name__: type(layer) for layer in model._flatten_layers() if is_own(type(layer))}
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # layers made inside other layers read the global policy
    try:
        config = in_float32(keras.saving.serialize_keras_object(model))
        copy = keras.saving.deserialize_keras_object(config, custom_objects=classes)
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(weights)
    return copy


def is_own(layer_class):
    """Not Keras's: a custom class goes before its namesakes, and Keras has a layer and an operation called Add."""
    return layer_class.__module__.partition(".")[0] != "keras"


def in_float32(config):
    """A serialized Keras object with every reduced precision in it replaced by float32."""
    if isinstance(config, dict):
        return {key: in_float32(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(in_float32(value) for value in config)
    return "float32" if isinstance(config, str) and config in REDUCED else config
