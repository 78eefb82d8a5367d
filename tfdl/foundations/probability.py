"""Distributions from scratch: log-density, sampling, moments, and the special functions behind them.

    coin = Beta(alpha=2, beta=2)
    coin.log_density(0.7), coin.mean, coin.variance, coin.mode, coin.cdf(0.5), coin.quantile(0.975), coin.interval(0.95)
    coin.sample((1000,), seed=0)

Computed in float64.  Parameters broadcast against each other and against the values: (...) below.  A value that is NaN
gives NaN.  Products of powers and factorials are computed as sums of logarithms, because they leave the range of
float64 long before a probability does; large logarithms that would cancel are avoided (Loader 2000).
Sources: Bishop 2006, Pattern Recognition and Machine Learning, chapter 2 and appendix B; Devroye 1986, Non-Uniform
Random Variate Generation (samplers); Press et al. 2007, Numerical Recipes, chapter 6 (special functions); Loader 2000,
Fast and Accurate Computation of Binomial Probabilities.
"""

from dataclasses import dataclass, fields
from itertools import count

import numpy as np

EPSILON = np.finfo("float64").eps
SMALLEST = np.nextafter(0.0, 1.0)  # positive number


@dataclass(frozen=True, eq=False)
class Distribution:
    """Base class: `mean`, `variance`, `sample`, and `log_density(x)`, the natural logarithm of the density, or of the
    probability if x is discrete; -inf outside the support.  Those of real numbers or counts also have `cdf`, `quantile`
    and `interval`.
    """

    positive = ()  # names of the parameters that must be above 0
    support = None  # (lowest, highest) of a distribution of numbers

    def __post_init__(self):
        for name in (field.name for field in fields(self)):
            value = np.asarray(getattr(self, name), "float64")
            require(np.isfinite(value), name, value, "finite")
            require((value > 0) | (name not in self.positive), name, value, "above 0")
            object.__setattr__(self, name, value)
        self.batch  # noqa: B018  raises at once if the shapes don't broadcast

    @property
    def batch(self):
        """Shape (...) of the parameters after broadcasting."""
        return broadcast(type(self).__name__, *(getattr(self, field.name).shape for field in fields(self)))

    def sample(self, shape=(), *, seed):
        """Independent draws, (*shape, *batch), followed by (D,) for vectors.

        Args:
            seed: a number, for reproducible draws, or a `numpy.random.Generator`, which is advanced.
        """
        return self.draw(np.random.default_rng(seed), (*shape, *self.batch))

    def quantile(self, p):
        """The smallest x with cdf(x) >= p, for 0 < p < 1 of shape (...).

        Bisection over the numbers of float64 in their order, not over their values: of all 2^64, 64 steps find the one.

        Raises:
            ValueError: p outside (0, 1), or a distribution of vectors or labels.
        """
        p = np.asarray(p, "float64")
        require((p > 0) & (p < 1), "probability", p, "above 0 and below 1")
        if self.support is None:
            raise ValueError(f"{type(self).__name__} has no quantiles: its values are not ordered numbers.")
        shape = broadcast(type(self).__name__, p.shape, self.batch)
        low, high = (np.full(shape, position(end)) for end in self.support)
        for _ in range(64):
            middle = low // 2 + high // 2 + (low & high & 1)  # the mean; the sum could leave the range of int64
            below = self.cdf(number_at(middle)) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return number_at(high)[()] + 0.0  # no -0.0

    def interval(self, level=0.95):
        """(low, high), each (...): the central interval of probability `level` (...)."""
        level = np.asarray(level, "float64")
        require((level > 0) & (level < 1), "level", level, "above 0 and below 1")
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)


def position(x):
    """Place of the float64 x in the order of all of them, as an integer; 0 for 0."""
    return forwards(np.asarray(x, "float64").view("int64"))


def number_at(position):
    """The float64 at a place in the order of all of them: the inverse of `position`."""
    return forwards(position).view("float64")


