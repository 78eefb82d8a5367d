"""Local response normalization against a loop over its definition."""

import numpy as np
import pytest

from tfdl.ops.local_response import local_response_normalization


@pytest.mark.parametrize("size", [1, 3, 5])
def test_each_channel_is_divided_by_what_its_neighbors_say(size):
    x = 30 * np.random.default_rng(0).normal(size=(2, 3, 4, 7)).astype("float32")
    expected = np.empty_like(x)
    for c in range(7):
        near = x[..., max(0, c - size // 2) : c + size // 2 + 1]
        expected[..., c] = x[..., c] / (2.0 + 1e-4 * (near**2).sum(axis=-1)) ** 0.75
    np.testing.assert_allclose(local_response_normalization(x, size=size), expected, rtol=1e-5)


def test_even_size_has_no_middle():
    with pytest.raises(ValueError, match="odd size.* 4"):
        local_response_normalization(np.zeros((1, 2, 2, 6), "float32"), size=4)
