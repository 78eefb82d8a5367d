"""How the next token is chosen: the likeliest, or drawn from the logits after a penalty, a temperature and cuts.

    tokens = chosen(logits, seen, seeds, step, Sampling(temperature=0.8, top_k=40))

Papers: top-k: Fan et al. 2018, arXiv:1805.04833, section 5.4; top-p: Holtzman et al. 2019, arXiv:1904.09751, section
3.1; min-p: Nguyen et al. 2024, arXiv:2407.01082, section 3; repetition penalty: Keskar et al. 2019, arXiv:1909.05858,
section 4.1.
Shapes: B texts, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

IMPOSSIBLE = float("-inf")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn from the logits; what is given is applied from top to bottom.

    Attributes:
        repetition_penalty: divides positive logits of tokens that occurred, and multiplies negative ones; 1 is none.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: keep so many of the likeliest tokens.
        top_p: keep the fewest likeliest tokens whose probabilities sum to it.
        min_p: keep tokens that are at least so likely, as a fraction of the likeliest one's probability.

    Raises:
        ValueError: a number out of its range.
    """

    repetition_penalty: float = 1.0
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self):
        ranges = {
            "repetition_penalty": (self.repetition_penalty > 0, "more than 0"),
            "temperature": (self.temperature >= 0, "0 or more"),
            "top_k": (self.top_k is None or self.top_k >= 1, "1 or more"),
            "top_p": (self.top_p is None or 0 < self.top_p <= 1, "more than 0 and at most 1"),
            "min_p": (self.min_p is None or 0 <= self.min_p <= 1, "0 to 1"),
        }
        for name, (accepted, wanted) in ranges.items():
            if not accepted:
                raise ValueError(f"{name} is {getattr(self, name)}; give {wanted}.")


def chosen(logits, seen, seeds, step, sampling):
    """The next tokens (B,) int32: the likeliest, or drawn (Gumbel's trick) by each row's own seed."""
    logits = kept(logits, seen, sampling)
    if sampling.temperature:
        logits += tf.vectorized_map(lambda seed: gumbel(seed, step, logits.shape[-1]), seeds)
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def gumbel(seed, step, size):
    """-log(-log u) of uniform u: added to logits, the largest is a draw from their softmax."""
    return -tf.math.log(-tf.math.log(uniform(seed, step, size)))


def uniform(seed, step, size):
    """`size` numbers in (0, 1), a function of seed and step (int64 scalars or what casts to them).

    XLA makes the same bits as TensorFlow, but other floats of them; so they are made here.
    """
    pair = tf.stack([seed, tf.cast(step, tf.int64)])
    bits = tf.random.stateless_uniform((size,), pair, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    return (tf.cast(tf.bitwise.right_shift(bits, 8), tf.float32) + 0.5) / 2**24  # float32 has 24 bits


def kept(logits, seen, sampling):
    """Logits (B, V) after penalty and temperature, -inf for tokens that are cut off."""
    s = sampling
    if s.repetition_penalty != 1:
        penalized = tf.where(logits > 0, logits / s.repetition_penalty, logits * s.repetition_penalty)
        logits = tf.where(seen, penalized, logits)
    if not s.temperature:
        return logits
    logits /= s.temperature
    if s.top_k is not None:
        least = tf.math.top_k(logits, min(s.top_k, logits.shape[-1])).values[:, -1:]
        logits = tf.where(logits < least, IMPOSSIBLE, logits)
    if s.top_p is not None:
        ordered = tf.sort(logits, direction="DESCENDING")
        before = tf.cumsum(tf.nn.softmax(ordered), axis=-1, exclusive=True)
        least = tf.reduce_min(tf.where(before < s.top_p, ordered, np.inf), axis=-1, keepdims=True)
        logits = tf.where(logits < least, IMPOSSIBLE, logits)
    if s.min_p is not None:
        least = tf.reduce_max(logits, axis=-1, keepdims=True) + tf.math.log(s.min_p)
        logits = tf.where(logits < least, IMPOSSIBLE, logits)
    return logits
