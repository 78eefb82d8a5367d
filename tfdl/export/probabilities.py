"""Logits turned into probabilities inside the exported files: apps show scores as they come."""

import keras
import numpy as np

from tfdl.export.signatures import evaluate

NAME = "probabilities"


def with_softmax(model, samples):
    """(model, its outputs for `samples`): the same network, followed by a softmax.

    The outputs are computed from the logits of the model itself, with NumPy, and not by the new layer.

    Args:
        model: with one output (B, K), K > 1, of logits.
        samples: {input name: array (N, ...)}.

    Raises:
        ValueError: it has other outputs, or gives probabilities already.
    """
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2 or (model.outputs[0].shape[1] or 0) < 2:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in model.outputs)
        raise ValueError(f"softmax=True needs one output (batch, classes) with two or more classes, not {shapes}.")
    (logits,) = evaluate(model, samples).values()
    if logits.min() >= 0 and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"The outputs of {model.name!r} are probabilities already; leave softmax=True out.")
    layer = keras.layers.Softmax(name=NAME, dtype="float32")
    return keras.Model(model.input, layer(model.outputs[0]), name=model.name), {NAME: softmax(logits)}


def softmax(logits):
    """(N, K) -> (N, K) float32; computed in float64."""
    shifted = np.exp(logits.astype("float64") - logits.max(axis=1, keepdims=True))
    return (shifted / shifted.sum(axis=1, keepdims=True)).astype("float32")
