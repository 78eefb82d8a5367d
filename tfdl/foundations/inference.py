"""Statistical inference: Bayes' rule, maximum likelihood, intervals, tests, Monte Carlo, Markov chains.

    beta_bernoulli(Beta(1, 1), tosses).interval(0.95)      where a coin's probability lies, given its tosses
    t_test(observations, mean=0.0).p_value                 probability of a result this extreme by chance
    monte_carlo(function(draws)).standard_error            standard error of an average of random draws

Observations are (..., N), independent along the last axis; the leading axes are a batch of separate problems.

Sources: Bishop 2006, Pattern Recognition and Machine Learning, chapters 2 and 11; Wasserman 2004, All of Statistics,
chapters 6 to 11, 23 and 24.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tfdl.foundations.linear_systems import normalized
from tfdl.foundations.probability import (
    Bernoulli,
    Beta,
    Distribution,
    Gamma,
    Normal,
    Poisson,
    from_logarithms,
    log_gamma_draws,
    require,
    require_simplex,
    standard_normal,
)
from tfdl.foundations.special_functions import (
    EPSILON,
    deviance,
    incomplete_beta,
    incomplete_gamma,
    log1p_square,
    log_beta,
    log_gamma,
    x_log_y,
)

# --- Bayes: from prior to posterior ----------------------------------------------------------------------------------


def bayes(prior, likelihood):
    """Bayes' rule over K hypotheses: P(h | data) = P(h) P(data | h) / P(data).  (..., K), (..., K) -> (..., K).

    Raises:
        ValueError: an invalid prior, a negative likelihood, or data of probability 0 under every hypothesis.
    """
    prior, likelihood = np.asarray(prior, "float64"), np.asarray(likelihood, "float64")
    require_simplex("prior", prior)
    require((likelihood >= 0) & np.isfinite(likelihood), "likelihood", likelihood, "finite and 0 or more")
    with np.errstate(divide="ignore"):  # as logarithms, since likelihoods of many observations are tiny
        joint = np.log(prior) + np.log(likelihood)
    largest = joint.max(-1, keepdims=True)
    require(largest > -np.inf, "probability of the data", np.exp(largest), "above 0 under some hypothesis of the prior")
    joint = np.exp(joint - largest)
    return joint / joint.sum(-1, keepdims=True)


def beta_bernoulli(prior, observations):
    """Beta prior, observations (..., N) of 0 or 1 -> Beta posterior: the counts are added (Bishop 2006, eq. 2.18)."""
    x = sample_of(observations, least=0, binary=True)
    return Beta(prior.alpha + x.sum(-1), prior.beta + (1 - x).sum(-1))


def gamma_poisson(prior, observations):
    """Gamma prior on the rate, counts (..., N) -> Gamma posterior: adds arrivals to the shape, time to the rate."""
    x = sample_of(observations, least=0, counts=True)
    return Gamma(prior.shape + x.sum(-1), prior.rate + x.shape[-1])


def normal_normal(prior, observations, *, standard_deviation):
    """Normal prior on the mean, observations (..., N) of known `standard_deviation` -> Normal posterior.

    The precisions (1 / variance) add up and weight the means (Bishop 2006, eqs. 2.141, 2.142).
    """
    x = sample_of(observations, least=0)
    known = Normal(0, standard_deviation).standard_deviation
    with np.errstate(over="ignore"):
        # Root of the ratio of the precisions: from it, nothing else leaves the range
        ratio = np.minimum(np.sqrt(x.shape[-1]) * (prior.standard_deviation / known), 1e300)
    total = np.hypot(1, ratio)
    mean = prior.mean / total / total + x.sum(-1) / max(x.shape[-1], 1) * (ratio / total) ** 2
    return Normal(mean, prior.standard_deviation / total)


@dataclass(frozen=True, eq=False)
class Dirichlet(Distribution):
    """Over probability vectors x (..., K): the product of x_k^(concentration_k - 1), normalized; concentration > 0."""

    concentration: np.ndarray
    positive = ("concentration",)

    batch = property(lambda self: self.concentration.shape[:-1])
    total = property(lambda self: self.concentration.sum(-1, keepdims=True))
    mean = property(lambda self: self.concentration / self.total)
    variance = property(lambda self: self.mean * (1 - self.mean) / (self.total + 1))

    def log_density(self, x):
        """x (..., K) -> (...); -inf unless x is 0 or more and sums to 1, to 1e-5."""
        x = np.asarray(x, "float64")
        outside = (x < 0).any(-1) | (np.abs(x.sum(-1) - 1) > 1e-5)
        scale = log_gamma(self.total[..., 0]) - log_gamma(self.concentration).sum(-1)
        density = scale + x_log_y(self.concentration - 1, np.where(outside[..., None], 1, x)).sum(-1)
        return np.where(outside, -np.inf, density)

    def draw(self, rng, shape):
        """Gammas divided by their sum, as a softmax of their logarithms, which never underflow."""
        logs = log_gamma_draws(rng, self.concentration, (*shape, self.concentration.shape[-1]))
        parts = from_logarithms(logs - logs.max(-1, keepdims=True))
        return parts / parts.sum(-1, keepdims=True)


def dirichlet_categorical(prior, labels):
    """Dirichlet prior, labels (..., N) of 0 ... K - 1 -> Dirichlet posterior: each label's count is added."""
    width = prior.concentration.shape[-1]
    labels = sample_of(labels, least=0, counts=True)
    require(labels < width, "label", labels, f"below {width}, the width of the prior")
    return Dirichlet(prior.concentration + (labels[..., None] == np.arange(width)).sum(-2))


