import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.export.benchmark import benchmark_tflite
from tfdl.export.graph import graph
from tfdl.export.quantize import CALIBRATION, HELD_OUT, convert_int8, gather, spanning
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, operators
from tfdl.models.convnets.mobilenet import mobilenet


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


def float_and_int8(variant, size):
    """TFLite bytes of a MobileNet in float32 and in int8; its batch statistics are those of the images.

    Without them activations fade to nothing, and XNNPACK declines multiplications by scales that small.
    """
    images = np.random.default_rng(0).random((16, size, size, 3), dtype="float32")
    model = mobilenet(variant, image_shape=(size, size, 3), num_classes=5)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    signature = signature_of(model)
    module = graph(model, signature, integers=True)
    return convert_float(graph(model, signature)), convert_int8(module, signature, gather(images, signature)[0])


def test_int8_mobilenet_v3_stays_in_one_piece():
    """HARD_SWISH, the quickest in float, would split it: XNNPACK has no int8 kernel for that operator."""
    files = float_and_int8("nano", 32)
    assert ["HARD_SWISH" in operators(content) for content in files] == [True, False]
    assert [benchmark_tflite(content, runs=5)["partitions"] for content in files] == [1, 1]


@pytest.mark.slow
def test_int8_mobilenet_v3_is_not_slower_than_float():
    files = float_and_int8("v3_small", 224)
    rounds = [[benchmark_tflite(content, runs=20)["median_ms"] for content in files] for _ in range(5)]
    as_float, as_int8 = np.median(rounds, axis=0)  # rounds alternate, so that a busy moment hits both
    assert as_int8 <= as_float
