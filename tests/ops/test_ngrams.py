"""Hashed n-grams: equal runs have equal buckets, different ones mostly others, and none touches padding."""

import keras
import numpy as np

from tfdl.ops.ngrams import FACTOR, hashed_ngrams


def test_bucket_is_the_hash_of_the_run_by_hand():
    tokens = np.random.default_rng(0).integers(1, 9000, (3, 8)).astype("int32")
    tokens[0, 5:], tokens[1, 0] = 0, 0
    for length in (2, 3):
        numbers, whole = (keras.ops.convert_to_numpy(part) for part in hashed_ngrams(tokens, length, 97))
        for row in range(3):
            for place in range(8):
                run = tokens[row, place : place + length].astype(object)
                is_whole = len(run) == length and all(run)
                assert whole[row, place] == is_whole
                if is_whole:
                    expected = run[0] % 97
                    for token in run[1:]:
                        expected = (expected * FACTOR + token) % 97
                    assert numbers[row, place] == expected


def test_pairs_spread_over_the_buckets_and_tell_order():
    tokens = np.array([[i, j] for i in range(1, 200) for j in range(1, 200)], "int32")
    numbers = np.asarray(keras.ops.convert_to_numpy(hashed_ngrams(tokens, 2, 250_000)[0]))[:, 0]
    assert len(np.unique(numbers)) > 0.9 * len(tokens) and numbers.min() >= 0
    assert numbers[0 * 199 + 1] != numbers[1 * 199 + 0], "(1, 2) and (2, 1)"
