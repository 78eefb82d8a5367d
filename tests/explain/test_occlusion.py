"""Occlusion equals its formula on a linear network, covers every pixel, and finds what decides the class."""

import keras
import numpy as np
import pytest

from tests.explain.planted import SIDE, SIZE, found, planted, trained
from tfdl.explain.occlusion import hide, logits_of, occlusion, peaks, squares


def linear(shape, classes=3):
    """Logits that are sums of pixels times random weights, and these (H, W, C, classes)."""
    images = keras.Input(shape)
    dense = keras.layers.Dense(classes)
    model = keras.Model(images, dense(keras.layers.Flatten()(images)), name="linear")
    return model, dense.kernel.numpy().reshape(*shape, classes)


def test_of_a_linear_network_it_is_the_sum_of_what_each_pixel_adds():
    model, weights = linear((6, 4, 2))
    images, classes = np.random.default_rng(0).random((3, 6, 4, 2), dtype="float32"), [2, 0, 1]
    added = ((images - images.mean((1, 2), keepdims=True)) * np.moveaxis(weights[..., classes], -1, 0)).sum(-1)
    np.testing.assert_allclose(occlusion(model, images, classes, side=1), added, atol=1e-5)
    blocks = added.reshape(3, 3, 2, 2, 2).sum((2, 4)).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(occlusion(model, images, classes, side=2, stride=2, batch_size=5), blocks, atol=1e-5)


@pytest.mark.parametrize("size, side, stride", [((9, 7), 3, 2), ((10, 12), 4, 3), ((5, 5), 5, 1), ((8, 3), None, None)])
def test_squares_of_one_size_cover_every_pixel(size, side, stride):
    masks = squares(*size, side, stride)
    assert masks.any(0).all()
    assert len(np.unique(masks.sum((1, 2)))) == 1
    assert len(np.unique(masks.reshape(len(masks), -1), axis=0)) == len(masks), "no place twice"


def test_square_that_decides_the_class_is_found():
    images, classes, corners = planted(40, 1)
    maps = occlusion(trained("convnet"), images, classes, side=6, stride=3)
    assert maps.shape == (40, SIZE, SIZE)
    assert found(peaks(maps, SIZE, SIZE), corners) > 0.85


def test_hiding_the_square_changes_the_class_and_hiding_noise_does_not():
    images, _, corners = planted(60, 1)
    model = trained("convnet")
    before = logits_of(model, images).argmax(-1)
    opposite = np.where(corners < (SIZE - SIDE) / 2, SIZE - 4, 3)
    away = np.abs(opposite - corners - (SIDE - 1) / 2).max(1) > SIDE / 2 + 3  # the two squares do not touch
    assert away.mean() > 0.8
    assert (logits_of(model, hide(images, corners + (SIDE - 1) / 2, SIDE)).argmax(-1) != before).mean() > 0.5
    assert (logits_of(model, hide(images, opposite, 6)).argmax(-1) != before)[away].mean() < 0.05


def test_peak_is_the_center_of_the_largest_cell_in_pixels():
    maps = np.zeros((3, 2, 4))
    maps[0, 1, 2] = 5
    maps[1, 0, :2] = 1  # a tie: the middle of both
    np.testing.assert_allclose(peaks(maps, 4, 8), [[2.5, 4.5], [0.5, 1.5], [1.5, 3.5]])


@pytest.mark.parametrize("side, rows, columns", [(1, [3], [4]), (2, [3], [4]), (3, [2, 3, 4], [3, 4, 5])])
def test_hidden_square_is_as_large_as_ordered_and_of_the_mean_color(side, rows, columns):
    images = np.random.default_rng(0).random((2, 6, 7, 3))
    hidden = hide(images, np.array([[3, 4], [0, 0]]), side)
    changed = (hidden != images).all(-1)
    assert np.argwhere(changed[0]).tolist() == [[i, j] for i in rows for j in columns]
    np.testing.assert_allclose(hidden[0, 3, 4], images[0].mean((0, 1)))
    assert changed[1].sum() == (1 if side < 3 else 4), "cut off at the corner"


@pytest.mark.parametrize("side, stride", [(0, None), (7, 1), (3, 4), (3, 0)])
def test_square_that_does_not_fit_or_leaves_gaps_is_refused(side, stride):
    model, _ = linear((6, 8, 1))
    with pytest.raises(ValueError, match=f"{side} pixels every .* 6 x 8; choose 1 <= stride <= side <= 6"):
        occlusion(model, np.zeros((1, 6, 8, 1), "float32"), [0], side=side, stride=stride)


def test_class_that_does_not_exist_is_refused():
    model, _ = linear((6, 8, 1))
    with pytest.raises(ValueError, match="from 0 to 2"):
        occlusion(model, np.zeros((1, 6, 8, 1), "float32"), [3])