def forwards(bits):
    """Bits of floats -> integers in the same order, or back: as bits, negative numbers are ordered backwards."""
    return bits ^ ((bits >> 63) & np.iinfo("int64").max)


# --- continuous ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Normal(Distribution):
    """exp(-(x - mean)^2 / (2 s^2)) / (s sqrt(2 pi)), with s = standard_deviation > 0."""

    mean: np.ndarray = 0.0
    standard_deviation: np.ndarray = 1.0
    positive, support = ("standard_deviation",), (-np.inf, np.inf)

    mode = property(lambda self: self.mean)
    variance = property(lambda self: self.standard_deviation**2)

    def log_density(self, x):
        z = (np.asarray(x, "float64") - self.mean) / self.standard_deviation
        with np.errstate(over="ignore"):  # then the density is 0
            square = z**2
        return -square / 2 - np.log(self.standard_deviation) - np.log(2 * np.pi) / 2

    def cdf(self, x):
        z = (np.asarray(x, "float64") - self.mean) / self.standard_deviation
        z = np.clip(z, -1e9, 1e9)  # beyond, the squares would leave the range
        # erf(|z| / sqrt(2)) and 1 - erf: probabilities within and beyond |z|
        inner, outer = incomplete_gamma(0.5, z**2 / 2)
        return np.where(z < 0, outer, 1 + inner) / 2

    def draw(self, rng, shape):
        return self.mean + self.standard_deviation * standard_normal(rng, shape)


@dataclass(frozen=True, eq=False)
class Gamma(Distribution):
    """rate^shape x^(shape - 1) exp(-rate x) / Gamma(shape) for x >= 0; shape, rate > 0."""

    shape: np.ndarray
    rate: np.ndarray = 1.0
    positive, support = ("shape", "rate"), (0.0, np.inf)

    mean = property(lambda self: self.shape / self.rate)
    mode = property(lambda self: np.maximum(self.shape - 1, 0) / self.rate)
    variance = property(lambda self: self.mean / self.rate)

    @np.errstate(over="ignore")  # of rate x: then the density is 0
    def log_density(self, x):
        x = np.asarray(x, "float64")
        outside = (x < 0) | np.isinf(x)
        inside = np.where(outside, 1.0, x)
        small = self.shape * np.log(self.rate) - log_gamma(self.shape)
        small = small + x_log_y(self.shape - 1, inside) - self.rate * inside
        large = np.log(self.rate) + log_poisson(np.maximum(self.shape, 10) - 1, self.rate * inside)
        return np.where(outside, -np.inf, np.where(self.shape < 10, small, large))

    @np.errstate(over="ignore")
    def cdf(self, x):
        return incomplete_gamma(self.shape, self.rate * np.maximum(x, 0))[0]

    def draw(self, rng, shape):
        return from_logarithms(log_gamma_draws(rng, self.shape, shape) - np.log(self.rate))


