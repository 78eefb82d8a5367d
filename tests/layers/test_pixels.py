import keras
import numpy as np
import pytest

from tfdl.layers.pixels import normalize_pixels, scale_channels


def apply(mode, images):
    x = keras.Input(images.shape[1:])
    return keras.Model(x, normalize_pixels(x, mode))(images)


def test_imagenet_takes_the_mean_color_to_zero_and_one_deviation_more_to_one():
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    out = apply("imagenet", np.stack([mean, mean + std])[:, None, None].astype("float32"))
    np.testing.assert_allclose(out[:, 0, 0], [[0, 0, 0], [1, 1, 1]], atol=1e-6)


def test_imagenet_takes_gray_images():
    out = apply("imagenet", np.array([0.449, 0.675], "float32").reshape(2, 1, 1, 1))
    np.testing.assert_allclose(out[:, 0, 0, 0], [0, 1], atol=1e-5)


def test_caffe_is_what_keras_applications_feeds_vgg_and_resnet():
    images = np.random.default_rng(0).random((2, 3, 5, 3), dtype="float32")
    expected = keras.applications.imagenet_utils.preprocess_input(255 * images, mode="caffe")
    np.testing.assert_allclose(apply("caffe", images), expected, atol=1e-4)
    assert apply("caffe", images[..., :1]).shape == (2, 3, 5, 1)


@pytest.mark.parametrize(
    "shape, pixels", [((5, 48, 3), 16), ((None, 64, 3), 32), ((5, 7, 3), 1), ((None, None, 3), 1), ((5, 48, 1), 1)]
)
def test_channels_are_scaled_alike_however_many_pixels_are_taken_at_a_time(shape, pixels):
    images = np.random.default_rng(0).random((2, 5, shape[1] or 9, shape[2]), dtype="float32")
    scale, offset = np.arange(2, 2 + shape[2]), np.arange(3, 3 + shape[2]) / 8
    model = keras.Model(inputs := keras.Input(shape), scale_channels(inputs, scale, offset, name="normalize"))
    assert model.output_shape == (None, *shape)
    assert len(model.get_layer("normalize").scale) == pixels * shape[2]
    for network in (model, keras.Model.from_config(model.get_config())):
        np.testing.assert_allclose(network(images), images * scale + offset, rtol=1e-6)


@pytest.mark.parametrize("mode, expected", [("unit", [-1, 0, 1]), (None, [0, 0.5, 1])])
def test_unit_spans_minus_one_to_one_and_none_changes_nothing(mode, expected):
    images = np.tile(np.array([0, 0.5, 1], "float32").reshape(3, 1, 1, 1), (1, 2, 4, 5))
    out = apply(mode, images)
    assert out.shape == images.shape
    np.testing.assert_allclose(out[:, 1, 3, 4], expected)


def test_a_half_precision_policy_does_not_round_the_pixels():
    with_policy = keras.dtype_policies.get("mixed_bfloat16")
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(with_policy)
    try:
        out = apply("unit", np.full((1, 1, 1, 2), 100 / 255, "float32"))
        rows = apply("imagenet", np.full((1, 1, 4, 3), 100 / 255, "float32"))
    finally:
        keras.config.set_dtype_policy(previous)
    np.testing.assert_allclose(out, 200 / 255 - 1, rtol=1e-6)
    np.testing.assert_allclose(rows[0, 0, 3, 0], (100 / 255 - 0.485) / 0.229, rtol=1e-5)


def test_errors_say_what_would_do():
    with pytest.raises(ValueError, match=r'"imagenet", "caffe", "unit" or None.*\'zscore\''):
        apply("zscore", np.zeros((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        apply("imagenet", np.zeros((1, 2, 2, 4)))
