"""Positions: what is added where, and how a table of another grid is resized."""

import keras
import numpy as np
import pytest
from PIL import Image

from tfdl.layers.positions import ClassToken, DistanceBias, GridPositions, resize_grid


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_class_token_comes_first_and_is_the_same_for_all():
    x, layer = random(3, 5, 4), ClassToken()
    y = np.array(layer(x))
    np.testing.assert_array_equal(y[:, 1:], x)
    np.testing.assert_array_equal(y[:, 0], np.repeat(np.array(layer.token)[0], 3, axis=0))
    assert np.abs(y[0, 0]).max() > 0


def test_each_token_gets_a_vector_of_its_own():
    x, layer = random(2, 7, 4), GridPositions((2, 3))
    y = np.array(layer(x)) - x
    np.testing.assert_allclose(y[0], np.array(layer.table)[0], atol=1e-6)
    np.testing.assert_allclose(y[0], y[1], atol=1e-6)
    assert len(np.unique(y[0], axis=0)) == 7


def test_another_number_of_tokens_is_refused():
    with pytest.raises(ValueError, match=r"grid of \(2, 3\) and 1 extra make 7 positions, but the input has 6"):
        GridPositions((2, 3)).build((None, 6, 4))


@pytest.mark.parametrize("grid", [(7, 11), (3, 2), (4, 9), (5, 5)])
def test_resizing_is_bicubic_as_in_pillow(grid):
    table = random(25, 3)
    resized = resize_grid(table, grid).reshape(*grid, 3)
    for channel, field in enumerate(table.reshape(5, 5, 3).transpose(2, 0, 1)):
        picture = Image.fromarray(field).resize(grid[::-1], Image.Resampling.BICUBIC)
        np.testing.assert_allclose(resized[..., channel], np.array(picture), atol=1e-5)


def test_resizing_to_the_same_grid_changes_nothing_and_a_constant_stays_one():
    table = random(16, 3)
    np.testing.assert_allclose(resize_grid(table, (4, 4)), table, atol=1e-6)
    np.testing.assert_allclose(resize_grid(np.full((16, 3), 0.7), (9, 2)), np.full((18, 3), 0.7), atol=1e-6)


def test_a_table_without_a_square_comes_back_as_it_is():
    table = random(15, 3)
    assert resize_grid(table, (4, 4)) is table


def test_tokens_without_a_place_are_not_resized():
    layer = GridPositions((2, 3), extra=2)
    layer.build((None, 8, 4))
    table = random(1, 2 + 16, 4)
    resized = layer.resized(table)
    assert resized.shape == layer.table.shape
    np.testing.assert_array_equal(resized[0, :2], table[0, :2])
    np.testing.assert_array_equal(resized[0, 2:], resize_grid(table[0, 2:], (2, 3)))


def test_layers_survive_a_file(tmp_path):
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, GridPositions((3, 2))(ClassToken()(inputs)))
    model.save(tmp_path / "m.keras")
    x = random(2, 6, 4)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(x), model(x))


def test_distance_bias_is_the_same_for_equal_distances_and_different_for_each_head():
    layer = DistanceBias(3, buckets=8, largest=20)
    bias = np.array(layer(np.arange(6, dtype="int32"), np.arange(6, dtype="int32")))
    assert bias.shape == (3, 6, 6)
    np.testing.assert_array_equal(bias[:, 1, 0], bias[:, 4, 3])
    assert len(set(bias[:, 1, 0].tolist())) == 3 and np.all(bias[:, 1, 0] != bias[:, 0, 1])
