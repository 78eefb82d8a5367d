"""Gradient accumulation: K micro-batches replace one large batch.

Each replica splits its part of the batch into K micro-batches, and the step (`train/step.py`) sums their gradients,
weighted by their numbers of samples, before a single update: K micro-batches of B/K samples give the same weights as
one batch of B.  Schedules, EMA and `optimizer.iterations` therefore count updates, not micro-batches.  Only BatchNorm
differs, as it normalizes each micro-batch by its own statistics.
"""

import keras
import tensorflow as tf
from keras.src import backend  # no public name for a tensor's mask


def micro_batches(data, number):
    """Splits a structure of tensors (B, ...) into `number` `MicroBatch`es; the last ones may be smaller or empty."""
    if number == 1:
        return [MicroBatch(data)]
    return [
        MicroBatch(tf.nest.map_structure(lambda t, i=i: None if t is None else t[i::number], data))
        for i in range(number)  # the i-th has ceil((B - i) / number) samples
    ]


class MicroBatch:
    """A (micro-)batch of one replica: `x, y, weight` of `count` samples; without samples, one row of zeros as padding.

    If the global batch is smaller than replicas times micro-batches, some are empty, and not all of TensorFlow's
    kernels support an empty batch (oneDNN's fused convolution returns a wrong shape).
    """

    def __init__(self, data):
        self.count = tf.shape(next(t for t in tf.nest.flatten(data) if t is not None))[0]
        self.x, self.y, self.weight = keras.utils.unpack_x_y_sample_weight(keras.tree.map_structure(self.pad, data))

    def pad(self, t):
        if t is None or (t.shape[0] or 0) > 0:
            return t
        rows = tf.maximum(0, 1 - tf.shape(t)[0])
        padded = tf.pad(t, tf.concat([[[0, rows]], tf.zeros((t.shape.rank - 1, 2), tf.int32)], axis=0))
        return tf.ensure_shape(padded, [None, *t.shape[1:]])  # some layers need the static size of their images

    def samples(self, tensors):
        """The rows that belong to samples, with their Keras masks."""
        return keras.tree.map_structure(self.rows, tensors)

    def rows(self, t):
        if t is None:
            return None
        rows, mask = t[: self.count], backend.get_keras_mask(t)
        if mask is not None:
            backend.set_keras_mask(rows, mask[: self.count])
        return rows