@dataclass(frozen=True, eq=False)
class Beta(Distribution):
    """x^(alpha - 1) (1 - x)^(beta - 1) / B(alpha, beta) for 0 <= x <= 1; alpha, beta > 0."""

    alpha: np.ndarray
    beta: np.ndarray
    positive, support = ("alpha", "beta"), (0.0, 1.0)

    mean = property(lambda self: self.alpha / (self.alpha + self.beta))
    variance = property(lambda self: self.mean * (1 - self.mean) / (self.alpha + self.beta + 1))

    @property
    def mode(self):
        """The peak; NaN where alpha or beta is not above 1."""
        left, right = np.maximum(self.alpha - 1, 0), np.maximum(self.beta - 1, 0)
        return np.divide(left, left + right, where=left * right > 0, out=np.full(self.batch, np.nan))[()]

    def log_density(self, x):
        x = np.asarray(x, "float64")
        outside = (x < 0) | (x > 1)
        log_x, log_y = self.logarithms(np.where(outside, 0.5, x))
        small = times(self.alpha - 1, log_x) + times(self.beta - 1, log_y) - log_beta(self.alpha, self.beta)
        alpha, beta = np.maximum(self.alpha, 10), np.maximum(self.beta, 10)
        large = np.log(alpha + beta - 1) + log_binomial(alpha - 1, beta - 1, log_x, log_y)
        density = np.where((self.alpha < 10) | (self.beta < 10), small, large)
        return np.where(outside, -np.inf, density)

    def cdf(self, x):
        return incomplete_beta(self.alpha, self.beta, *self.logarithms(np.clip(x, 0.0, 1.0)))[0]

    @staticmethod
    def logarithms(x):
        """log x and log(1 - x)."""
        with np.errstate(divide="ignore"):
            return np.log(x), np.log1p(-x)

    def draw(self, rng, shape):
        """X / (X + Y) of two gammas: 1 / (1 + Y / X), from their logarithms, which never underflow."""
        difference = log_gamma_draws(rng, self.alpha, shape) - log_gamma_draws(rng, self.beta, shape)
        return from_logarithms(-np.logaddexp(0, -difference))


@dataclass(frozen=True, eq=False)
class MultivariateNormal(Distribution):
    """Normal vectors of `mean` (..., D) and `covariance` (..., D, D), symmetric and positive definite.

    With the Cholesky factor L of the covariance, draws are mean + L z, the quadratic form is |L^-1 (x - mean)|^2, and
    the determinant is the squared product of L's diagonal (Bishop 2006, section 2.3).
    """

    mean: np.ndarray
    covariance: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        variance = self.variance
        require(variance > 0, "variance", variance, "above 0")
        # As correlations, so that it does not matter in which units the coordinates are measured
        root = np.sqrt(variance)[..., None]
        correlation = self.covariance / root / root.mT
        if np.any(np.abs(correlation - correlation.mT) > 1e-6):
            raise ValueError(f"The covariance of shape {self.covariance.shape} is not symmetric; give C = C^T.")
        correlation = (correlation + correlation.mT) / 2
        if np.any((smallest := np.linalg.eigvalsh(correlation)[..., 0]) <= 0):
            raise ValueError(
                f"The covariance needs correlations with eigenvalues above 0; the smallest is {smallest.min():g}."
            )
        object.__setattr__(self, "factor", root * np.linalg.cholesky(correlation))

    @property
    def batch(self):
        mean, covariance = self.mean.shape, self.covariance.shape
        if not mean or covariance[-2:] != 2 * mean[-1:]:
            raise ValueError(f"mean {mean} and covariance {covariance} don't fit: give (..., D) and (..., D, D).")
        return broadcast("MultivariateNormal", mean[:-1], covariance[:-2])

    variance = property(lambda self: np.diagonal(self.covariance, axis1=-2, axis2=-1))  # (..., D)
    log_determinant = property(lambda self: 2 * np.log(np.diagonal(self.factor, axis1=-2, axis2=-1)).sum(-1))

    def log_density(self, x):
        """x (..., D) -> (...)."""
        z = np.linalg.solve(self.factor, (x - self.mean)[..., None])[..., 0]
        with np.errstate(over="ignore"):  # then the density is 0
            square = (z**2).sum(-1)
        return -(square + self.log_determinant + self.mean.shape[-1] * np.log(2 * np.pi)) / 2

    def draw(self, rng, shape):
        return self.mean + (self.factor @ standard_normal(rng, (*shape, self.mean.shape[-1], 1)))[..., 0]


