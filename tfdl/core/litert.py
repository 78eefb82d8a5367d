"""Runs TFLite files with LiteRT and converts between integers and real numbers.  Needs no TensorFlow."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tfdl.core.quiet import muffled


def interpreter(content, *, threads=1):
    """An interpreter of a TFLite file's bytes, ready to run.

    Raises:
        ValueError, RuntimeError: LiteRT's own, for a damaged file and for operators that it lacks.
    """
    with muffled():  # the delegate prints a message
        made = Interpreter(model_content=content, num_threads=threads)
        made.allocate_tensors()
    return made


def quantized(values, detail):
    """Real values in the input's dtype: q = round(x / scale) + zero point if it is quantized."""
    scale, zero = detail["quantization"]
    if not scale:
        return np.asarray(values, detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def real(values, detail):
    """The output as float32: x = scale (q - zero point) if it is quantized."""
    scale, zero = detail["quantization"]
    return (values.astype("float32") - zero) * np.float32(scale) if scale else values.astype("float32")
