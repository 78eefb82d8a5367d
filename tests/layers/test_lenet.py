"""The layers of the original LeNet-5 against loops over their definitions."""

import keras
import numpy as np
import pytest

from tfdl.layers.lenet import CodeDistance, SparseConv2D, Subsampling, scaled_tanh

RNG = np.random.default_rng(0)
TABLE = ((0,), (0, 2), (1, 2, 0), (2, 1))


def images_of(*shape):
    return RNG.normal(size=shape).astype("float32")


def test_scaled_tanh_keeps_plus_and_minus_one():
    np.testing.assert_allclose(scaled_tanh(np.array([-1.0, 0.0, 1.0])), [-1, 0, 1], atol=1e-4)


def test_sparse_convolution_sums_over_the_channels_of_its_table():
    layer, x = SparseConv2D(TABLE, 2), images_of(2, 4, 5, 3)
    y = np.array(layer(x))
    layer.bias.assign(bias := images_of(4))
    kernels = iter(np.moveaxis(np.array(layer.kernel), -1, 0))  # one for each connection, map by map
    assert y.shape == (2, 3, 4, 4) and layer.count_params() == 2 * 2 * 8 + 4
    for i, channels in enumerate(TABLE):
        expected = np.zeros((2, 3, 4))
        for channel in channels:
            kernel = next(kernels)
            for row, column in np.ndindex(2, 2):
                expected += kernel[row, column] * x[:, row : row + 3, column : column + 4, channel]
        np.testing.assert_allclose(y[..., i], expected, atol=1e-5)
        np.testing.assert_allclose(layer(x)[..., i], expected + bias[i], atol=1e-5)


def test_sparse_convolution_does_not_see_other_channels():
    layer, x = SparseConv2D(TABLE, 3), images_of(1, 5, 5, 3)
    before, changed = np.array(layer(x)), x.copy()
    changed[..., 1] += 1.0
    differs = np.abs(layer(changed) - before).max(axis=(0, 1, 2)) > 1e-3
    assert differs.tolist() == [False, False, True, True]


def test_sparse_convolution_refuses_a_table_beyond_its_input():
    with pytest.raises(ValueError, match="channel 2, counted from 0, but the input has only 2 channels"):
        SparseConv2D(TABLE, 3)(images_of(1, 5, 5, 2))


def test_subsampling_squashes_a_scaled_sum_of_four_pixels():
    layer, x = Subsampling(), images_of(2, 5, 6, 3)
    layer.build(x.shape)
    layer.coefficient.assign(coefficient := images_of(3))
    layer.bias.assign(bias := images_of(3))
    total = x[:, 0:4:2, ::2] + x[:, 1:4:2, ::2] + x[:, 0:4:2, 1::2] + x[:, 1:4:2, 1::2]
    expected = 1.7159 * np.tanh(2 / 3 * (coefficient * total + bias))
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_subsampling_starts_as_the_average():
    x = images_of(1, 2, 2, 3)
    np.testing.assert_allclose(Subsampling()(x)[0, 0, 0], scaled_tanh(x.mean(axis=(0, 1, 2))), atol=1e-6)


def test_code_distance_is_largest_where_units_equal_the_code():
    layer = CodeDistance(4)
    layer.build((None, 30))
    codes = np.array(layer.codes)
    assert set(np.unique(codes)) == {-1.0, 1.0} and not layer.trainable_weights
    scores = np.array(layer(codes))
    np.testing.assert_array_equal(np.diag(scores), 0)
    np.testing.assert_allclose(scores, -4.0 * (codes[:, None] != codes).sum(axis=-1))  # two apart in each place


def test_codes_are_a_function_of_the_seed():
    same, other = (CodeDistance(4, seed=seed) for seed in (0, 1))
    first = CodeDistance(4)
    for layer in (first, same, other):
        layer.build((None, 30))
    np.testing.assert_array_equal(first.codes, same.codes)
    assert (np.array(first.codes) != np.array(other.codes)).any()


@pytest.mark.parametrize("layer", [SparseConv2D(TABLE, 3), Subsampling(), CodeDistance(4, seed=2)])
def test_layer_is_stored_and_read_back(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
