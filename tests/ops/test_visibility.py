"""Masks say which keys a query may see."""

import numpy as np

from tfdl.ops.visibility import both, causal, present


def test_no_query_sees_later_keys():
    np.testing.assert_array_equal(causal(np.arange(4), np.arange(4)), np.tril(np.ones((4, 4), bool)))


def test_later_queries_see_what_came_before_them():
    np.testing.assert_array_equal(causal(np.array([2]), np.arange(4)), [[True, True, True, False]])


def test_window_hides_what_lies_further_back():
    seen = np.array(causal(np.arange(5), np.arange(5), window=2))
    np.testing.assert_array_equal(seen.sum(1), [1, 2, 2, 2, 2])
    assert seen[4, 3] and seen[4, 4] and not seen[4, 2]


def test_padding_is_not_seen_and_may_be_absent():
    tokens = np.array([[5, 3, 0], [0, 1, 2]])
    np.testing.assert_array_equal(present(tokens, 0)[:, 0, 0], tokens != 0)
    assert present(tokens, 0).shape == (2, 1, 1, 3)
    assert present(tokens, None) is None


def test_both_masks_must_let_a_query_see_and_none_hides_nothing():
    a, b = np.array([True, True, False]), np.array([True, False, True])
    np.testing.assert_array_equal(both(a, b), [True, False, False])
    assert both(a, None) is a and both(None, b) is b and both(None, None) is None
