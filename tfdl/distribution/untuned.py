"""Data that a strategy distributes, without TensorFlow's tuner of input pipelines, which can hold up an epoch's end.

The tuner sleeps for 10 ms, then for twice as long, and so on up to 60 s.  Whoever deletes an iterator wakes it first
and marks it as canceled afterwards, so that a quick tuner goes to sleep again, and the deletion waits for it.  Two
workers on two cores met this in most epochs (TensorFlow 2.21): the other worker waits too, 20 to 60 s each time.
"""

import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops as device_iterators  # no public name


def untuned(dataset):
    """The same data, without the tuner; maps that leave their parallelism to it use as many threads as there are."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def distribute_untuned(strategy):
    """`strategy`, which from now on distributes datasets without the tuner."""
    distribute = strategy.experimental_distribute_dataset
    strategy.experimental_distribute_dataset = lambda dataset, options=None: distribute(untuned(dataset), options)
    return strategy


_create = device_iterators._create_device_dataset
device_iterators._create_device_dataset = lambda *args: untuned(_create(*args))  # the buffers of the devices