# --- discrete ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    """1 with `probability` (in [0, 1]), else 0."""

    probability: np.ndarray
    support = (0.0, 1.0)

    def __post_init__(self):
        super().__post_init__()
        require((self.probability >= 0) & (self.probability <= 1), "probability", self.probability, "in [0, 1]")

    mean = property(lambda self: self.probability)
    variance = property(lambda self: self.probability * (1 - self.probability))

    def log_density(self, x):
        with np.errstate(divide="ignore"):
            heads, tails = np.log(self.probability), np.log1p(-self.probability)
        density = np.where(np.equal(x, 1), heads, np.where(np.equal(x, 0), tails, -np.inf))
        return np.where(np.isnan(x), np.nan, density)

    def cdf(self, x):
        area = np.where(np.less(x, 0), 0.0, np.where(np.less(x, 1), 1 - self.probability, 1.0))
        return np.where(np.isnan(x), np.nan, area)

    def draw(self, rng, shape):
        return (rng.random(shape) < self.probability).astype("int64")


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    """Label k = 0 ... K - 1 with probabilities[..., k].  Moments (..., K) are those of one-hot vectors."""

    probabilities: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        require_simplex("probabilities", self.probabilities)

    batch = property(lambda self: self.probabilities.shape[:-1])
    mean = property(lambda self: self.probabilities)
    variance = property(lambda self: self.probabilities * (1 - self.probabilities))

    def log_density(self, labels):
        one_hot = np.equal(np.asarray(labels)[..., None], np.arange(self.probabilities.shape[-1]))
        with np.errstate(divide="ignore"):
            density = np.log((one_hot * self.probabilities).sum(-1))
        return np.where(np.isnan(labels), np.nan, density)

    def draw(self, rng, shape):
        """Inverse transform: the number of cumulative sums that a uniform number, which is below 1, exceeds.

        They are divided by the last, which may differ from 1 by rounding.
        """
        sums = self.probabilities.cumsum(-1)
        return (rng.random((*shape, 1)) >= sums / sums[..., -1:]).sum(-1)


@dataclass(frozen=True, eq=False)
class Poisson(Distribution):
    """rate^k exp(-rate) / k! for k = 0, 1, 2 ...: arrivals in one unit of time; rate >= 0."""

    rate: np.ndarray
    support = (0.0, np.inf)

    def __post_init__(self):
        super().__post_init__()
        require(self.rate >= 0, "rate", self.rate, "0 or more")

    mean = variance = property(lambda self: self.rate)

    def log_density(self, k):
        k = np.asarray(k, "float64")
        outside = (k < 0) | (np.floor(k) < k) | np.isinf(k)
        return np.where(outside, -np.inf, log_poisson(np.where(outside, 0, k), self.rate))

    def cdf(self, k):
        """P(arrival k + 1, whose time has a gamma distribution, comes after time 1)."""
        k = np.asarray(k, "float64")
        arrivals = np.floor(np.clip(k, 0, np.finfo("float64").max)) + 1
        return np.where(k < 0, 0, incomplete_gamma(arrivals, self.rate)[1])

    def draw(self, rng, shape):
        """Few arrivals are counted one after the other, many are drawn by rejection.

        Raises:
            ValueError: a rate of 1e18 or more, whose counts do not fit int64.
        """
        require(self.rate < 1e18, "rate", self.rate, "below 1e18 for draws")
        rate = np.broadcast_to(self.rate, shape).ravel()
        counts, many = np.empty(rate.size, "int64"), rate >= 30
        counts[many], counts[~many] = poisson_rejection(rng, rate[many]), poisson_arrivals(rng, rate[~many])
        return counts.reshape(shape)


# --- sampling from uniform numbers ----------------------------------------------------------------------------------


def standard_normal(rng, shape):
    """Box and Muller 1958: length and angle of a normal vector in the plane are independent."""
    length = np.sqrt(-2 * np.log1p(-rng.random(shape)))
    return length * np.cos(2 * np.pi * rng.random(shape))


def poisson_arrivals(rng, rate):
    """Counts arrivals with exponential waiting times until time 1: about `rate` iterations.  (N,) -> (N,)."""
    counts, time = np.zeros(rate.size, "int64"), np.zeros(rate.size)
    with np.errstate(divide="ignore", invalid="ignore"):  # at rate 0 the first arrival never comes
        while np.any((time := time - np.log1p(-rng.random(rate.size)) / rate) < 1):
            counts += time < 1
    return counts


