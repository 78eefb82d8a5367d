"""Special functions behind the distributions: gamma and beta functions, and probabilities of their tails.

    below, above = incomplete_gamma(a, x)            # of Gamma(a, 1)
    log_poisson(k, rate), log_beta(a, b)

Computed in float64 by sums of logarithms, and by series in place of differences that would cancel.
Sources: Press et al. 2007, Numerical Recipes, chapter 6; Loader 2000, Fast and Accurate Computation of Binomial
Probabilities; Lanczos 1964, A Precision Approximation of the Gamma Function.
"""

from itertools import count

import numpy as np

EPSILON = np.finfo("float64").eps

# Lanczos 1964 with g = 7 and nine terms, coefficients by Godfrey 2001: relative error of Gamma(x) below 2e-15.
LANCZOS = (0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
           12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7)  # fmt: skip


def log_gamma(x):
    """log Gamma(x) for x > 0, to 1e-14 times max(1, the result).  (...) -> (...)."""
    series = LANCZOS[0] + sum(c / (x + i) for i, c in enumerate(LANCZOS[1:], 1))
    return (x + 0.5) * np.log(x + 7.5) - (x + 7.5) + np.log(2 * np.pi) / 2 + np.log(series) - np.log(x)


def log1p_remainder(x):
    """x - log(1 + x) for small x of either sign, at most 1/4.

    The two cancel.  But log(1 + x) = 2 (s + s^3/3 + s^5/5 + ...) with s = x / (2 + x), and x - 2 s = x s.
    """
    s = x / (2 + x)
    return x * s - 2 * s**3 * np.polynomial.polynomial.polyval(s * s, 1 / np.arange(3.0, 23, 2))


def deviance(x, y, log_y):
    """x log(x / y) - x + y for x, y > 0: 0 where x = y, else positive (Loader 2000, equation of D_0; a term of KL)."""
    change = (y - x) / x
    near = x * log1p_remainder(np.clip(change, -0.25, 0.25))
    return np.where(np.abs(change) < 0.25, near, y - x - x * (log_y - np.log(x)))


def log1p_square(x):
    """log(1 + x^2); the squares of numbers above 1e154 would leave the range."""
    larger, smaller = np.maximum(np.abs(x), 1), np.minimum(np.abs(x), 1)
    return 2 * np.log(larger) + np.log1p((smaller / larger) ** 2)


# Stirling's series for log Gamma(n + 1) - (n + 1/2) log n + n - log(2 pi) / 2, in powers of 1 / n^2, times n
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def log_poisson(k, rate, log_rate=None):
    """log(rate^k exp(-rate) / Gamma(k + 1)) for real k >= 0.  (...) -> (...).

    For large k three huge terms nearly cancel.  Loader 2000 divides by their value at rate = k, where Stirling's series
    is accurate; the rest is a deviance.

    Args:
        log_rate: its logarithm, for a rate that underflows; None computes it.
    """
    if log_rate is None:
        with np.errstate(divide="ignore"):
            log_rate = np.log(rate)
    n = np.maximum(k, 10)
    large = log_poisson_peak(n) - deviance(n, rate, log_rate)
    return np.where(np.less(k, 10), times(k, log_rate) - rate - log_gamma(k + 1), large)


def log_poisson_peak(k):
    """`log_poisson` at rate = k, for k > 0."""
    n = np.maximum(k, 10)
    large = -np.polynomial.polynomial.polyval(n**-2, STIRLING) / n - (np.log(2 * np.pi) + np.log(n)) / 2
    return np.where(np.less(k, 10), k * np.log(k) - k - log_gamma(k + 1), large)


def log_binomial(a, b, log_x, log_y):
    """log of x^a y^b Gamma(a + b + 1) / (Gamma(a + 1) Gamma(b + 1)), with x + y = 1.  (...) -> (...).

    Two independent Poisson counts, given their sum, are binomial: so this is a quotient of three Poisson probabilities.
    """
    n = a + b
    first = log_poisson(a, n * np.exp(log_x), np.log(n) + log_x)
    second = log_poisson(b, n * np.exp(log_y), np.log(n) + log_y)
    return first + second - log_poisson_peak(n)


def log_beta(a, b):
    """log B(a, b) for a, b > 0."""
    a, b = np.minimum(a, b), np.maximum(a, b)
    n = a + b
    peak = log_poisson_peak(a) + log_poisson_peak(b) - log_poisson_peak(n)  # of x^a y^b / ..., at x = a / n
    return a * np.log(a / n) + b * np.log1p(-a / n) - peak + np.log(n) - np.log(a) - np.log(b)


LARGE = 1000  # parameter from which a series or fraction needs many terms and the density is smooth on its scale
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


@np.errstate(all="ignore")  # infinite values have limits, and NaN gives NaN
def incomplete_gamma(a, x):
    """Probabilities (P, Q) of Gamma(a, 1) below and above x, with relative errors below 1e-11.  (...) -> two of (...).

    erf(z) is P(1/2, z^2).  A series gives P for x < a + 1, a continued fraction gives Q otherwise (eqs. 6.2.5, 6.2.7);
    for large a, which would take sqrt(a) terms, quadrature (section 6.2.2) of the density of log(x / a) does.
    """
    a, x = np.broadcast_arrays(np.asarray(a, "float64"), np.asarray(x, "float64"))
    below = np.asarray(x < a + 1)
    large = a >= LARGE
    start = np.asarray(np.clip(np.log1p((x - a) / a), -700, 700))
    tail = log_concave_tail(start[large], below[large], gamma_density, a[large])
    a, x = np.where(large, 1, a), np.where(large, 1, np.clip(x, 0, 1e150))
    scale = np.exp(log_poisson(a, x))
    left, right = np.where(below, x, 0), np.where(below, a + 1, x)
    term = total = np.ones(a.shape)
    for n in count(1):
        term = term * left / (a + n)
        total = total + term
        if not np.any(term > EPSILON * total):
            break
    fraction = continued_fraction(right + 1 - a, lambda n: (n * (a - n), right + 2 * n + 1 - a))
    part = np.asarray(scale * np.where(below, total, a / fraction))
    part[large] = tail
    return np.where(below, part, 1 - part), np.where(below, 1 - part, part)


