import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.export.quantize import CALIBRATION, HELD_OUT, gather, spanning
from tfdl.export.signatures import signature_of


@pytest.fixture(scope="module")
def signature(tiny):
    return signature_of(tiny())


def test_halves_are_disjoint_and_in_order(signature, images):
    calibration, held_out = gather(images, signature)
    np.testing.assert_array_equal(calibration["images"], images[:24])
    np.testing.assert_array_equal(held_out["images"], images[24:])


def test_dataset_gives_the_same_samples_as_the_array(signature, images):
    labels = np.zeros(48, "int32")
    sets = [
        tf.data.Dataset.from_tensor_slices((images, labels)).batch(7),
        tf.data.Dataset.from_tensor_slices(images).batch(48),
        tf.data.Dataset.from_tensor_slices({"images": images}),
    ]
    for data in sets:
        for got, expected in zip(gather(data, signature), gather(images, signature)):
            np.testing.assert_array_equal(got["images"], expected["images"])


def test_endless_dataset_is_read_only_as_far_as_needed(signature, images):
    data = tf.data.Dataset.from_tensor_slices(images).batch(32).repeat()
    calibration, held_out = gather(data, signature)
    assert len(calibration["images"]) == CALIBRATION and len(held_out["images"]) == HELD_OUT


@pytest.mark.parametrize(
    "samples, message",
    [
        (np.zeros((3, 16, 12, 3)), "holds 3 samples"),
        (np.zeros((20, 12, 16, 3)), r"shape \(12, 16, 3\), the model wants \(16, 12, 3\)"),
        (np.full((20, 16, 12, 3), 200.0), "divide pixels by 255"),
        ({"pictures": np.zeros((20, 16, 12, 3))}, "model's inputs are"),
    ],
)
def test_wrong_samples_are_refused(signature, samples, message):
    with pytest.raises(ValueError, match=message):
        gather(samples, signature)


def test_empty_dataset_is_refused(signature, images):
    with pytest.raises(ValueError, match="empty dataset"):
        gather(tf.data.Dataset.from_tensor_slices(images).take(0), signature)


def test_several_inputs_need_names():
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    signature = signature_of(keras.Model([one, two], keras.layers.Concatenate(name="both")([one, two])))
    with pytest.raises(ValueError, match="inputs one, two; give a dict"):
        gather(np.zeros((20, 2)), signature)


def test_calibration_images_span_the_whole_range():
    dim = {"images": np.full((4, 5, 6, 3), 0.5, "float32")}
    values = spanning(dim)["images"]
    assert values.min() == 0.0 and values.max() == 1.0 and (values != 0.5).sum() == 6
    assert (dim["images"] == 0.5).all()