# --- maximum likelihood --------------------------------------------------------------------------------------------


def fit_normal(observations):
    """Maximum-likelihood Normal: mean and standard deviation (divided by N: biased) of the observations (..., N)."""
    return Normal(*mean_and_spread(sample_of(observations, least=2), freedom=0))


def fit_bernoulli(observations):
    """Maximum-likelihood Bernoulli: the fraction of ones among the observations (..., N)."""
    return Bernoulli(sample_of(observations, binary=True).mean(-1))


def fit_poisson(observations):
    """Maximum-likelihood Poisson: its rate is the mean of the counts (..., N)."""
    return Poisson(sample_of(observations, counts=True).mean(-1))


def fit_gamma(observations, *, shape_prior=None):
    """Maximum-likelihood Gamma, or the MAP estimate under a Gamma `shape_prior` with shape 1 or more.

    The rate is shape / mean.  The shape k has no closed form: the slope of the log-likelihood,
        N (log k - digamma(k) - s) with s = log(mean x) - mean(log x), plus (a - 1) / k - b from a prior Gamma(a, b),
    is nearly linear in 1 / k, so that Newton's method in 1 / k converges from anywhere in a few steps
    (Minka 2002, Estimating a Gamma distribution).

    Raises:
        ValueError: observations that are not positive, or all equal: their likelihood has no maximum.
    """
    x = sample_of(observations, least=2)
    require(x > 0, "observation", x, "above 0")
    prior = shape_prior or Gamma(1.0, 1e-300)  # flat
    require(prior.shape >= 1, "shape of the prior", prior.shape, "1 or more")
    size, (mean, _) = x.shape[-1], mean_and_spread(x)
    # As a mean of deviances: the two logarithms would cancel
    spread = deviance(1.0, x / mean[..., None], np.log(x) - np.log(mean)[..., None]).mean(-1)
    require(spread > 0, "log(mean x) - mean(log x)", spread, "above 0: the observations must differ")
    shape = 0.5 / spread  # log k - digamma(k) is about 1 / (2 k)
    for _ in range(30):
        value, derivative = log_minus_digamma(shape)
        slope = size * (value - spread) + (prior.shape - 1) / shape - prior.rate
        curvature = size * derivative - (prior.shape - 1) / shape**2
        shape = 1 / (1 / shape + slope / (shape**2 * curvature))
    return Gamma(shape, shape / mean)


def log_minus_digamma(x):
    """log x - digamma(x) for x > 0, where digamma is the derivative of log Gamma, and its derivative; to 1e-11.

    Asymptotic series at x + 10, then the recurrence down to x; differences of logarithms and of reciprocals are
    written as one, since they would cancel for large x.
    """
    y, steps = x + 10, [1 / (x + i) for i in range(10)]
    value = 1 / (2 * y) + y**-2 * (1 / 12 - y**-2 * (1 / 120 - y**-2 * (1 / 252 - y**-2 / 240)))
    derivative = 1 / (2 * y**2) + y**-3 * (1 / 6 - y**-2 * (1 / 30 - y**-2 * (1 / 42 - y**-2 / 30)))
    return value + sum(steps) - np.log1p(10 / x), 10 / x / y - derivative - sum(step**2 for step in steps)


