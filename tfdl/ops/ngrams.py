"""Runs of tokens as numbers, by a hash: what a bag of words misses of their order.

Source: Joulin et al. 2016, arXiv:1607.01759, section 2.2 (n-grams are hashed into a fixed number of buckets).
Shapes: B batch, T tokens.
"""

from keras import ops

FACTOR = 7919  # a prime: (bucket * FACTOR + token) stays below 2**31 for 250,000 buckets


def hashed_ngrams(tokens, length, buckets, padding=0):
    """Buckets of the runs of `length` tokens, and where there are any: none touches padding.

    The bucket of t_1 ... t_n is h_n of h_1 = t_1 and h_i = (FACTOR h_(i-1) + t_i) mod `buckets`.

    Args:
        tokens: (B, T) int32.
        length: n, 2 or more.
        buckets: at most 250,000.

    Returns:
        (B, T) int32, of the run that begins at each token, and (B, T) bool.
    """
    present = ops.not_equal(tokens, padding)
    numbers, whole = ops.mod(tokens, buckets), present
    for shift in range(1, length):
        # Not a sum: for a batch of one Keras writes a sum of integers as BiasAdd, which LiteRT lacks.
        numbers = ops.mod(ops.subtract(numbers * FACTOR, -shifted(tokens, shift, padding)), buckets)
        whole = ops.logical_and(whole, ops.not_equal(shifted(tokens, shift, padding), padding))
    return numbers, whole


def shifted(tokens, shift, padding):
    """The tokens `shift` places later; padding behind the last.  (B, T) -> same"""
    return ops.pad(tokens, [(0, 0), (0, shift)], constant_values=padding)[:, shift:]
