"""The matching is the best of all, by trying all; every object gets a query of its own."""

import itertools

import numpy as np
import pytest

from tfdl.ops.matching import FORBIDDEN, match


def smallest_cost(cost, objects):
    """The least sum over all ways to give each of some columns a row of its own."""
    ways = itertools.permutations(range(len(cost)), len(objects))
    return min(sum(cost[q, n] for q, n in zip(way, objects)) for way in ways)


@pytest.mark.parametrize("queries, objects", [(6, 4), (4, 4), (5, 1)])
def test_no_other_matching_costs_less(queries, objects):
    rng = np.random.default_rng(queries)
    cost = rng.normal(size=(3, 2, queries, objects)).astype("float32")
    here = rng.random((3, 2, objects)) < 0.7
    found = match(cost, here)
    assert found.dtype == np.int32 and found.shape == here.shape
    assert ((found >= 0) == here).all() and found.max() < queries
    for place in np.ndindex(3, 2):
        costs, mask, row = cost[place], here[place], found[place]
        columns = np.flatnonzero(mask)
        assert len(set(row[columns])) == len(columns)  # one to one
        assert costs[row[columns], columns].sum() == pytest.approx(smallest_cost(costs, columns), abs=1e-5)


def test_of_too_many_objects_the_dearest_are_left_out():
    cost = np.array([[1.0, 5.0, 2.0], [4.0, 9.0, 0.5]])
    assert match(cost, np.ones(3, bool)).tolist() == [0, -1, 1]


def test_padding_and_costs_that_are_no_numbers_never_win():
    cost = np.array([[np.nan, -100.0], [3.0, -100.0]])
    assert match(cost, np.array([True, False])).tolist() == [1, -1]
    assert match(np.full((2, 2), np.inf), np.array([True, True])).tolist() in ([0, 1], [1, 0])
    assert np.isfinite(FORBIDDEN)
