"""Distributions from scratch: log-density, sampling, moments, and the special functions behind them.

    coin = Beta(alpha=2, beta=2)
    coin.log_density(0.7), coin.mean, coin.variance, coin.mode, coin.cdf(0.5), coin.quantile(0.975), coin.interval(0.95)
    coin.sample((1000,), seed=0)

Computed in float64.  Parameters broadcast against each other and against the values: (...) below.
Sources: Bishop 2006, Pattern Recognition and Machine Learning, chapter 2 and appendix B; Devroye 1986, Non-Uniform
Random Variate Generation (samplers); Press et al. 2007, Numerical Recipes, chapter 6 (special functions).
"""

from dataclasses import dataclass, fields
from itertools import count

import numpy as np

EPSILON = np.finfo("float64").eps


@dataclass(frozen=True, eq=False)
class Distribution:
    """Base class: `mean`, `variance`, `sample`, and `log_density(x)`, the natural logarithm of the density, or of the
    probability if x is discrete; -inf outside the support.  Continuous ones also have `cdf`, `quantile`, `interval`.
    """

    positive = ()  # names of the parameters that must be above 0

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
        """The x with cdf(x) = p, for 0 < p < 1 of shape (...): doubling finds a bracket, bisection the root."""
        p = np.asarray(p, "float64")
        require((p > 0) & (p < 1), "probability", p, "above 0 and below 1")
        low, high = (np.full(np.broadcast_shapes(p.shape, self.batch), end) for end in self.bracket)
        while np.any(short := self.cdf(high) < p):
            high = np.where(short, 2 * high, high)
        while np.any(beyond := self.cdf(low) > p):
            low = np.where(beyond, 2 * low, low)
        while np.any(((middle := (low + high) / 2) > low) & (middle < high)):  # until no float lies between them
            below = self.cdf(middle) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return high[()]

    def interval(self, level=0.95):
        """(low, high): the central interval of probability `level`."""
        require(0 < level < 1, "level", level, "above 0 and below 1")
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)


# --- continuous ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Normal(Distribution):
    """exp(-(x - mean)^2 / (2 s^2)) / (s sqrt(2 pi)), with s = standard_deviation > 0."""

    mean: np.ndarray = 0.0
    standard_deviation: np.ndarray = 1.0
    positive, bracket = ("standard_deviation",), (-1.0, 1.0)

    mode = property(lambda self: self.mean)
    variance = property(lambda self: self.standard_deviation**2)

    def log_density(self, x):
        z = (x - self.mean) / self.standard_deviation
        return -(z**2) / 2 - np.log(self.standard_deviation) - np.log(2 * np.pi) / 2

    def cdf(self, x):
        z = (x - self.mean) / self.standard_deviation
        inner, outer = incomplete_gamma(
            0.5, z**2 / 2
        )  # erf(|z| / sqrt(2)) and 1 - erf: probabilities within and beyond |z|
        return np.where(z < 0, outer, 1 + inner) / 2

    def draw(self, rng, shape):
        return self.mean + self.standard_deviation * standard_normal(rng, shape)


@dataclass(frozen=True, eq=False)
class Gamma(Distribution):
    """rate^shape x^(shape - 1) exp(-rate x) / Gamma(shape) for x >= 0; shape, rate > 0."""

    shape: np.ndarray
    rate: np.ndarray = 1.0
    positive, bracket = ("shape", "rate"), (0.0, 1.0)

    mean = property(lambda self: self.shape / self.rate)
    mode = property(lambda self: np.maximum(self.shape - 1, 0) / self.rate)
    variance = property(lambda self: self.shape / self.rate**2)

    def log_density(self, x):
        inside = np.where(np.greater_equal(x, 0), x, 1.0)
        scale = self.shape * np.log(self.rate) - log_gamma(self.shape)
        density = scale + x_log_y(self.shape - 1, inside) - self.rate * inside
        return np.where(np.greater_equal(x, 0), density, -np.inf)

    def cdf(self, x):
        return incomplete_gamma(self.shape, self.rate * x)[0]

    def draw(self, rng, shape):
        return np.exp(log_gamma_draws(rng, self.shape, shape)) / self.rate


@dataclass(frozen=True, eq=False)
class Beta(Distribution):
    """x^(alpha - 1) (1 - x)^(beta - 1) / B(alpha, beta) for 0 <= x <= 1; alpha, beta > 0."""

    alpha: np.ndarray
    beta: np.ndarray
    positive, bracket = ("alpha", "beta"), (0.0, 1.0)

    mean = property(lambda self: self.alpha / (self.alpha + self.beta))
    variance = property(lambda self: self.mean * (1 - self.mean) / (self.alpha + self.beta + 1))

    @property
    def mode(self):
        """The peak; NaN where alpha or beta is not above 1."""
        left, right = np.maximum(self.alpha - 1, 0), np.maximum(self.beta - 1, 0)
        return np.divide(left, left + right, where=left * right > 0, out=np.full(self.batch, np.nan))[()]

    def log_density(self, x):
        inside = np.greater_equal(x, 0) & np.less_equal(x, 1)
        y = np.where(inside, x, 0.5)
        powers = x_log_y(self.alpha - 1, y) + x_log_y(self.beta - 1, 1 - y)
        return np.where(inside, powers - log_beta(self.alpha, self.beta), -np.inf)

    def cdf(self, x):
        return incomplete_beta(self.alpha, self.beta, x)

    def draw(self, rng, shape):
        """X / (X + Y) of two gammas: the sigmoid of the difference of their logarithms, which never underflow."""
        difference = log_gamma_draws(rng, self.alpha, shape) - log_gamma_draws(rng, self.beta, shape)
        return (1 + np.tanh(difference / 2)) / 2


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
        if not np.allclose(self.covariance, self.covariance.mT, rtol=1e-6, atol=0):
            raise ValueError(f"The covariance of shape {self.covariance.shape} is not symmetric; give C = C^T.")
        if np.any((smallest := np.linalg.eigvalsh(self.covariance)[..., 0]) <= 0):
            raise ValueError(f"The covariance needs eigenvalues above 0; its smallest is {smallest.min():g}.")
        object.__setattr__(self, "factor", np.linalg.cholesky(self.covariance))

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
        return -((z**2).sum(-1) + self.log_determinant + self.mean.shape[-1] * np.log(2 * np.pi)) / 2

    def draw(self, rng, shape):
        return self.mean + (self.factor @ standard_normal(rng, (*shape, self.mean.shape[-1], 1)))[..., 0]


