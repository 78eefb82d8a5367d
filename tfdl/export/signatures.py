"""What a model takes and returns: names, shapes, dtypes, the range of its pixels, and its outputs as float32.

Shapes: B is the batch; a TFLite file has a fixed one, mostly B = 1, a SavedModel any B.
"""

import inspect
import re
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from tfdl.export.precision import REDUCED
from tfdl.layers.pixels import normalization_of

PICTURES = "images"  # the input's name in every vision model of the catalog, which take pixels in [0, 1]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # of a tensor or an entry point, as TensorFlow takes it
OUTPUT = "outputs"  # of a subclass of `keras.Model` that gives one tensor
AUTOMATIC = re.compile(r"(keras_tensor|input_layer|input)(_\d+)?")  # names that Keras numbers in each process


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Names, per-sample shapes and dtypes of a model's inputs, and names and shapes of its outputs.

    Attributes:
        inputs: name -> (shape without the batch, dtype); None for a size that is free, "string" for texts.
        outputs: name -> shape without the batch.
        input_range: smallest and largest pixel value of a model of pictures; None for other models.
        is_range_certain: whether the caller said it, or the model normalizes pixels; else its input is just called
            "images", as those of the catalog.
        batch_size: of the TFLite files.
    """

    inputs: dict[str, tuple[tuple[int | None, ...], str]]
    outputs: dict[str, tuple[int | None, ...]]
    input_range: tuple[float, float] | None = None
    is_range_certain: bool = True
    batch_size: int = 1

    @property
    def is_image_model(self):
        """Whether its one input is pictures (H, W, 1 or 3) whose range of values is known."""
        return self.input_range is not None

    @property
    def is_classifier(self):
        """Whether it is a model of pictures with one output (K)."""
        return self.is_image_model and [len(shape) for shape in self.outputs.values()] == [1]

    def as_dict(self):
        """The same facts with lists instead of tuples, for report.json."""
        return {
            "inputs": {name: {"shape": list(shape), "dtype": dtype} for name, (shape, dtype) in self.inputs.items()},
            "outputs": {name: {"shape": list(shape)} for name, shape in self.outputs.items()},
        }


def signature_of(model, *, input_range=None):
    """The `Signature` of a functional model.

    Inputs are named after the `keras.Input`s; outputs after the keys of a dict, else after the layers that make them.
    Names that Keras has numbered lose their number, since another process would give another one.

    Args:
        model: a functional model.
        input_range: smallest and largest pixel value; by default that of a catalog model, (0, 1), or None.

    Raises:
        ValueError: the model has no symbolic inputs, two outputs share a name, one gives texts, or it takes no pictures
            to have a range of.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"The model {model.name!r} has no symbolic inputs; wrap it: "
            "x = keras.Input(shape, name='images'); keras.Model(x, model(x))"
        )
    inputs = {}
    for name, tensor in zip(input_names(model), model.inputs):
        inputs[name] = (tuple(tensor.shape[1:]), tensor.dtype if tensor.dtype not in REDUCED else "float32")
    outputs = dict(zip(output_names(model), (tuple(tensor.shape[1:]) for tensor in model.outputs)))
    if len(outputs) < len(model.outputs):
        raise ValueError(f"Two outputs of {model.name!r} share a name ({', '.join(outputs)}); return a dict.")
    texts = [name for name, tensor in zip(output_names(model), model.outputs) if tensor.dtype == "string"]
    if texts:
        raise ValueError(
            f"The output {texts[0]!r} of {model.name!r} is text, which cannot be compared with a file's; let the model "
            "end before it, and look the words up in your program."
        )
    signature = Signature(inputs=inputs, outputs=outputs)
    if input_range is None:
        certain = normalization_of(model) is not None
        if is_from_catalog(model, signature):
            return replace(signature, input_range=(0.0, 1.0), is_range_certain=certain)
        return signature
    low, high = input_range
    if not has_picture_shape(signature) or not low < high:
        raise ValueError(
            f"input_range is {tuple(input_range)}; it is for models with one input (height, width, 1 or 3) of floats, "
            f"and goes from a smaller to a larger number. {model.name!r} takes {signature.inputs}."
        )
    return replace(signature, input_range=(float(low), float(high)))


def has_picture_shape(signature):
    (shape, dtype), *more = signature.inputs.values()
    return not more and len(shape) == 3 and shape[-1] in (1, 3) and dtype.startswith("float")


def is_from_catalog(model, signature):
    """Whether it names its input as tfdl's vision models do, and normalizes pixels as they do or not at all."""
    if not has_picture_shape(signature) or list(signature.inputs) != [PICTURES]:
        return False
    rescales = any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)
    return normalization_of(model) is not None or not rescales