# --- confidence intervals: 95 of 100 contain the true value ----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StudentT(Distribution):
    """A standard normal divided by sqrt(chi-square / degrees): a sample mean divided by its standard error."""

    degrees: np.ndarray
    positive, support = ("degrees",), (-np.inf, np.inf)

    mean = property(lambda self: np.where(self.degrees > 1, 0.0, np.nan))
    variance = property(lambda self: self.mean + np.where(self.degrees > 2, 1 / np.abs(1 - 2 / self.degrees), np.inf))

    def log_density(self, x):
        half = self.degrees / 2
        scale = -log_beta(0.5, half) - np.log(self.degrees) / 2
        return scale - (half + 0.5) * log1p_square(x / np.sqrt(self.degrees))

    def cdf(self, x):
        """Half the probability of Beta(1/2, degrees / 2) beyond z^2 / (1 + z^2), with z = |x| / sqrt(degrees)."""
        x = np.asarray(x, "float64")
        z = np.abs(x) / np.sqrt(self.degrees)
        with np.errstate(divide="ignore", over="ignore"):
            logarithms = -log1p_square(1 / z), -log1p_square(z)
        inner, outer = incomplete_beta(0.5, self.degrees / 2, *logarithms)
        return np.where(x < 0, outer, 1 + inner) / 2

    def draw(self, rng, shape):
        log_chi_square = np.log(2) + log_gamma_draws(rng, self.degrees / 2, shape)
        with np.errstate(over="ignore"):  # few degrees: draws may be beyond the largest number
            return standard_normal(rng, shape) * np.exp((np.log(self.degrees) - log_chi_square) / 2)


def mean_interval(observations, *, level=0.95):
    """(low, high), each (...), of the mean of normal observations (..., N): Student 1908."""
    x = sample_of(observations, least=2)
    mean, spread = mean_and_spread(x)
    half = StudentT(x.shape[-1] - 1).interval(level)[1] * spread / np.sqrt(x.shape[-1])
    return mean - half, mean + half


def proportion_interval(successes, trials, *, level=0.95):
    """(low, high), each (...), of a probability after `successes` in `trials`, both (...): Wilson 1927.

    Unlike p +- z sqrt(p (1 - p) / n) it stays inside [0, 1] and is valid at 0 successes.
    """
    successes, trials = np.asarray(successes, "float64"), np.asarray(trials, "float64")
    require(trials >= 1, "number of trials", trials, "1 or more")
    require((successes >= 0) & (successes <= trials), "number of successes", successes + 0 * trials, "0 ... trials")
    z = Normal().interval(level)[1]
    fraction, weight = successes / trials, z**2 / trials
    center, half = fraction + weight / 2, np.sqrt(weight * (fraction * (1 - fraction) + weight / 4))
    return np.maximum(center - half, 0) / (1 + weight), np.minimum((center + half) / (1 + weight), 1)


def bootstrap_interval(observations, statistic, *, level=0.95, resamples=2000, seed):
    """(low, high), each (...), of any statistic: quantiles of its values on resampled observations (Efron 1979).

    `statistic(array, axis=-1)` reduces the last axis, as `np.median` does.
    """
    x = sample_of(observations, least=2)
    level = np.asarray(level, "float64")
    require((level > 0) & (level < 1), "level", level, "above 0 and below 1")
    picks = np.random.default_rng(seed).integers(0, x.shape[-1], (resamples, x.shape[-1]))
    low, high = np.quantile(statistic(x[..., picks], axis=-1), ((1 - level) / 2, (1 + level) / 2), axis=-1)
    return low, high


# --- hypothesis tests ----------------------------------------------------------------------------------------------


class Significance(NamedTuple):
    """`p_value` (...): probability, under the null hypothesis, of a `statistic` (...) at least as extreme."""

    statistic: np.ndarray
    p_value: np.ndarray


def z_test(observations, *, mean, standard_deviation):
    """Does the mean of observations (..., N) of known `standard_deviation` differ from `mean`?  Two-sided."""
    x = sample_of(observations)
    center, known = mean_and_spread(x, freedom=0)[0], Normal(mean, standard_deviation).standard_deviation
    z = (center - mean) / known * np.sqrt(x.shape[-1])
    return Significance(z, 2 * Normal().cdf(-np.abs(z)))


def t_test(observations, *, mean):
    """Does the mean of normal observations (..., N) differ from `mean`?  Two-sided, standard deviation estimated."""
    x = sample_of(observations, least=2, varied=True)
    center, spread = mean_and_spread(x)
    t = (center - mean) / (spread / np.sqrt(x.shape[-1]))
    return Significance(t, 2 * StudentT(x.shape[-1] - 1).cdf(-np.abs(t)))


