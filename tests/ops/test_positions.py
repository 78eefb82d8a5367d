"""Sine waves, rotations and buckets are those of the papers."""

import math

import numpy as np
import pytest
from keras import ops

from tfdl.ops.positions import LongContext, buckets, frequencies, rotate, rotations, sinusoids


def test_sine_waves_are_those_of_the_formula():
    table = sinusoids(7, 6)
    for position in range(7):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert table[position, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_scores_of_rotated_vectors_depend_on_the_distance_alone():
    q, k = np.random.default_rng(0).normal(size=(2, 1, 1, 8)).astype("float32")
    speeds = frequencies(8)

    def score(m, n):
        rotated = [rotate(x[None], rotations(np.array([place]), speeds)) for x, place in ((q, m), (k, n))]
        return float(ops.sum(rotated[0] * rotated[1]))

    assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-4)
    assert abs(score(5, 2) - score(5, 3)) > 1e-3


def test_rotation_keeps_lengths_and_does_nothing_at_position_0():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6)).astype("float32")
    turned = np.array(rotate(x, rotations(np.arange(5), frequencies(6))))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(turned[:, :, 0], x[:, :, 0])
    assert np.abs(turned[:, :, 4] - x[:, :, 4]).max() > 0.1


def test_positions_of_each_row_are_its_own():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype("float32")
    speeds, places = frequencies(6), np.array([[0, 1, 2, 3], [5, 6, 7, 8]])
    together = rotate(x, rotations(places, speeds))
    for row in range(2):
        alone = rotate(x[row : row + 1], rotations(places[row], speeds))
        np.testing.assert_allclose(together[row : row + 1], alone, atol=1e-6)


def test_long_contexts_slow_down_slow_waves_and_leave_fast_ones():
    plain, slowed = frequencies(128, 500000.0), frequencies(128, 500000.0, LongContext())
    waves = 2 * math.pi / plain
    np.testing.assert_allclose(slowed[waves < 8192 / 4], plain[waves < 8192 / 4])
    np.testing.assert_allclose(slowed[waves > 8192], plain[waves > 8192] / 8, rtol=1e-6)
    between = (waves > 8192 / 4) & (waves < 8192)
    assert between.any() and np.all((slowed < plain)[between]) and np.all((slowed > plain / 8)[between])


def test_odd_heads_cannot_be_turned():
    with pytest.raises(ValueError, match="a head is 7 wide; choose an even width"):
        frequencies(7)


def test_buckets_are_exact_for_small_distances_and_logarithmic_after():
    places = np.arange(200, dtype="int32")
    found = np.array(buckets(places, places, 32, 128, causal=False))
    assert found[0, 0] == 0
    assert [found[i, 0] for i in range(8)] == list(range(8))  # keys before: one bucket per distance
    assert [found[0, j] for j in range(1, 8)] == list(range(17, 24))  # keys after: the other half
    assert found[8, 0] == found[11, 0] == 8 and found[12, 0] == 9  # 8 log(d / 8) / log(16): one more from 11.3 on
    assert found[127, 0] == found[199, 0] == 15 and found[0, 199] == 31


def test_causal_buckets_spend_all_on_the_past():
    places = np.arange(200, dtype="int32")
    found = np.array(buckets(places, places, 32, 128, causal=True))
    assert found[0, 5] == 0 and [found[i, 0] for i in range(16)] == list(range(16))
    assert found[199, 0] == 31


@pytest.mark.parametrize("causal", [True, False])
def test_buckets_of_new_queries_are_rows_of_the_whole_table(causal):
    keys = np.arange(50, dtype="int32")
    whole = np.array(buckets(keys, keys, 32, 128, causal=causal))
    np.testing.assert_array_equal(buckets(keys[31:33], keys, 32, 128, causal=causal), whole[31:33])
