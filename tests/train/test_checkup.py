from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.train.reports.checkup import checkup
from tfdl.train.statistics import refresh


def network(classes=3):
    inputs = keras.Input((4,))
    x = keras.layers.Dense(5, name="ahead")(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.BatchNormalization(name="norm")(x)))


def data(**more):
    """30 training samples; 10, 30 and 60 validation samples of three classes."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [10, 30, 60])
    train = tf.data.Dataset.from_tensor_slices((random.normal(size=(30, 4)), np.arange(30) % 3)).batch(10)
    validation = tf.data.Dataset.from_tensor_slices((random.normal(size=(100, 4)), labels)).batch(40)
    return SimpleNamespace(train=train, validation=validation, labels=("coat", "hat", "shirt"), **more)


def history(*accuracies):
    return [{"epoch": epoch, "val_accuracy": value} for epoch, value in enumerate(accuracies)]


@pytest.mark.parametrize("kind", [list, dict, keras.callbacks.History])
def test_run_at_the_level_of_the_commonest_class_says_so(kind):
    rows = history(0.1, 0.62, 0.6)
    if kind is not list:
        rows = {"val_accuracy": [row["val_accuracy"] for row in rows]}
    if kind is keras.callbacks.History:
        columns, rows = rows, keras.callbacks.History()
        rows.history = columns
    (sentence,) = checkup(network(), data(), rows)
    assert "0.620, is what always answering 'shirt' would give (0.600 of 100 images)" in sentence


def test_run_that_comes_apart_says_so():
    (sentence,) = checkup(network(), data(), history(0.5, 0.91, 0.6))
    assert "last epoch's validation accuracy, 0.600" in sentence and "0.910 in epoch 2" in sentence


def test_good_runs_and_other_tasks_say_nothing():
    assert checkup(network(), data(), history(0.7, 0.9)) == []
    assert checkup(network(), data(), [{"val_loss": 1.0}]) == []
    assert checkup(network(), data(), []) == []
    masks = tf.data.Dataset.from_tensor_slices((np.ones((8, 4)), np.ones((8, 4, 4)))).batch(4)
    assert checkup(network(), SimpleNamespace(train=masks, validation=masks), history(0.1)) == []
    boxes = tf.data.Dataset.from_tensor_slices((np.ones((8, 4)), {"boxes": np.ones((8, 2, 4))})).batch(4)
    assert checkup(network(), SimpleNamespace(train=boxes, validation=boxes), history(0.1)) == []
    assert checkup(network(1), data(), history(0.9)) == [], "one logit"


def test_known_counts_are_taken():
    counts = {"validation": np.array([50, 30, 20])}
    (sentence,) = checkup(network(), data(class_counts=counts), history(0.5))
    assert "'coat' would give (0.500 of 100 images)" in sentence


def test_inference_that_does_not_fit_says_so_and_changes_nothing():
    random = np.random.default_rng(1)
    x = random.normal(size=(300, 4)).astype("float32")
    labels = x[:, :3].argmax(1)
    model = network()
    model.get_layer("ahead").set_weights([np.eye(4, 5, dtype="float32"), np.zeros(5)])
    model.layers[-1].set_weights([np.eye(5, 3, dtype="float32"), np.zeros(3)])
    norm = model.get_layer("norm")
    norm.moving_mean.assign([9.0, -9.0, 0.0, 0.0, 0.0])  # as from weights that are long gone
    position = tf.Variable([3, 2], dtype=tf.int64)
    batches = tf.data.Dataset.from_tensor_slices((x, labels)).batch(60)
    own = SimpleNamespace(train=batches, validation=None, position=position)
    before = model.get_weights()
    (sentence,) = checkup(model, own, [])
    assert "On 300 training images" in sentence and "refresh(model, data)" in sentence
    np.testing.assert_array_equal(position, [3, 2])
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)
    refresh(model, own)
    assert checkup(model, own, []) == []
