"""Full-integer quantization: 8-bit weights and activations, calibrated on real samples.

Scheme: Jacob et al. 2018, arXiv:1712.05877, eq. 1: real = scale (q - zero point); weights per channel, activations per
tensor with ranges observed on the calibration samples.
"""

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

# The converter ends with this function too, where it is asked for such a file; there is no public name for it.
from tensorflow.lite.python.util import modify_model_io_type

from tfdl.export.conversion import converted
from tfdl.export.tflite import refuse_foreign

CALIBRATION, HELD_OUT = 128, 256  # samples at most; more did not move the ranges of the small networks here
FEWEST = 8


def enough_samples(count):
    """Whether so many samples are enough for int8 files: half of them calibrate, the others judge.

    Cheap, so that it can be asked before a training that would end without these files.
    """
    return count >= FEWEST


def gather(representative, signature):
    """(samples, signature): up to 384 samples as {input name: array (N, ...)}, N at least 1.

    Args:
        representative: an array (N, ...), a list of arrays in the order of the inputs, a dict of arrays by input name,
            or something that gives such inputs, alone or first in a tuple (inputs, labels), one by one or in batches:
            a `tf.data.Dataset`, a generator, a function that returns one (as in TensorFlow's guide), a keras PyDataset.
        signature: the model's.  Where only the input's name says that it takes pixels in [0, 1], and the samples say
            otherwise, the signature that comes back has no `input_range`.

    Raises:
        ValueError: no samples, a wrong shape, pixels out of their range, or a value that is NaN or infinite.
    """
    wanted = CALIBRATION + HELD_OUT
    if is_whole(representative):
        samples = as_inputs(inputs_of(representative, signature), signature)
    else:
        samples = collected(elements(representative), signature, wanted)
    count = min(len(value) for value in samples.values())
    if not count:
        raise ValueError(f"representative is empty; give at least {FEWEST} samples, better 200.")
    samples = {name: value[: min(count, wanted)] for name, value in samples.items()}
    check_finite(samples)
    return samples, checked_range(samples, signature)


def halves(samples):
    """(calibration, held out): the first half of the samples, at most 128, and all others."""
    count = len(next(iter(samples.values())))
    half = min(CALIBRATION, count // 2)
    return {n: v[:half] for n, v in samples.items()}, {n: v[half:] for n, v in samples.items()}


def elements(representative):
    """What a data set, a generator, a function that makes one, or a keras PyDataset gives, one after the other."""
    source = representative() if callable(representative) else representative
    if isinstance(source, keras.utils.PyDataset):
        return (source[i] for i in range(len(source)))
    try:
        return iter(source)
    except TypeError:
        raise ValueError(
            f"representative is a {type(representative).__name__}; give an array, a dict of arrays, a tf.data.Dataset "
            "or a generator."
        ) from None


def collected(items, signature, wanted):
    batches, count = [], 0
    for item in items:
        batches.append(as_inputs(inputs_of(item, signature), signature))
        count += len(next(iter(batches[-1].values())))
        if count >= wanted:
            break
    if not batches:
        raise ValueError(f"representative is an empty dataset; give at least {FEWEST} samples, better 200.")
    for name in batches[0]:
        sizes = sorted({batch[name].shape[1:] for batch in batches})
        if len(sizes) > 1:
            raise ValueError(f"representative samples of {name!r} have the shapes {sizes[0]} and {sizes[1]}; give one.")
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def is_whole(representative):
    """Whether it holds all samples at once: an array, a dict, a tuple, or a list that is no list of steps."""
    if isinstance(representative, list):
        return not representative or not isinstance(representative[0], list | tuple | dict)
    return isinstance(representative, dict | tuple) or hasattr(representative, "__array__")


def inputs_of(item, signature):
    """The inputs in what one step of a data set gives: itself, or the first of (inputs, labels, ...).

    A tuple of as many arrays as the model has inputs (two or more) is those inputs.
    """
    if not isinstance(item, tuple) or not item:
        return item
    is_one = isinstance(item[0], list | tuple | dict) or len(signature.inputs) == 1
    return item[0] if is_one or len(item) != len(signature.inputs) else list(item)


def as_inputs(values, signature):
    """An array, a list in the order of the inputs, or a dict -> {input name: array (N, ...)} in the right dtypes."""
    names = list(signature.inputs)
    if isinstance(values, list | tuple) and len(values) == len(names) and (len(names) > 1 or fits(values, signature)):
        values = dict(zip(names, values))
    if not isinstance(values, dict):
        if len(names) > 1:
            raise ValueError(f"The model has the inputs {', '.join(names)}; give a dict of arrays by name.")
        values = {names[0]: values}
    if set(values) != set(names):
        raise ValueError(f"representative names {sorted(values)}, but the model's inputs are {sorted(names)}.")
    result = {}
    for name, (shape, dtype) in signature.inputs.items():
        array = np.asarray(values[name])
        array = array[None] if agree(array.shape, shape) else array
        if not agree(array.shape[1:], shape) or array.dtype.kind not in ("USO" if dtype == "string" else "buif"):
            raise ValueError(
                f"representative samples of {name!r} have the shape {array.shape[1:]} ({array.dtype}), the model wants "
                f"{shape} ({dtype})."
            )
        result[name] = as_texts(array) if dtype == "string" else array.astype(dtype)
    return result


def agree(shape, wanted):
    """Whether a shape is the wanted one, in which None stands for any size."""
    return len(shape) == len(wanted) and all(size in (own, None) for own, size in zip(shape, wanted))


def as_texts(array):
    """Bytes, as TensorFlow gives them, or texts -> an array of str, which needs no pickle in a file."""
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in array.ravel()]
    return np.array(texts, dtype=str).reshape(array.shape)


