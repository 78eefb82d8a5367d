"""Hypothesis strategies for numbers of every magnitude, from which the property tests of mathematics are made."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LIMITS = {"float64": 300, "float32": 30}  # decimal exponents; room for sums and rounding is left on both sides

# The same examples in every run: a failure of the suite has its cause in the change that was made.
quick = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
seeds = st.integers(0, 2**32 - 1)


def magnitudes(lowest=-LIMITS["float64"], highest=LIMITS["float64"]):
    """Positive float64 numbers from 10^lowest to 10^highest, as many of each order of magnitude."""
    return st.floats(lowest, highest).map(lambda exponent: 10.0**exponent)


def numbers(lowest=-LIMITS["float64"], highest=LIMITS["float64"]):
    """`magnitudes` of either sign, and 0."""
    return st.one_of(magnitudes(lowest, highest), magnitudes(lowest, highest).map(lambda x: -x), st.just(0.0))


# A dtype and a number of it, for arrays whose unit of measurement is that number
units = st.sampled_from(sorted(LIMITS)).flatmap(
    lambda dtype: st.integers(-LIMITS[dtype], LIMITS[dtype]).map(lambda e: (dtype, np.dtype(dtype).type(f"1e{e}")))
)