def gamma_density(v, a):
    """Logarithm of the density of v = log(X / a), where X is Gamma(a, 1)."""
    near = log1p_remainder(np.expm1(np.clip(v, -0.2, 0.2)))
    return np.log(a) + log_poisson_peak(a) - a * np.where(np.abs(v) < 0.2, near, np.expm1(v) - v)


@np.errstate(all="ignore")  # infinite values have limits, and NaN gives NaN
def incomplete_beta(a, b, log_x, log_y):
    """Probabilities of Beta(a, b) below and above x = 1 - y, with relative errors below 1e-10.  (...) -> two of (...).

    Logarithms of x and y, because one of them may be too near to 1, or too small, to be written as a number.

    Continued fraction of eq. 6.4.5, which converges fast below the mean; above it I(a, b, x) = 1 - I(b, a, 1 - x).  For
    large a, quadrature (section 6.4) of the density of log(x / y).
    """
    a, b, log_x, log_y = np.broadcast_arrays(*(np.asarray(value, "float64") for value in (a, b, log_x, log_y)))
    swap = np.exp(log_x) > (a + 1) / (a + b + 2)
    a, b, log_x, log_y = (np.where(swap, *pair) for pair in ((b, a), (a, b), (log_y, log_x), (log_x, log_y)))
    large = a >= LARGE
    start = np.asarray(np.clip((log_x - np.log(a / (a + b))) - (log_y - np.log(b / (a + b))), -700, 700))
    tail = log_concave_tail(start[large], True, beta_density, a[large], b[large])
    a, b, log_x, log_y = (np.where(large, other, value) for value, other in ((a, 1), (b, 1), (log_x, -1), (log_y, -1)))
    x = np.exp(log_x)

    def coefficients(n):
        m = n // 2
        top = m * (b - m) if n % 2 == 0 else -(a + m) * (a + b + m)
        return top * x / ((a + n - 1) * (a + n)), 1.0

    scale = np.exp(log_binomial(a, b, log_x, log_y)) * b / (a + b)
    part = np.asarray(scale / continued_fraction(np.ones(x.shape), coefficients))
    part[large] = tail
    return np.where(swap, 1 - part, part), np.where(swap, part, 1 - part)


def beta_density(w, a, b):
    """Logarithm of the density of w = log(X / (1 - X)) - log(a / b), where X is Beta(a, b)."""
    n, change = a + b, np.expm1(np.clip(w, -0.2, 0.2))
    change = change / (1 + change * (a / n))  # x is a / n times 1 + b / n change, 1 - x is b / n times 1 - a / n change
    near = a * log1p_remainder(change * (b / n)) + b * log1p_remainder(-change * (a / n))
    # The same from the logarithms of both factors, which do not cancel there
    far = a * np.log1p(np.expm1(-w) * (b / n)) + b * np.logaddexp(np.log(b / n), np.log(a / n) + w)
    peak = log_poisson_peak(a) + log_poisson_peak(b) - log_poisson_peak(n)
    return np.log(a) + np.log(b / n) + peak - np.where(np.abs(w) < 0.2, near, far)


def log_concave_tail(start, left, log_density, *parameters):
    """Integral of exp(log_density(v, *parameters)) from `start` (N,) to the left, or else to the right.  -> (N,).

    Gauss-Legendre quadrature, from `start` to where the density has fallen by exp(-40).
    """
    if not start.size:
        return start
    start, left, *parameters = (value[:, None] for value in np.broadcast_arrays(start, left, *parameters))
    width = np.where(left, -1, 1) / np.sqrt(parameters[0]) / 64
    least = log_density(start, *parameters) - 40
    while np.any(high := log_density(start + width, *parameters) > least):
        width = np.where(high, 2 * width, width)
    values = np.exp(log_density(start + width * (1 + NODES) / 2, *parameters))
    return (np.abs(width[:, 0]) / 2) * (values @ WEIGHTS)


def continued_fraction(start, coefficients):
    """start + a1 / (b1 + a2 / (b2 + ...)), by the method of Lentz 1976; coefficients(n) gives (an, bn)."""
    value = ratio = start
    inverse = np.zeros_like(start)
    for n in count(1):
        a, b = coefficients(n)
        ratio, inverse = b + a / ratio, 1 / (b + a * inverse)
        value = value * ratio * inverse
        if not np.any(np.abs(ratio * inverse - 1) > 4 * EPSILON):
            return value


def x_log_y(x, y):
    """x log y, and 0 where x is 0, even for y = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return times(x, np.log(y))


def times(x, logarithm):
    """x times a logarithm, and 0 where x is 0, even if the logarithm is -inf."""
    with np.errstate(invalid="ignore"):
        return np.where(np.equal(x, 0) & ~np.isnan(logarithm), 0.0, np.multiply(x, logarithm))