def permutation_test(first, second, *, resamples=10_000, seed):
    """Do two samples have different means?  Assumes no distribution: shuffles the values between them (Fisher 1935).

    Args:
        first, second: (N,) and (M,).
    """
    x, y = sample_of(first), sample_of(second)
    require(np.array([x.ndim, y.ndim]) == 1, "number of axes", [x.ndim, y.ndim], "1 in both samples")
    values, exponents = normalized(np.concatenate([x, y]), -1)
    values = values - values.mean()  # the difference of the means does not depend on it, its rounding error does
    shuffled = np.random.default_rng(seed).permuted(np.broadcast_to(values, (resamples, values.size)), axis=-1)
    differences = shuffled[:, : x.size].mean(-1) - shuffled[:, x.size :].mean(-1)
    difference = values[: x.size].mean() - values[x.size :].mean()
    # Ties count in spite of rounding: of the values, whose largest was about 1, and of the means.
    extreme = np.abs(differences) >= np.abs(difference) - 8 * EPSILON
    return Significance(np.ldexp(difference, exponents[0]), (1 + extreme.sum()) / (1 + resamples))


def chi_square_test(observed, expected):
    """Do counts (..., K) differ from the expected ones (..., K)?  Pearson 1900; reliable if all expected are >= 5."""
    observed, expected = np.asarray(observed, "float64"), np.asarray(expected, "float64")
    require((observed >= 0) & np.isfinite(observed), "observed count", observed, "finite and 0 or more")
    require((expected > 0) & np.isfinite(expected), "expected count", expected, "finite and above 0")
    size = expected.shape[-1] if expected.ndim else 0
    require(size >= 2, "number of classes along the last axis", size, "2 or more")
    off = np.abs(observed.sum(-1) - expected.sum(-1)) / expected.sum(-1)
    require(off < 1e-6, "relative difference of the sums of observed and expected", off, "0")
    statistic = (((observed - expected) / np.sqrt(expected)) ** 2).sum(-1)
    return Significance(statistic, incomplete_gamma((expected.shape[-1] - 1) / 2, statistic / 2)[1])


# --- Monte Carlo: averages of random draws -------------------------------------------------------------------------


class Estimate(NamedTuple):
    """A `value` (...) and its `standard_error` (...), its standard deviation over repeated runs."""

    value: np.ndarray
    standard_error: np.ndarray

    def interval(self, level=0.95):
        """(low, high) by the central limit theorem: valid for many draws."""
        half = Normal().interval(level)[1] * self.standard_error
        return self.value - half, self.value + half


def monte_carlo(values):
    """Estimates an expectation by the mean of independent draws (..., N); the error falls as N^-1/2."""
    mean, spread = mean_and_spread(sample_of(values, least=2))
    return Estimate(mean, spread / np.sqrt(np.shape(values)[-1]))


def running_monte_carlo(values):
    """`monte_carlo` of the first 2, 3 ... N values (..., N): an Estimate of arrays (..., N - 1).

    A value x_n adds (x_n - mean before)^2 (n - 1) / n to the sum of squares (Welford 1962), so that no later value
    affects an earlier error.  `hypot` adds squares whose own size may leave the range.
    """
    x = sample_of(values, least=2)
    n = np.arange(1, x.shape[-1] + 1)
    means = x[..., :1] + (x - x[..., :1]).cumsum(-1) / n
    changes = (x[..., 1:] - means[..., :-1]) * np.sqrt(n[:-1] / n[1:])
    root = np.hypot.accumulate(np.abs(changes), axis=-1)
    return Estimate(means[..., 1:], root / np.sqrt(n[1:]) / np.sqrt(n[:-1]))


def importance_sampling(function, target, proposal, *, draws, seed):
    """Expectation of `function` under `target`, from draws of `proposal` weighted by target / proposal density.

    `function` maps draws (N, ...) to values (N, batch); the proposal must be large where |function| target is large.
    """
    x = proposal.sample((draws,), seed=seed)
    weights = np.exp(target.log_density(x) - proposal.log_density(x))
    return monte_carlo(np.moveaxis(function(x) * weights, 0, -1))