def poisson_rejection(rng, rate):
    """Draws for rate >= 10, (N,) -> (N,): algorithm PTRS of Hoermann 1993, constants from its section 5.

    The quantile function is nearly (2 a / (1/2 - |u|) + b) u + rate + 0.43 for u uniform in -1/2 ... 1/2; rejection
    makes it exact.
    """
    b = 0.931 + 2.53 * np.sqrt(rate)
    a = -0.059 + 0.02483 * b
    height = np.log(1.1239 + 1.1328 / (b - 3.4))
    counts, todo = np.empty(rate.size, "int64"), np.arange(rate.size)
    while todo.size:
        u, v = rng.random(todo.size) - 0.5, 1 - rng.random(todo.size)
        edge = np.maximum(0.5 - np.abs(u), SMALLEST)
        k = np.floor((2 * a[todo] / edge + b[todo]) * u + rate[todo] + 0.43)
        density = log_poisson(np.maximum(k, 0), rate[todo])
        bound = np.log(v) + height[todo] - np.log(a[todo] / edge**2 + b[todo])
        accepted = (k >= 0) & (bound <= density)
        counts[todo[accepted]] = k[accepted]
        todo = todo[~accepted]
    return counts


def from_logarithms(x):
    """exp(x), but at least the smallest number above 0: many densities have a pole at 0, where no draw can be."""
    return np.maximum(np.exp(x), SMALLEST)


def log_gamma_draws(rng, alpha, shape):
    """Logarithms of draws from Gamma(alpha, 1), (*shape): Marsaglia and Tsang 2000.

    d v, with v = (1 + c x)^3 and x normal, is almost gamma distributed; rejection makes it exact.  This needs
    alpha >= 1; below, a draw for alpha + 1 is multiplied by U^(1 / alpha).
    """
    alpha = np.broadcast_to(alpha, shape).ravel()
    d = np.where(alpha < 1, alpha + 1, alpha) - 1 / 3
    draws, todo = np.empty(alpha.size), np.arange(alpha.size)
    while todo.size:
        x = standard_normal(rng, todo.size)
        v = np.maximum(1 + x / np.sqrt(9 * d[todo]), 0) ** 3
        log_v = np.log(np.where(v > 0, v, 1))
        bound = x**2 / 2 + d[todo] * (1 - v + log_v)
        accepted = (v > 0) & (np.log1p(-rng.random(todo.size)) < bound)
        draws[todo[accepted]] = (np.log(d[todo]) + log_v)[accepted]
        todo = todo[~accepted]
    return np.where(alpha < 1, draws + np.log1p(-rng.random(alpha.size)) / alpha, draws).reshape(shape)


# --- special functions ---------------------------------------------------------------------------------------------

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


# --- input validation ------------------------------------------------------------------------------------------------


def require(accepted, name, values, condition):
    """ValueError with the first of `values` that is not `accepted`, a mask of their shape."""
    if not np.all(accepted):
        raise ValueError(f"{name} must be {condition}; got {np.asarray(values)[~np.asarray(accepted)].flat[0]}.")


def require_simplex(name, values, axis=-1):
    """ValueError unless `values` are not negative and sum to 1 (to 1e-5, for float32) along `axis`."""
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"{name} of shape {values.shape} has no axis {axis}; give probabilities along an axis.")
    require(values >= 0, name, values, "0 or more")
    require(np.abs((total := values.sum(axis)) - 1) < 1e-5, f"The sum of {name} along axis {axis}", total, "1")


def broadcast(name, *shapes):
    """The common broadcast shape; ValueError with the shapes if there is none."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{name} got shapes that don't broadcast: {', '.join(map(str, shapes))}.") from None