# --- discrete ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    """1 with `probability` (in [0, 1]), else 0."""

    probability: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        require((self.probability >= 0) & (self.probability <= 1), "probability", self.probability, "in [0, 1]")

    mean = property(lambda self: self.probability)
    variance = property(lambda self: self.probability * (1 - self.probability))

    def log_density(self, x):
        with np.errstate(divide="ignore"):
            heads, tails = np.log(self.probability), np.log1p(-self.probability)
        return np.where(np.equal(x, 1), heads, np.where(np.equal(x, 0), tails, -np.inf))

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
            return np.log((one_hot * self.probabilities).sum(-1))

    def draw(self, rng, shape):
        """Inverse transform: the number of cumulative sums that a uniform number exceeds."""
        steps = self.probabilities.cumsum(-1)[..., :-1]  # without the last, which may be below 1 by rounding
        return (rng.random((*shape, 1)) >= steps).sum(-1)


@dataclass(frozen=True, eq=False)
class Poisson(Distribution):
    """rate^k exp(-rate) / k! for k = 0, 1, 2 ...: arrivals in one unit of time; rate > 0."""

    rate: np.ndarray
    positive = ("rate",)

    mean = variance = property(lambda self: self.rate)

    def log_density(self, k):
        inside = np.greater_equal(k, 0) & (np.mod(k, 1) == 0)
        n = np.where(inside, k, 0)
        return np.where(inside, n * np.log(self.rate) - self.rate - log_gamma(n + 1), -np.inf)

    def cdf(self, k):
        """P(arrival k + 1, whose time has a gamma distribution, comes after time 1)."""
        return np.where(np.less(k, 0), 0, incomplete_gamma(np.maximum(np.floor(k), 0) + 1, self.rate)[1])

    def draw(self, rng, shape):
        """Counts arrivals with exponential waiting times until time 1: about `rate` iterations."""
        counts, time = np.zeros(shape, "int64"), np.zeros(shape)
        while np.any((time := time - np.log1p(-rng.random(shape)) / self.rate) < 1):
            counts += time < 1
        return counts


# --- sampling from uniform numbers ----------------------------------------------------------------------------------


def standard_normal(rng, shape):
    """Box and Muller 1958: length and angle of a normal vector in the plane are independent."""
    length = np.sqrt(-2 * np.log1p(-rng.random(shape)))
    return length * np.cos(2 * np.pi * rng.random(shape))


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


def log_beta(a, b):
    """log B(a, b) for a, b > 0."""
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b)


def incomplete_gamma(a, x):
    """Probabilities (P, Q) of Gamma(a, 1) below and above x, with errors up to 2e-15 (a + 10).  (...) -> two of (...).

    erf(z) is P(1/2, z^2).  A series gives P for x < a + 1, a continued fraction gives Q otherwise (eqs. 6.2.5, 6.2.7).
    """
    a, x = np.broadcast_arrays(np.asarray(a, "float64"), np.clip(x, 0, 1e150))
    below = x < a + 1
    scale = np.exp(x_log_y(a, x) - x - log_gamma(a))
    small, large = np.where(below, x, 0), np.where(below, a + 1, x)
    term = total = 1 / a
    for n in count(1):
        term = term * small / (a + n)
        total = total + term
        if not np.any(term > EPSILON * total):
            break
    fraction = continued_fraction(large + 1 - a, lambda n: (n * (a - n), large + 2 * n + 1 - a))
    lower, upper = scale * total, scale / fraction
    return np.where(below, lower, 1 - upper), np.where(below, 1 - lower, upper)


def incomplete_beta(a, b, x):
    """Probability of Beta(a, b) below x, to about 1e-14 (a + b + 10).  (...) -> (...).

    Continued fraction of eq. 6.4.5, which converges fast below the mean; above it I(a, b, x) = 1 - I(b, a, 1 - x).
    """
    a, b, x = np.broadcast_arrays(np.asarray(a, "float64"), np.asarray(b, "float64"), np.clip(x, 0.0, 1.0))
    swap = x > (a + 1) / (a + b + 2)
    a, b, x = np.where(swap, b, a), np.where(swap, a, b), np.where(swap, 1 - x, x)

    def coefficients(n):
        m = n // 2
        top = m * (b - m) if n % 2 == 0 else -(a + m) * (a + b + m)
        return top * x / ((a + n - 1) * (a + n)), 1.0

    scale = np.exp(x_log_y(a, x) + x_log_y(b, 1 - x) - log_beta(a, b)) / a
    lower = scale / continued_fraction(np.ones(x.shape), coefficients)
    return np.where(swap, 1 - lower, lower)


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
        return np.where(np.equal(x, 0), 0.0, np.multiply(x, np.log(y)))


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
