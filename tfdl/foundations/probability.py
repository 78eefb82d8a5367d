"""Distributions from scratch: log-density, sampling, moments and probabilities.

    coin = Beta(alpha=2, beta=2)
    coin.log_density(0.7), coin.mean, coin.variance, coin.mode, coin.cdf(0.5), coin.quantile(0.975), coin.interval(0.95)
    coin.sample((1000,), seed=0)

Computed in float64.  Parameters broadcast against each other and against the values: (...) below.  A value that is NaN
gives NaN.  Products of powers and factorials are computed as sums of logarithms, because they leave the range of
float64 long before a probability does: see `special_functions`.
Sources: Bishop 2006, Pattern Recognition and Machine Learning, chapter 2 and appendix B; Devroye 1986, Non-Uniform
Random Variate Generation (samplers).
"""

from dataclasses import dataclass, fields

import numpy as np

from tfdl.foundations.special_functions import (
    incomplete_beta,
    incomplete_gamma,
    log_beta,
    log_binomial,
    log_gamma,
    log_poisson,
    times,
    x_log_y,
)

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
