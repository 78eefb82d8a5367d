import keras
import numpy as np
import pytest
from keras import ops

from tfdl.layers.conv_norm import conv_norm, make_divisible


def build(shape, *args, **kwargs):
    x = keras.Input(shape)
    return keras.Model(x, conv_norm(x, *args, name="brick", **kwargs))


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("kernel, stride", [(1, 1), (3, 1), (3, 2), (5, 2), (1, 2)])
def test_output_size_is_the_input_over_the_stride_rounded_up(size, kernel, stride):
    assert build((size, 9, 2), 4, kernel, stride).output_shape == (None, -(-size // stride), -(-9 // stride), 4)


def test_stride_2_pads_both_sides_alike():
    model = build((6, 6, 1), 1, 3, 2, epsilon=0.0)
    model.get_layer("brick_conv").set_weights([np.ones((3, 3, 1, 1))])
    # The first window of an image of ones covers 2x2 of them; Keras's "same" would cover 3x3.
    np.testing.assert_allclose(model(np.ones((1, 6, 6, 1)))[0, :, :, 0], [[4, 6, 6], [6, 9, 9], [6, 9, 9]], rtol=1e-6)


def test_depthwise_keeps_channels_apart():
    model = build((5, 4, 3), 3, 3, groups=3)
    x = np.random.default_rng(0).normal(size=(1, 5, 4, 3)).astype("float32")
    changed = x.copy()
    changed[..., 1] += 1.0
    difference = np.abs(model(x) - model(changed)).max(axis=(0, 1, 2))
    assert difference[1] > 0 and difference[0] == difference[2] == 0
    assert model.get_layer("brick_conv").kernel.shape == (3, 3, 3, 1)


def test_activation_comes_last_and_there_is_no_bias():
    model = build((4, 4, 2), 3, activation=ops.relu)
    model.get_layer("brick_norm").beta.assign([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(model(np.zeros((1, 4, 4, 2)))[0, 0, 0], [0.0, 0.0, 2.0])
    assert not model.get_layer("brick_conv").use_bias


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match=r"odd kernel.* 4"):
        build((4, 4, 1), 2, 4)


@pytest.mark.parametrize(
    "channels, expected", [(1, 8), (11.2, 16), (12, 16), (22.4, 24), (33.6, 32), (64, 64), (19, 24)]
)
def test_make_divisible_rounds_to_eight_and_loses_at_most_a_tenth(channels, expected):
    assert make_divisible(channels) == expected >= 0.9 * channels
