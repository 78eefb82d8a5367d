import keras
import numpy as np
import pytest

from tfdl.layers.pixels import normalize_pixels


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
    finally:
        keras.config.set_dtype_policy(previous)
    np.testing.assert_allclose(out, 200 / 255 - 1, rtol=1e-6)


def test_errors_say_what_would_do():
    with pytest.raises(ValueError, match=r'"imagenet", "unit" or None.*\'zscore\''):
        apply("zscore", np.zeros((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        apply("imagenet", np.zeros((1, 2, 2, 4)))
