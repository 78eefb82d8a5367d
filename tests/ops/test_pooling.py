"""Adaptive pooling against a loop over its cells."""

import numpy as np
import pytest

from tfdl.ops.pooling import adaptive_average_pool, cells


@pytest.mark.parametrize("shape, size", [((10, 9), (7, 4)), ((2, 1), (5, 3)), ((6, 7), (6, 2)), ((13, 3), (6, 6))])
def test_each_cell_is_the_average_of_its_pixels(shape, size):
    x = np.random.default_rng(0).random((2, *shape, 3), dtype="float32")
    pooled = adaptive_average_pool(x, size)
    assert pooled.shape == (2, *size, 3)
    for i, j in np.ndindex(*size):
        top, bottom = i * shape[0] // size[0], -(-(i + 1) * shape[0] // size[0])
        left, right = j * shape[1] // size[1], -(-(j + 1) * shape[1] // size[1])
        np.testing.assert_allclose(pooled[:, i, j], x[:, top:bottom, left:right].mean(axis=(1, 2)), atol=1e-6)


def test_map_of_the_right_size_is_left_as_it_is():
    x = np.ones((1, 4, 5, 2), "float32")
    assert adaptive_average_pool(x, (4, 5)) is x


@pytest.mark.parametrize("length, count", [(7, 7), (12, 5), (3, 8)])
def test_weights_of_a_cell_sum_to_one(length, count):
    np.testing.assert_allclose(cells(length, count).sum(axis=1), 1, atol=1e-6)
