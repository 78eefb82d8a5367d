"""Full-integer quantization: 8-bit weights and activations, calibrated on real samples.

Scheme: Jacob et al. 2018, arXiv:1712.05877, eq. 1: real = scale (q - zero point); weights per channel, activations per
tensor with ranges observed on the calibration samples.
"""

import warnings

import numpy as np
import tensorflow as tf

from tfdl.export.tflite import converted, converter

CALIBRATION, HELD_OUT = 128, 256  # samples at most; more did not move the ranges of the small networks here
FEWEST = 8


def gather(representative, signature):
    """(calibration, held out): the first and the second half of the samples, each as {input name: array (N, ...)}.

    representative: an array (N, ...), a dict of arrays by input name, or a `tf.data.Dataset` of such inputs, alone or
    first in a tuple (inputs, labels), batched or not.  Images are floats in [0, 1].
    Raises ValueError for a wrong shape or range, or fewer than 8 samples.
    """
    wanted = CALIBRATION + HELD_OUT
    if isinstance(representative, tf.data.Dataset):
        samples = collected(representative, signature, wanted)
    else:
        samples = {name: value[:wanted] for name, value in as_inputs(representative, signature).items()}
    count = min(len(value) for value in samples.values())
    if count < FEWEST:
        raise ValueError(f"representative holds {count} samples; give at least {FEWEST}, better 200")
    half = min(CALIBRATION, count // 2)
    return ({n: v[:half] for n, v in samples.items()}, {n: v[half:count] for n, v in samples.items()})


def collected(dataset, signature, wanted):
    batches, count = [], 0
    for element in dataset:
        batch = as_inputs(element[0] if isinstance(element, tuple) else element, signature)
        batches.append(batch)
        count += len(next(iter(batch.values())))
        if count >= wanted:
            break
    if not batches:
        raise ValueError(f"representative is an empty dataset; give at least {FEWEST} samples")
    return {name: np.concatenate([batch[name] for batch in batches])[:wanted] for name in batches[0]}


def as_inputs(values, signature):
    """An array or a dict of arrays -> {input name: array (N, ...)} in the dtypes of the signature."""
    if not isinstance(values, dict):
        if len(signature.inputs) > 1:
            raise ValueError(f"the model has the inputs {', '.join(signature.inputs)}; give a dict of arrays by name")
        values = {next(iter(signature.inputs)): values}
    if set(values) != set(signature.inputs):
        raise ValueError(
            f"representative names {sorted(values)}, but the model's inputs are {sorted(signature.inputs)}"
        )
    result = {}
    for name, (shape, dtype) in signature.inputs.items():
        array = np.asarray(values[name])
        array = array[None] if array.shape == shape else array
        if array.shape[1:] != shape:
            raise ValueError(
                f"representative samples of {name!r} have the shape {array.shape[1:]}, the model wants {shape}"
            )
        if signature.is_image_model and array.size and not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(
                f"representative images range from {array.min():g} to {array.max():g}; the model wants [0, 1]: "
                "divide pixels by 255"
            )
        result[name] = array.astype(dtype)
    return result


def convert_int8(module, signature, calibration, *, pixels=False):
    """TFLite bytes with 8-bit weights and activations; inputs and outputs are float32, or uint8 with `pixels`.

    With `pixels` the input is the plain image in [0, 255]: its scale is 1/255 and its zero point 0, because the
    calibration samples are made to span [0, 1].
    """
    samples = spanning(calibration) if signature.is_image_model else calibration
    count = len(next(iter(samples.values())))
    setup = converter(module)
    setup.optimizations = [tf.lite.Optimize.DEFAULT]
    setup.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    setup.representative_dataset = lambda: ({n: v[i : i + 1] for n, v in samples.items()} for i in range(count))
    if pixels:
        setup.inference_input_type = setup.inference_output_type = tf.uint8
    with warnings.catch_warnings():  # the calibrator uses the old interpreter, which announces its end each time
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        return converted(setup)


def spanning(images):
    """The same images but for two pixels: one 0, one 1, so that the quantized input range is [0, 1] exactly."""
    ((name, values),) = images.items()
    values = values.copy()
    values[0, 0, 0], values[0, 0, 1] = 0.0, 1.0
    return {name: values}
