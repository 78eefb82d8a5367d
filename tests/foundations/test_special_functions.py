"""Special functions: against scipy.special, from tiny to huge arguments."""

import numpy as np
from scipy import special

from tfdl.foundations.special_functions import incomplete_beta, incomplete_gamma, log_gamma


def test_log_gamma_is_the_logarithm_of_the_factorial():
    n = np.arange(1, 18)
    np.testing.assert_allclose(np.exp(log_gamma(n + 1.0)), np.cumprod(n), rtol=1e-13)


def test_log_gamma_equals_scipy_from_tiny_to_huge():
    x = np.logspace(-8, 8, 321)
    truth = special.gammaln(x)
    assert np.max(np.abs(log_gamma(x) - truth) / np.maximum(1, np.abs(truth))) < 1e-14


def test_incomplete_gamma_equals_scipy_and_its_parts_sum_to_one():
    a, ratio = np.logspace(-3, 5, 41)[:, None], np.concatenate([[0, 1e-9], np.linspace(0.9, 1.1, 11), [3, 40]])
    lower, upper = incomplete_gamma(a, a * ratio)
    np.testing.assert_allclose(lower, special.gammainc(a, a * ratio), atol=1e-290, rtol=1e-11)
    np.testing.assert_allclose(upper, special.gammaincc(a, a * ratio), atol=1e-290, rtol=1e-11)
    np.testing.assert_allclose(lower + upper, 1, atol=1e-15)


def test_incomplete_beta_equals_scipy():
    a, b = np.logspace(-3, 4, 13)[:, None, None], np.logspace(-2, 5, 11)[:, None]
    x = np.concatenate([[0, 1e-12], np.linspace(0.05, 0.95, 13), [1 - 1e-12, 1]])
    with np.errstate(divide="ignore"):
        below, above = incomplete_beta(a, b, np.log(x), np.log1p(-x))
    np.testing.assert_allclose(below, special.betainc(a, b, x), rtol=1e-10, atol=1e-290)
    np.testing.assert_allclose(above, special.betaincc(a, b, x), rtol=1e-9, atol=1e-290)