def input_names(model):
    """Names of `model.inputs`, in that order.  Raises ValueError for one that TensorFlow does not take."""
    names = unnumbered(["inputs" if AUTOMATIC.fullmatch(tensor.name) else tensor.name for tensor in model.inputs])
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"The input name {name!r} cannot be exported; use letters, digits and _, as in 'images'.")
    return names


def output_names(model):
    """Names of `model.outputs`, in that order: the keys of a dict, else the layers' names."""
    if isinstance(model.output, dict):
        if not all(isinstance(value, keras.KerasTensor) for value in model.output.values()):
            raise ValueError(f"The outputs of {model.name!r} are nested; return a dict of tensors.")
        return sorted(model.output)  # the order in which nested structures are flattened
    return unnumbered([without_number(tensor._keras_history.operation) for tensor in model.outputs])


def without_number(operation):
    """The name of a layer or operation; without the number that Keras gives to those that the user did not name."""
    automatic = keras.src.utils.naming.to_snake_case(type(operation).__name__)
    return automatic if re.fullmatch(rf"{re.escape(automatic)}_\d+", operation.name) else operation.name


def unnumbered(names):
    """The names; of equal ones the second gets _1, the third _2."""
    counts, result = {}, []
    for name in names:
        count = counts[name] = counts.get(name, -1) + 1
        result.append(f"{name}_{count}" if count else name)
    return result


def functional(model, representative=None):
    """The same network as a functional model, which a `keras.Sequential` and a subclass of `keras.Model` are not.

    Args:
        representative: samples that show which inputs a subclass takes: an array, a dict of arrays, or a
            tf.data.Dataset of inputs or of (inputs, labels).

    Raises:
        ValueError: a Sequential that has not been built, or a subclass without samples.
    """
    if not isinstance(model, keras.Sequential):
        return model if getattr(model, "inputs", None) else wrapped(model, representative)
    if not model.built or not model.layers:
        raise ValueError(
            f"The Sequential model {model.name!r} does not know its input yet; begin it with keras.Input(shape) or "
            "call it once."
        )
    return keras.Model(model.inputs, model.outputs, name=model.name)


def wrapped(model, representative):
    """A subclass of `keras.Model`, called on symbolic inputs of the samples' shapes.  Raises as `functional`."""
    samples = representative.element_spec if isinstance(representative, tf.data.Dataset) else representative
    samples = samples[0] if isinstance(samples, tuple) and samples else samples
    if not isinstance(samples, dict) and not hasattr(samples, "shape"):
        raise ValueError(
            f"{model.name!r} is a subclass of keras.Model, which does not say what it takes: give samples as"
            " representative= (an array, a dict of arrays or a tf.data.Dataset), or wrap it:"
            " x = keras.Input(shape, name='images'); keras.Model(x, model(x))."
        )
    if isinstance(samples, dict):
        inputs = {name: like(value, name) for name, value in samples.items()}
    else:
        inputs = like(samples, next(iter(inspect.signature(model.call).parameters)))
    outputs = model(inputs)
    return keras.Model(inputs, outputs if isinstance(outputs, dict) else {OUTPUT: outputs}, name=model.name)


def like(samples, name):
    """A symbolic input for samples (N, ...)."""
    return keras.Input(tuple(samples.shape[1:]), dtype=keras.backend.standardize_dtype(samples.dtype), name=name)


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
    packed = keras.tree.pack_sequence_as(model.input, [inputs[name] for name in input_names(model)])
    if weights is None:
        outputs = model(packed, training=False)
    else:
        value = dict(zip((weight.path for weight in model.weights), weights))
        trainable = [value[variable.path] for variable in model.trainable_variables]
        rest = [value.get(variable.path, variable.value) for variable in model.non_trainable_variables]
        outputs, _ = model.stateless_call(trainable, rest, packed, training=False)
    return dict(zip(output_names(model), keras.tree.flatten(outputs)))


def sample_by_sample(run, samples, scalars, *, batch=1):
    """Outputs {name: array (N, ...)} of a function {name: tensor} -> {name: tensor}, called with one sample at a time.

    Args:
        run: the function.
        samples: {name: array (N, ...)}.
        scalars: names of inputs that have no batch.
        batch: how often each sample stands in its batch; the last answer is taken.
    """
    rows = []
    for i in range(len(next(iter(samples.values())))):
        inputs = {
            name: values[i] if name in scalars else np.repeat(values[i : i + 1], batch, axis=0)
            for name, values in samples.items()
        }
        outputs = run({name: tf.convert_to_tensor(value) for name, value in inputs.items()})
        rows.append({name: plain(value)[-1:] for name, value in outputs.items()})
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def plain(tensor):
    """A tensor as an array: texts as str, everything else as float32."""
    if tf.as_dtype(tensor.dtype) == tf.string:
        return np.char.decode(np.asarray(tensor, bytes), "utf-8")
    return np.asarray(tf.cast(tensor, tf.float32))
