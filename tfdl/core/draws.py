"""Random numbers of a loss, as a function of a seed and the number of the update.

A generator with a state would give each micro-batch and replica numbers of its own; these are the same in all of them,
and a run that is resumed draws them again.  Source: the guide of `tf.random.stateless_uniform`.
"""

import tensorflow as tf


def uniform(shape, seed, update):
    """Numbers in [0, 1) of the given shape; `seed` and `update`: integers or () tensors."""
    return tf.random.stateless_uniform(shape, tf.stack([tf.cast(seed, tf.int64), tf.cast(update, tf.int64)]))
