import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.export.benchmark import benchmark_tflite
from tfdl.export.graph import graph
from tfdl.export.quantize import CALIBRATION, FEWEST, HELD_OUT, convert_int8, enough_samples, gather, halves, spanning
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, operators
from tfdl.models.convnets.mobilenet import mobilenet


@pytest.fixture(scope="module")
def signature(tiny):
    return signature_of(tiny())


def samples_of(representative, signature):
    return gather(representative, signature)[0]


def test_halves_are_disjoint_and_in_order(signature, images):
    calibration, held_out = halves(samples_of(images, signature))
    np.testing.assert_array_equal(calibration["images"], images[:24])
    np.testing.assert_array_equal(held_out["images"], images[24:])


def batches(images):
    """As TensorFlow's guide writes a representative data set."""
    for image in images:
        yield [image[None]]


class Batches(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return len(self.images) // 16

    def __getitem__(self, index):
        return self.images[16 * index : 16 * index + 16], np.zeros(16)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: tf.data.Dataset.from_tensor_slices((x, np.zeros(48, "int32"))).batch(7),
        lambda x: tf.data.Dataset.from_tensor_slices(x).batch(48),
        lambda x: tf.data.Dataset.from_tensor_slices({"images": x}),
        lambda x: batches(x),
        lambda x: lambda: batches(x),
        lambda x: ({"images": part} for part in np.split(x, 4)),
        lambda x: list(x),
        lambda x: [x],
        lambda x: tf.constant(x),
        Batches,
    ],
    ids=["pairs", "batches", "dicts", "guide", "function", "generator", "images", "inputs", "tensor", "PyDataset"],
)
def test_every_way_to_give_samples_gives_the_same(signature, images, wrap):
    np.testing.assert_array_equal(samples_of(wrap(images), signature)["images"], images)


def test_endless_data_is_read_only_as_far_as_needed(signature, images):
    read = []

    def endless():
        while True:
            read.append(1)
            yield images[:32]

    calibration, held_out = halves(samples_of(endless(), signature))
    assert len(calibration["images"]) == CALIBRATION and len(held_out["images"]) == HELD_OUT
    assert len(read) == (CALIBRATION + HELD_OUT) / 32


def hole(value):
    samples = np.zeros((20, 16, 12, 3))
    samples[7, 3, 2, 1] = value
    return samples


@pytest.mark.parametrize(
    "samples, message",
    [
        (np.zeros((20, 12, 16, 3)), r"shape \(12, 16, 3\) \(float64\), the model wants \(16, 12, 3\)"),
        (np.full((20, 16, 12, 3), "a"), "the model wants"),
        ({"pictures": np.zeros((20, 16, 12, 3))}, "model's inputs are"),
        (hole(np.nan), "sample 7 of 'images' has a value that is NaN or infinite"),
        (hole(-np.inf), "sample 7 of 'images'"),
        (np.zeros((0, 16, 12, 3)), "representative is empty; give at least 8"),
        (iter(()), "empty dataset"),
        (5, "is a int; give an array"),
    ],
)
def test_wrong_samples_are_refused(signature, samples, message):
    with pytest.raises(ValueError, match=message):
        gather(samples, signature)


@pytest.mark.parametrize(
    "limits, samples, words",
    [
        ((0, 1), (0, 200), r"range from 0 to 200; the model wants \[0, 1\]: divide pixels by 255"),
        ((0, 1), (-1, 1), r"range from -1 to 1; the model wants \[0, 1\]: scale the pixels"),
        ((-1, 1), (0, 255), r"the model wants \[-1, 1\]"),
    ],
)
def test_pixels_out_of_a_range_that_the_caller_gave_are_refused(tiny, limits, samples, words):
    values = np.linspace(*samples, 20 * 16 * 12 * 3).reshape(20, 16, 12, 3)
    with pytest.raises(ValueError, match=words):
        gather(values, signature_of(tiny(), input_range=limits))


def test_a_model_whose_samples_are_no_pixels_is_no_model_of_pictures(signature):
    values = np.linspace(-4, 4, 20 * 16 * 12 * 3).reshape(20, 16, 12, 3)
    assert signature.is_image_model
    assert not gather(values, signature)[1].is_image_model
    normalizing = mobilenet("nano", image_shape=(16, 12, 3), num_classes=5)
    with pytest.raises(ValueError, match="scale the pixels"):
        gather(values, signature_of(normalizing))


def test_enough_samples_is_known_before_training():
    assert not enough_samples(FEWEST - 1) and enough_samples(FEWEST)


def test_several_inputs_are_taken_by_name_or_in_their_order():
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    signature = signature_of(keras.Model([one, two], keras.layers.Concatenate(name="both")([one, two])))
    a, b = np.random.rand(20, 2), np.random.rand(20, 3)
    for given in ([a, b], tf.data.Dataset.from_tensor_slices(((a, b), np.zeros(20))), {"two": b, "one": a}):
        found = samples_of(given, signature)
        np.testing.assert_allclose(found["one"], a, rtol=1e-6)
        np.testing.assert_allclose(found["two"], b, rtol=1e-6)
    with pytest.raises(ValueError, match="inputs one, two; give a dict"):
        gather(np.zeros((20, 2)), signature)


def test_calibration_images_span_the_whole_range():
    dim = {"images": np.full((4, 5, 6, 3), 0.5, "float32")}
    values = spanning(dim, (-1.0, 2.0))["images"]
    assert values.min() == -1.0 and values.max() == 2.0 and (values != 0.5).sum() == 6
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
    return convert_float(graph(model, signature)), convert_int8(
        module, signature, halves(samples_of(images, signature))[0]
    )


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
