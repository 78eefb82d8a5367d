import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.magnitudes import numbers, quick
from tfdl.metrics.classification import true_and_predicted_labels

IMAGES = np.random.default_rng(0).random((7, 2, 3, 1), dtype="float32")
LABELS = np.array([0, 3, 1, 1, 2, 3, 0], "int32")


FORMS = {"numbers": LABELS, "column": LABELS[:, None], "probabilities": np.eye(4, dtype="float32")[LABELS]}


@pytest.mark.parametrize("labels", FORMS.values(), ids=FORMS)
def test_labels_are_in_the_order_of_the_set_and_drawn_without_dropout(labels):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((2, 3, 1)), keras.layers.Flatten(), keras.layers.Dropout(0.9), keras.layers.Dense(4)]
    model = keras.Sequential(layers)
    truth, predicted = true_and_predicted_labels(model, tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(3))
    np.testing.assert_array_equal(truth, LABELS)
    np.testing.assert_array_equal(predicted, model.predict(IMAGES, verbose=0).argmax(-1))
    assert len(set(predicted)) > 1 and truth.dtype == np.int64


@quick
@given(st.lists(st.lists(numbers(-30, 30), min_size=3, max_size=3), min_size=1, max_size=4), st.sampled_from([1, 2]))
def test_predicted_label_is_the_argmax_at_every_magnitude(outputs, axes):
    outputs = np.array(outputs, "float32")
    labels = np.arange(len(outputs)).reshape(-1, *[1] * (axes - 1)) % 3
    truth, predicted = true_and_predicted_labels(lambda images, training: images, [(outputs, labels)])
    np.testing.assert_array_equal(truth, labels.ravel())
    np.testing.assert_array_equal(predicted, outputs.argmax(-1))


@pytest.mark.parametrize(
    "batches, words",
    [
        ([], "data set is empty"),
        ([(np.ones((3, 1)), np.zeros(3))], r"outputs have shape \(3, 1\); give \(B, C\)"),
        ([(np.array([[0, 1], [np.nan, 0]]), np.zeros(2))], "output for image 1 of a batch is NaN"),
        ([(np.eye(2), np.zeros((2, 3)))], r"labels have shape \(2, 3\), the outputs \(2, 2\)"),
        ([(np.eye(2), np.array([0, 1.7]))], "label 1.7 is not a class; give numbers from 0 to 1"),
        ([(np.eye(2), np.array([0, 2**32]))], "label 4294967296 is not a class"),
    ],
)
def test_what_has_no_predicted_label_is_refused(batches, words):
    with pytest.raises(ValueError, match=words):
        true_and_predicted_labels(lambda images, training: images, batches)
