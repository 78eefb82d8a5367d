"""Patches: a linear map of each square of pixels, and of each square of four patches."""

import keras
import numpy as np
import pytest

from tfdl.layers.patch_embed import pad_to_multiple, patch_embed, patch_merge


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def model_of(function, shape, **options):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs, **options))


def test_a_patch_is_mapped_linearly():
    model, images = model_of(patch_embed, (6, 9, 2), width=5, patch=3, name="p"), random(2, 6, 9, 2)
    kernel, bias = (random(*w.shape, seed=i) for i, w in enumerate(model.weights))
    model.set_weights([kernel, bias])
    patch = images[1, 3:6, 6:9].reshape(-1)
    np.testing.assert_allclose(model(images)[1, 1, 2], patch @ kernel.reshape(-1, 5) + bias, atol=1e-4)


def test_open_patches_are_filled_with_zeros():
    small, large = (model_of(patch_embed, (*s, 2), width=5, patch=4, name="p") for s in ((6, 9), (8, 12)))
    large.set_weights(small.get_weights())
    images = random(2, 6, 9, 2)
    filled = np.pad(images, ((0, 0), (0, 2), (0, 3), (0, 0)))
    assert small.output_shape == (None, 2, 3, 5)
    np.testing.assert_allclose(small(images), large(filled), atol=1e-5)


@pytest.mark.parametrize("size, merged", [((4, 6), (2, 3)), ((5, 6), (3, 3)), ((3, 1), (2, 1))])
def test_merging_halves_the_map_and_doubles_the_channels(size, merged):
    model, x = model_of(patch_merge, (*size, 3), epsilon=1e-5, name="m"), random(2, *size, 3)
    assert model.output_shape == (None, *merged, 6)
    assert model.count_params() == 2 * 12 + 12 * 6
    filled = np.pad(x, ((0, 0), (0, size[0] % 2), (0, size[1] % 2), (0, 0)))
    stacked = np.concatenate([filled[:, a::2, b::2] for b in (0, 1) for a in (0, 1)], -1)
    normal = (stacked - stacked.mean(-1, keepdims=True)) / np.sqrt(stacked.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(model(x), normal @ np.array(model.get_layer("m_reduce").kernel), atol=1e-4)


def test_nothing_is_filled_where_all_fits():
    x = keras.KerasTensor((None, 6, 9, 2))
    assert pad_to_multiple(x, 3, name="p") is x