def standardized_means(distribution, *, size, repetitions, seed):
    """(mean - true mean) / (standard deviation / sqrt(size)) of many samples, (repetitions, *batch).

    The central limit theorem: whatever the distribution (of finite variance), this tends to Normal(0, 1) as size grows.
    """
    means = distribution.sample((repetitions, size), seed=seed).mean(1)
    return (means - distribution.mean) / np.sqrt(distribution.variance / size)


# --- Markov chains: each draw depends on the previous one ----------------------------------------------------------


def propagate(start, transition, *, steps):
    """The distributions (steps + 1, ..., K) over states at times 0 ... steps: start, start P, start P P ...

    start is (..., K); row i of the transition matrix P (..., K, K) has the probabilities of going from i to each state.
    """
    rows, transition = [np.asarray(start, "float64")], chain_of(transition)
    require_simplex("start", rows[0])
    for _ in range(steps):
        rows.append((rows[-1][..., None, :] @ transition)[..., 0, :])
    return np.stack(np.broadcast_arrays(*rows))


def stationary(transition):
    """The unique distribution p (..., K) that a step of the chain (..., K, K) leaves unchanged: p = p P.

    p (I - P + 1) = (1 ... 1), where 1 is the matrix of ones: p (I - P) is 0 and the entries of p sum to 1.

    Raises:
        ValueError: the chain splits into unconnected parts, each with its own stationary distribution.
    """
    transition = chain_of(transition)
    matrix = np.eye(transition.shape[-1]) - transition + 1
    require((size := np.linalg.cond(matrix)) < 1e12, "condition of I - P + 1", size, "below 1e12: connect the parts")
    return np.linalg.solve(matrix.mT, np.ones((*matrix.shape[:-1], 1)))[..., 0]


def metropolis(log_density, start, *, steps, scale, seed):
    """Draws from an unnormalized density: normal steps, each accepted with probability min(1, new / old).

    Metropolis et al. 1953.  Successive draws are correlated, and the first ones depend on the start: discard them.

    Args:
        log_density: chains (C,) or (C, D) -> (C,).
        start: (C,) or (C, D), where each chain begins.
        scale: standard deviation of the steps; best where a quarter to a half are accepted.

    Returns:
        (draws (steps, C) or (steps, C, D), fraction of accepted steps (C,)).
    """
    rng, state, draws = np.random.default_rng(seed), np.asarray(start, "float64"), []
    density, accepted_count = log_density(state), 0
    require(np.isfinite(density), "log density at the start", density, "finite")
    for _ in range(steps):
        proposal = state + scale * standard_normal(rng, state.shape)
        proposed = log_density(proposal)
        accepted = np.log1p(-rng.random(density.shape)) < proposed - density
        state = np.where(accepted.reshape(accepted.shape + (1,) * (state.ndim - accepted.ndim)), proposal, state)
        density = np.where(accepted, proposed, density)
        accepted_count = accepted_count + accepted
        draws.append(state)
    return np.stack(draws), accepted_count / steps


# --- input validation ------------------------------------------------------------------------------------------------


def chain_of(transition):
    """Transition matrices (..., K, K) as float64; ValueError if they are not square or a row does not sum to 1."""
    transition = np.asarray(transition, "float64")
    if transition.ndim < 2 or transition.shape[-1] != transition.shape[-2]:
        raise ValueError(f"transition must be square; got shape {transition.shape}: give (..., K, K).")
    require_simplex("transition", transition)
    return transition


def mean_and_spread(x, *, freedom=1):
    """Mean and standard deviation of (..., N), divided by N - freedom; scaled, so that no sum or square overflows."""
    scaled, exponents = normalized(x, -1)
    return tuple(np.ldexp(value, exponents[..., 0]) for value in (scaled.mean(-1), scaled.std(-1, ddof=freedom)))


def sample_of(observations, *, least=1, counts=False, binary=False, varied=False):
    """Observations (..., N) as float64; ValueError if they are too few, not finite, or not of the kind asked for."""
    x = np.asarray(observations, "float64")
    size = x.shape[-1] if x.ndim else -1
    require(size >= least, "number of observations along the last axis", max(size, 0), f"{least} or more")
    require(np.isfinite(x), "observation", x, "finite")
    require((x >= 0) & (x % 1 == 0) | (not counts), "observation", x, "a whole number, 0 or more")
    require((x == 0) | (x == 1) | (not binary), "observation", x, "0 or 1")
    require((x != x[..., :1]).any(-1) | (not varied), "range of the observations", np.zeros(x.shape[:-1]), "above 0")
    return x