def fits(values, signature):
    """Whether `values`, a list of one array, holds the whole input, as TensorFlow's guide has it: [array (1, ...)]."""
    ((shape, _),) = signature.inputs.values()
    return agree(np.shape(values[0])[1:], shape)


def check_finite(samples):
    """Raises ValueError with the first sample that has a NaN or an infinity: the calibrator would end the process."""
    numbers = ((name, values) for name, values in samples.items() if values.dtype.kind != "U")
    for name, values in numbers:
        broken = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if broken.any():
            raise ValueError(
                f"representative sample {int(broken.argmax())} of {name!r} has a value that is NaN or infinite; leave "
                "it out or correct it."
            )


def checked_range(samples, signature):
    """The signature, without `input_range` where the samples show that the model takes no pixels in [0, 1].

    Raises:
        ValueError: the caller or the model itself says what pixels are, and the samples are outside.
    """
    if not signature.is_image_model:
        return signature
    ((name, values),) = samples.items()
    low, high = signature.input_range
    smallest, largest = float(values.min()), float(values.max())
    if smallest >= low and largest <= high:
        return signature
    if not signature.is_range_certain:
        return replace(signature, input_range=None)
    remedy = "divide pixels by 255" if (low, high) == (0, 1) and smallest >= 0 else "scale the pixels to it"
    raise ValueError(
        f"representative images range from {smallest:g} to {largest:g}; the model wants [{low:g}, {high:g}]: {remedy}, "
        "or say what it takes with input_range=."
    )


def convert_int8(source, signature, calibration, *, wide=False, decoding=False):
    """TFLite bytes with 8-bit weights and activations; float32 inputs and outputs.

    Args:
        wide: 16-bit activations.
        decoding: what follows the last convolutions and dense layers is a decoding of their outputs, and is computed in
            float32.
    """
    samples = spanning(calibration, signature.input_range) if signature.is_image_model else calibration
    integers = "int8_decoding" if decoding else "int8"
    return refuse_foreign(converted(source, "int16" if wide else integers, samples))


def with_pixels(content, *, decoding=False):
    """The int8 file of a model of pictures with uint8 inputs and outputs: pixels as they are, in [0, 255].

    For a model of pixels in [0, 1] the input's scale is 1/255 and its zero point 0, because the calibration samples are
    made to span the whole range.  With a decoding in float32 the outputs stay float32.
    """
    return bytes(modify_model_io_type(content, tf.uint8, tf.float32 if decoding else tf.uint8))


def spanning(images, limits):
    """The same images but for two pixels, which get the limits, so that the quantized input range is theirs exactly."""
    ((name, values),) = images.items()
    values = values.copy()
    values[0, 0, 0], values[0, 0, 1] = limits
    return {name: values}
