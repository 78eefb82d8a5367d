"""Metrics of models that predict tokens: which of those that are there to be predicted are right.

Shapes: B batch, T tokens, V vocabulary.
"""

import keras
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.serial import serializable


@serializable
class TokenAccuracy(keras.metrics.Mean):
    """Share of the tokens that are no PADDING of which the likeliest is the right one."""

    def __init__(self, name="token_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Targets (B, T) and logits (B, T, V); `sample_weight` (B,)."""
        weights = ops.cast(ops.not_equal(y_true, PADDING), self.dtype)
        if sample_weight is not None:
            weights = weights * ops.cast(sample_weight, self.dtype)[:, None]
        # Flat: Keras would take the mean over T first, and tokens of long batches would count less.
        return super().update_state(ops.reshape(right(y_true, y_pred), [-1]), ops.reshape(weights, [-1]))


@serializable
class RowAccuracy(keras.metrics.Mean):
    """Share of the rows in which every token that is no PADDING is right.

    Where the right tokens are given, the likeliest ones are all right exactly if greedy decoding writes them all.
    """

    def __init__(self, name="row_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Targets (B, T) and logits (B, T, V); `sample_weight` (B,)."""
        rows = ops.all(ops.logical_or(right(y_true, y_pred), ops.equal(y_true, PADDING)), axis=-1)
        return super().update_state(rows, sample_weight=sample_weight)


def right(targets, logits):
    """(B, T) and (B, T, V) -> (B, T) bool."""
    return ops.equal(ops.cast(targets, "int32"), ops.cast(ops.argmax(logits, axis=-1), "int32"))
