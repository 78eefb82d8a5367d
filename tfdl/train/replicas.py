"""Layers on several replicas: synchronized BatchNorm, and different random numbers on each replica."""

import contextlib
import threading
import types

import keras
import tensorflow as tf

from tfdl.core.gradients import all_reduce_sum

_thread = threading.local()  # MirroredStrategy traces each replica in its own thread


@contextlib.contextmanager
def samples(count):
    """Declares that the batch inside the block has `count` samples; 0: one row of padding, which BatchNorm skips."""
    before = samples_here()
    _thread.count = count
    try:
        yield
    finally:
        _thread.count = before


def samples_here():
    """The number of samples declared by the enclosing `samples`; None outside of one."""
    return getattr(_thread, "count", None)


def batch_norms(model):
    """The list of all BatchNormalization layers of `model`, each once."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def synchronize_batch_norms(model):
    """Makes every BatchNormalization of `model` normalize by the statistics of the global (micro-)batch."""
    for layer in batch_norms(model):
        layer._moments = types.MethodType(global_moments, layer)


@contextlib.contextmanager
def synchronized_batch_norms(model):
    """`synchronize_batch_norms` inside the block only."""
    changed = [layer for layer in batch_norms(model) if "_moments" not in vars(layer)]
    synchronize_batch_norms(model)
    try:
        yield
    finally:
        for layer in changed:
            del layer._moments


def global_moments(layer, x, mask):
    """Mean and variance over all axes except `layer.axis` and over all replicas.  x (B, ..., C) float32 -> 2 x (C,).

    Computed in two passes: the mean square minus the squared mean, in one pass, loses digits where the mean is large.
    If the batch is empty on all replicas, the moving statistics are returned, so that they do not change.
    """
    axes = layer._reduction_axes
    count = samples_here()
    seen = tf.cast(True if count is None else count > 0, x.dtype)
    weights = None if mask is None else tf.cast(mask, x.dtype)[..., None]

    def summed(values):
        return seen * tf.reduce_sum(values if weights is None else values * weights, axes)

    number = tf.cast(tf.size(x) / x.shape[layer.axis], x.dtype) if weights is None else tf.reduce_sum(weights)
    total, count = all_reduce_sum([summed(x), seen * number])
    mean = tf.math.divide_no_nan(total, count)
    shape = [1] * x.shape.rank
    shape[layer.axis] = -1
    variance = tf.math.divide_no_nan(all_reduce_sum(summed(tf.square(x - tf.reshape(mean, shape)))), count)
    return (
        tf.where(count > 0, mean, tf.cast(layer.moving_mean, x.dtype)),
        tf.where(count > 0, variance, tf.cast(layer.moving_variance, x.dtype)),
    )


def fold_replica_into_seeds(model):
    """Makes random layers draw different numbers on each replica; replica 0 draws those of a single device."""
    for generator in {id(g): g for layer in model._flatten_layers() for g in layer._seed_generators}.values():
        if "next" not in vars(generator):
            generator.next = folded(generator.next)


def folded(draw):
    """`SeedGenerator.next` with the replica's index folded in."""

    def next_seed(ordered=True):
        seed = draw(ordered=ordered)
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return seed
        index = tf.cast(replica.replica_id_in_sync_group, tf.int32)
        other = tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int32), index)
        return tf.where(index > 0, tf.cast(other, seed.dtype), seed)

    return next_seed
