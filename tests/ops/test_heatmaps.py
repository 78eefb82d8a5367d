"""Heat maps: what is encoded is decoded to a fraction of a cell, and equals a plain loop's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdl.ops.heatmaps import METHODS, decode, encode

SIZE, STRIDE = (13, 17), 4  # cells, pixels
within = st.tuples(st.floats(0.5, SIZE[1] - 0.5, width=32), st.floats(0.5, SIZE[0] - 0.5, width=32))


def points_at(cells):
    """Key points (1, K, 3) in pixels at places in cells."""
    return np.array([[(STRIDE * x, STRIDE * y, 1) for x, y in cells]], "float32")


@settings(max_examples=40, deadline=None)
@given(st.lists(within, min_size=5, max_size=5), st.floats(0.8, 3.0))
def test_a_point_comes_back_to_a_tenth_of_a_cell(cells, sigma):
    points = points_at(cells)
    found = np.array(decode(encode(points, SIZE, stride=STRIDE, sigma=sigma), stride=STRIDE))
    assert np.abs(found - points)[..., :2].max() < 0.1 * STRIDE


@settings(max_examples=20, deadline=None)
@given(st.lists(within, min_size=5, max_size=5))
def test_a_quarter_is_wrong_by_a_quarter_of_a_cell_at_most(cells):
    points = points_at(cells)
    found = np.array(decode(encode(points, SIZE, stride=STRIDE), stride=STRIDE, method="quarter"))
    inside = np.all((points[..., :2] > 1.5 * STRIDE) & (points[..., :2] < STRIDE * np.array(SIZE[::-1]) - 6), -1)
    assert np.abs(found - points)[..., :2][inside].max(initial=0) < 0.2501 * STRIDE


def test_maps_are_those_of_a_plain_loop():
    points = np.array([[[10, 20, 1], [31, 5, 1], [9, 9, 0]], [[66, 50, 1], [-3, 2, 1], [0, 0, 1]]], "float32")
    maps = np.array(encode(points, SIZE, stride=STRIDE, sigma=1.5))
    assert maps.shape == (2, *SIZE, 3)
    for b in range(2):
        for k, (x, y, visible) in enumerate(points[b]):
            u, v = x / STRIDE - 0.5, y / STRIDE - 0.5
            for j in range(SIZE[0]):
                for i in range(SIZE[1]):
                    expected = visible * np.exp(-((i - u) ** 2 + (j - v) ** 2) / (2 * 1.5**2))
                    assert maps[b, j, i, k] == pytest.approx(expected, abs=1e-6)


def test_a_quarter_goes_toward_the_higher_neighbor():
    maps = np.zeros((1, 5, 6, 2), "float32")
    maps[0, 2, 3, 0], maps[0, 2, 2, 0], maps[0, 3, 3, 0] = 1.0, 0.4, 0.2
    maps[0, 0, 5, 1] = 0.7  # in the corner there is no neighbor to go to
    found = np.array(decode(maps, stride=2, method="quarter"))
    np.testing.assert_allclose(found[0], [[2 * 3.25, 2 * 2.75, 1.0], [2 * 5.5, 2 * 0.5, 0.7]], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_maps_without_a_peak_give_finite_places_in_the_picture(method):
    rng = np.random.default_rng(0)
    for maps in (np.zeros((1, 5, 6, 2)), np.full((1, 5, 6, 2), -1.0), rng.normal(size=(4, 5, 6, 3))):
        found = np.array(decode(maps.astype("float32"), method=method))
        assert np.isfinite(found).all() and (np.abs(found[..., :2] / 4 - [3, 2.5]) < [5, 4.5]).all()


def test_the_score_is_the_highest_value():
    maps = encode(points_at([(3.5, 4.5)]), SIZE) * 0.6
    assert float(decode(maps)[0, 0, 2]) == pytest.approx(0.6)


def test_wrong_arguments_are_refused():
    maps = np.zeros((1, 4, 2, 1), "float32")
    with pytest.raises(ValueError, match="method is 'mean'; give taylor or quarter"):
        decode(maps, method="mean")
    with pytest.raises(ValueError, match="maps have 4 x 2 cells; decode needs 3 x 3"):
        decode(maps)
    with pytest.raises(ValueError, match="sigma is 0; give a number of cells above 0"):
        encode(points_at([(1, 1)]), SIZE, sigma=0)
