"""Distributed datasets without TensorFlow's autotuner of input pipelines, which can delay the end of an epoch.

The tuner sleeps for 10 ms, then for twice as long, and so on up to 60 s.  Deleting an iterator first wakes the tuner
and then marks it as canceled, so that a fast tuner goes back to sleep and the deletion waits for it.  With two workers
on two cores this happened in most epochs (TensorFlow 2.21), and the other worker waited too, 20 to 60 s each time.
"""

import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops as device_iterators  # no public name


def untuned(dataset):
    """The same data without the tuner; maps with automatic parallelism use all available threads."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def distribute_untuned(strategy):
    """Makes `strategy` distribute datasets without the tuner; returns it."""
    distribute = strategy.experimental_distribute_dataset
    strategy.experimental_distribute_dataset = lambda dataset, options=None: distribute(untuned(dataset), options)
    return strategy


_create = device_iterators._create_device_dataset
device_iterators._create_device_dataset = lambda *args: untuned(_create(*args))  # the buffers of the devices
