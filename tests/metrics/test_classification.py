import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.metrics.classification import answers

IMAGES = np.random.default_rng(0).random((7, 2, 3, 1), dtype="float32")
LABELS = np.array([0, 3, 1, 1, 2, 3, 0], "int32")


@pytest.mark.parametrize("labels", [LABELS, np.eye(4, dtype="float32")[LABELS]], ids=["numbers", "probabilities"])
def test_answers_are_in_the_order_of_the_set_and_drawn_without_dropout(labels):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((2, 3, 1)), keras.layers.Flatten(), keras.layers.Dropout(0.9), keras.layers.Dense(4)]
    model = keras.Sequential(layers)
    truth, guesses = answers(model, tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(3))
    np.testing.assert_array_equal(truth, LABELS)
    np.testing.assert_array_equal(guesses, model.predict(IMAGES, verbose=0).argmax(-1))
    assert len(set(guesses)) > 1 and truth.dtype == np.int64
