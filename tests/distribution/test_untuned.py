"""No tuner of input pipelines where data are distributed: it can hold up the end of an epoch by a minute."""

import pytest
import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops as device_iterators

from tfdl.data import images
from tfdl.distribution.untuned import distribute_untuned, untuned


def tuned(dataset):
    return dataset.options().autotune.enabled is not False


@pytest.fixture
def tuners(monkeypatch):
    """Of each data set that gets an iterator, whether TensorFlow tunes it."""
    found = []
    source, iterator = device_iterators.OwnedMultiDeviceIterator.__init__, tf.data.Dataset.__iter__

    def of_source(self, dataset=None, *args, **kwargs):
        found.append(tuned(dataset))
        source(self, dataset, *args, **kwargs)

    def of_device(self):
        found.append(tuned(self))
        return iterator(self)

    monkeypatch.setattr(device_iterators.OwnedMultiDeviceIterator, "__init__", of_source)
    monkeypatch.setattr(tf.data.Dataset, "__iter__", of_device)
    return found


def test_neither_the_data_nor_the_buffers_of_devices_are_tuned(tuners):
    strategy = distribute_untuned(tf.distribute.MirroredStrategy(["CPU:0"]))
    rows = strategy.experimental_distribute_dataset(tf.data.Dataset.range(4).map(lambda x: 2 * x, tf.data.AUTOTUNE))
    assert [int(row) for row in rows] == [0, 2, 4, 6]
    assert tuners == [False, False]


def test_images_are_not_tuned_on_one_device_either():
    data = images.load("digits", batch_size=32, limit=64)
    assert not any(tuned(split) for split in (data.train, data.validation, data.test))


def test_other_options_stay():
    options = tf.data.Options()
    options.deterministic = False
    assert untuned(tf.data.Dataset.range(4).with_options(options)).options().deterministic is False
