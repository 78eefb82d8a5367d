"""Inference: posteriors against brute force, tests and intervals against scipy and by their coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from tests.magnitudes import magnitudes, numbers, quick, seeds
from tfdl.foundations import inference
from tfdl.foundations.inference import Dirichlet, StudentT
from tfdl.foundations.probability import Bernoulli, Beta, Categorical, Gamma, MultivariateNormal, Normal, Poisson

X = np.array([[1.2, -0.4, 3.1, 0.7, 2.2, 1.9, -1.0], [5.0, 5.5, 4.1, 6.2, 5.3, 4.8, 5.9]])  # two problems, N = 7

# --- Bayes -----------------------------------------------------------------------------------------------------------


def test_positive_test_for_a_rare_disease_is_mostly_a_false_alarm():
    posterior = inference.bayes([0.01, 0.99], [0.90, 0.09])  # Gigerenzer 2002, the mammogram
    np.testing.assert_allclose(posterior, [0.009 / 0.0981, 0.0891 / 0.0981])


def test_bayes_twice_is_bayes_once_with_both_likelihoods():
    prior, first, second = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]), np.array([0.3, 0.9, 0.1]), np.array([2, 1, 5])
    twice = inference.bayes(inference.bayes(prior, first), second)
    np.testing.assert_allclose(twice, inference.bayes(prior, first * second))


GRIDS = {
    "coin": (Beta(2.0, 3.0), [1, 1, 0, 1, 1, 0, 1], Bernoulli, inference.beta_bernoulli, (0, 1)),
    "arrivals": (Gamma(2.0, 0.5), [3, 0, 4, 2, 2], Poisson, inference.gamma_poisson, (0, 30)),
    "mean": (Normal(1.0, 2.0), [2.5, 3.5, 1.0, 4.0], lambda m: Normal(m, 1.5),
             lambda prior, x: inference.normal_normal(prior, x, standard_deviation=1.5), (-15, 15)),
}  # fmt: skip


@pytest.mark.parametrize("prior, x, likelihood, update, ends", GRIDS.values(), ids=GRIDS)
def test_posterior_equals_prior_times_likelihood_normalized_on_a_grid(prior, x, likelihood, update, ends):
    cells = np.linspace(*ends, 200_001)
    grid = (cells[1:] + cells[:-1]) / 2
    log_joint = prior.log_density(grid) + sum(likelihood(grid).log_density(value) for value in x)
    joint = np.exp(log_joint - log_joint.max())
    density = joint / (joint.sum() * (grid[1] - grid[0]))
    np.testing.assert_allclose(np.exp(update(prior, x).log_density(grid)), density, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("prior, x, likelihood, update, ends", GRIDS.values(), ids=GRIDS)
def test_posterior_after_nothing_is_the_prior(prior, x, likelihood, update, ends):
    np.testing.assert_allclose((update(prior, []).mean, update(prior, []).variance), (prior.mean, prior.variance))


@pytest.mark.parametrize("prior, x, likelihood, update, ends", GRIDS.values(), ids=GRIDS)
def test_posterior_of_all_is_the_posterior_of_the_rest_after_the_first(prior, x, likelihood, update, ends):
    at_once, in_turn = update(prior, x), update(update(prior, x[:3]), x[3:])
    np.testing.assert_allclose((in_turn.mean, in_turn.variance), (at_once.mean, at_once.variance), rtol=1e-12)


def test_dirichlet_of_two_is_beta_and_posterior_adds_counts_in_batches():
    x = np.linspace(0.1, 0.9, 5)
    pairs = np.stack([x, 1 - x], -1)
    np.testing.assert_allclose(Dirichlet([2.0, 5.0]).log_density(pairs), Beta(2.0, 5.0).log_density(x))
    posterior = inference.dirichlet_categorical(Dirichlet([1.0, 2.0, 3.0]), [[0, 2, 2, 2], [1, 1, 0, 2]])
    np.testing.assert_array_equal(posterior.concentration, [[2, 2, 6], [2, 4, 4]])


def test_dirichlet_equals_scipy_and_its_samples():
    ours, theirs = Dirichlet([0.5, 2.0, 4.0]), stats.dirichlet([0.5, 2.0, 4.0])
    np.testing.assert_allclose(ours.log_density([0.2, 0.5, 0.3]), theirs.logpdf([0.2, 0.5, 0.3]))
    np.testing.assert_allclose((ours.mean, ours.variance), (theirs.mean(), theirs.var()))
    draws = ours.sample((20_000,), seed=1)
    np.testing.assert_allclose(draws.sum(-1), 1)
    assert np.all(np.abs(draws.mean(0) - ours.mean) < 4 * np.sqrt(ours.variance / 20_000))


def test_batches_of_tosses_are_separate_coins():
    tosses = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]])
    posterior = inference.beta_bernoulli(Beta(1, 1), tosses)
    np.testing.assert_array_equal(posterior.alpha, [4, 1, 3])
    np.testing.assert_allclose(posterior.interval(0.9)[0][2], stats.beta(3, 3).ppf(0.05), rtol=1e-12)


# --- maximum likelihood ----------------------------------------------------------------------------------------------

POSITIVE = np.array([[0.3, 1.2, 2.5, 0.9, 1.7], [20.0, 21.5, 19.0, 22.0, 20.5]])


def test_closed_forms_are_the_textbooks():
    fitted = inference.fit_normal(X)
    np.testing.assert_allclose(fitted.mean[1], X[1].mean())
    np.testing.assert_allclose(fitted.standard_deviation[1] ** 2, ((X[1] - X[1].mean()) ** 2).sum() / 7)
    assert inference.fit_bernoulli([1, 0, 0, 1, 1]).probability == 0.6
    assert inference.fit_poisson([3, 0, 6]).rate == 3


@pytest.mark.parametrize("prior", [None, Gamma(3.0, 2.0), Gamma(40.0, 0.1)], ids=["likelihood", "prior", "far prior"])
@pytest.mark.parametrize("row", [0, 1])
def test_gamma_fit_is_where_no_neighbor_is_more_probable(row, prior):
    x, fitted = POSITIVE[row], inference.fit_gamma(POSITIVE[row], shape_prior=prior)

    def height(shape, rate):
        return Gamma(shape, rate).log_density(x).sum() + (prior.log_density(shape) if prior else 0)

    best = height(fitted.shape, fitted.rate)
    for step in (1e-3, -1e-3):
        assert height(fitted.shape * (1 + step), fitted.rate * (1 + step)) < best
        assert height(fitted.shape, fitted.rate * (1 + step)) < best


def test_gamma_fit_equals_scipy_and_solves_a_batch():
    shape, _, scale = stats.gamma.fit(POSITIVE[0], floc=0)
    fitted = inference.fit_gamma(POSITIVE)
    np.testing.assert_allclose([fitted.shape[0], 1 / fitted.rate[0]], [shape, scale], rtol=1e-6)
    slope = np.log(fitted.shape) - special.digamma(fitted.shape) - np.log(POSITIVE.mean(-1)) + np.log(POSITIVE).mean(-1)
    np.testing.assert_allclose(slope, 0, atol=1e-12)


def test_log_minus_digamma_and_its_derivative_equal_scipy_and_keep_their_digits():
    x = np.logspace(-3, 5, 81)
    value, derivative = inference.log_minus_digamma(x)
    np.testing.assert_allclose(value, np.log(x) - special.digamma(x), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(derivative, 1 / x - special.polygamma(1, x), rtol=1e-9)
    value, derivative = inference.log_minus_digamma(1e15)  # to first order 1 / (2 x) and -1 / (2 x^2)
    np.testing.assert_allclose([value, derivative], [0.5e-15, -0.5e-30], rtol=1e-12)


def test_gamma_fit_of_nearly_equal_observations():
    x = 1 + 1e-7 * Normal().sample((9,), seed=5)
    fitted = inference.fit_gamma(1e200 * x)
    np.testing.assert_allclose(fitted.shape, 1 / x.var(), rtol=1e-6)  # the mean's square over the variance
    np.testing.assert_allclose(fitted.mean, 1e200 * x.mean(), rtol=1e-14)


def test_poisson_fit_of_silence_has_rate_zero():
    assert inference.fit_poisson([0, 0, 0]).rate == 0


def test_likeliest_gamma_comes_near_the_truth_as_data_grow():
    draws = Gamma(3.0, 2.0).sample((20_000,), seed=4)
    fitted = inference.fit_gamma(draws)
    np.testing.assert_allclose((fitted.shape, fitted.rate), (3, 2), rtol=0.04)


# --- confidence intervals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [1.0, 2.5, 6.0, 300.0])
def test_student_t_equals_scipy(degrees):
    x, p = np.array([-50.0, -2.0, -1e-3, 0.0, 0.4, 3.0]), np.array([1e-6, 0.2, 0.5, 0.975])
    np.testing.assert_allclose(StudentT(degrees).log_density(x), stats.t(degrees).logpdf(x), rtol=1e-10)
    np.testing.assert_allclose(StudentT(degrees).cdf(x), stats.t(degrees).cdf(x), rtol=1e-9)
    np.testing.assert_allclose(StudentT(degrees).quantile(p), stats.t(degrees).ppf(p), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(StudentT(degrees).mean + 0.0, stats.t(degrees).mean() if degrees > 1 else np.nan)
    if degrees > 2:
        np.testing.assert_allclose(StudentT(degrees).variance, stats.t(degrees).var())
    assert stats.kstest(StudentT(degrees).sample((5000,), seed=2), stats.t(degrees).cdf).pvalue > 0.001


def test_mean_interval_equals_scipy():
    found = inference.mean_interval(X, level=0.9)
    truth = stats.t.interval(0.9, 6, loc=X.mean(-1), scale=stats.sem(X, axis=-1))
    np.testing.assert_allclose(found, truth, rtol=1e-9)


@pytest.mark.parametrize("successes, trials", [(0, 10), (3, 17), (17, 17), (512, 1000)])
def test_proportion_interval_equals_scipy(successes, trials):
    truth = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(inference.proportion_interval(successes, trials), truth, rtol=1e-9, atol=1e-12)


def covered(interval, truth, level):
    """Whether the share of intervals that hold the truth is within four standard errors of the level."""
    low, high = interval
    share = np.mean((low <= truth) & (truth <= high))
    return abs(share - level) < 4 * np.sqrt(level * (1 - level) / low.size)


def test_mean_interval_covers_as_often_as_it_says():
    draws = Normal(3.0, 2.0).sample((20_000, 5), seed=5)
    assert covered(inference.mean_interval(draws, level=0.8), 3.0, 0.8)
    naive = 1.2816 * draws.std(-1, ddof=1) / np.sqrt(5)  # the normal's quantile in place of Student's: too short
    assert not covered((draws.mean(-1) - naive, draws.mean(-1) + naive), 3.0, 0.8)


def test_credible_interval_covers_when_truths_come_from_the_prior():
    truths = Beta(2.0, 2.0).sample((4000,), seed=6)
    tosses = Bernoulli(truths).sample((12,), seed=7).T
    assert covered(inference.beta_bernoulli(Beta(2.0, 2.0), tosses).interval(0.9), truths, 0.9)


def test_proportion_interval_covers_nearly_as_often_as_it_says():
    heads = Bernoulli(0.1).sample((20_000, 40), seed=8).sum(-1)
    low, high = inference.proportion_interval(heads, 40)
    assert 0.93 < np.mean((low <= 0.1) & (high >= 0.1)) < 0.97


def test_bootstrap_interval_agrees_with_theory_and_takes_any_statistic():
    draws = Normal(1.0, 2.0).sample((3, 400), seed=9)
    low, high = inference.bootstrap_interval(draws, np.mean, seed=0)
    np.testing.assert_allclose(high - low, np.subtract(*inference.mean_interval(draws)[::-1]), rtol=0.08)
    low, high = inference.bootstrap_interval(draws, np.median, seed=0)
    assert np.all((low < np.median(draws, -1)) & (np.median(draws, -1) < high))
    truth = stats.bootstrap((draws[0],), np.median, method="percentile", n_resamples=4000, rng=1).confidence_interval
    np.testing.assert_allclose((low[0], high[0]), truth, atol=0.06)


# --- tests -----------------------------------------------------------------------------------------------------------


def test_t_test_equals_scipy():
    found, truth = inference.t_test(X, mean=1.0), stats.ttest_1samp(X, 1.0, axis=-1)
    np.testing.assert_allclose(found.statistic, truth.statistic, rtol=1e-12)
    np.testing.assert_allclose(found.p_value, truth.pvalue, rtol=1e-9)


def test_z_test_is_two_sided():
    found = inference.z_test([X[0], 2 - X[0]], mean=1.0, standard_deviation=2.0)
    z = (X[0].mean() - 1) / 2 * np.sqrt(7)
    np.testing.assert_allclose(found.statistic, [z, -z])
    np.testing.assert_allclose(found.p_value, 2 * stats.norm.sf(abs(z)), rtol=1e-10)


def test_chi_square_test_equals_scipy():
    observed, expected = np.array([[18, 22, 35, 25], [25, 25, 26, 24]]), np.array([25.0, 25.0, 30.0, 20.0])
    found, truth = inference.chi_square_test(observed, expected), stats.chisquare(observed, expected, axis=-1)
    np.testing.assert_allclose(found, truth, rtol=1e-10)


def test_permutation_test_equals_scipy_within_its_noise():
    x, y = X[0], X[0, :5] + 1.1
    found = inference.permutation_test(x, y, seed=1)
    truth = stats.permutation_test((x, y), lambda a, b: a.mean() - b.mean(), n_resamples=np.inf)  # all 792
    np.testing.assert_allclose(found.statistic, truth.statistic)
    assert abs(found.p_value - truth.pvalue) < 4 * np.sqrt(truth.pvalue * (1 - truth.pvalue) / 10_000)


@pytest.mark.parametrize("test", [
    lambda x: inference.t_test(x, mean=1.0),
    lambda x: inference.z_test(x, mean=1.0, standard_deviation=2.0),
])  # fmt: skip
def test_p_values_are_uniform_when_nothing_is_there(test):
    p_values = test(Normal(1.0, 2.0).sample((5000, 4), seed=10)).p_value
    assert stats.kstest(p_values, stats.uniform.cdf).pvalue > 0.001


# --- Monte Carlo -----------------------------------------------------------------------------------------------------


def test_estimate_of_pi_is_within_its_error():
    points = np.random.default_rng(0).random((100_000, 2))
    estimate = inference.monte_carlo(4.0 * ((points**2).sum(-1) < 1))
    np.testing.assert_allclose(estimate.standard_error, np.sqrt(np.pi * (4 - np.pi) / 100_000), rtol=0.02)
    assert abs(estimate.value - np.pi) < 3 * estimate.standard_error
    low, high = estimate.interval(0.95)
    np.testing.assert_allclose(high - low, 2 * 1.959964 * estimate.standard_error, rtol=1e-6)


def test_error_falls_like_the_root_of_the_number_of_draws():
    sizes, errors = np.array([10, 100, 1000, 10_000]), []
    for size in sizes:
        estimates = inference.monte_carlo(Gamma(2.0).sample((200, size), seed=size))
        errors.append(np.sqrt(np.mean((estimates.value - 2) ** 2)))
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.04


def test_running_estimates_are_the_estimates_of_the_first_few():
    values = 1e6 + Normal().sample((3, 30), seed=2)
    running = inference.running_monte_carlo(values)
    assert running.value.shape == (3, 29)
    for n in (2, 3, 17, 30):
        alone = inference.monte_carlo(values[:, :n])
        np.testing.assert_allclose(running.value[:, n - 2], alone.value, rtol=1e-14)
        np.testing.assert_allclose(running.standard_error[:, n - 2], alone.standard_error, rtol=1e-7)


def test_no_later_value_changes_an_earlier_error():
    values = Normal().sample((200,), seed=2)
    for outlier in (1e9, 1e300):
        found = inference.running_monte_carlo(np.append(values, outlier)).standard_error
        np.testing.assert_allclose(found[-2], inference.monte_carlo(values).standard_error, rtol=1e-12)


def test_importance_sampling_finds_a_tail_that_plain_draws_never_see():
    estimate = inference.importance_sampling(lambda x: x > 5, Normal(), Normal(5, 1), draws=50_000, seed=1)
    assert abs(estimate.value - stats.norm.sf(5)) < 4 * estimate.standard_error
    assert estimate.standard_error < 0.02 * stats.norm.sf(5)


def test_importance_sampling_of_vectors_and_of_batches():
    target, wide = MultivariateNormal([1.0, 2.0], np.eye(2)), MultivariateNormal([0.5, 1.5], 3 * np.eye(2))
    estimate = inference.importance_sampling(lambda x: x.prod(-1), target, wide, draws=20_000, seed=2)
    assert abs(estimate.value - 2) < 4 * estimate.standard_error
    batch = inference.importance_sampling(np.square, Normal([0.0, 1.0], 1), Normal([0.0, 1.0], 2), draws=9000, seed=3)
    assert np.all(np.abs(batch.value - [1, 2]) < 4 * batch.standard_error)


def test_means_of_skewed_draws_become_normal():
    far = [stats.kstest(inference.standardized_means(Gamma(1.0), size=n, repetitions=2500, seed=3), stats.norm.cdf)
           for n in (1, 10, 400)]  # fmt: skip
    assert far[0].statistic > 2 * far[1].statistic > 2 * far[2].statistic and far[2].pvalue > 0.001


# --- Markov chains ---------------------------------------------------------------------------------------------------

WEATHER = np.array([[0.9, 0.1, 0.0], [0.3, 0.4, 0.3], [0.2, 0.3, 0.5]])


def test_stationary_distribution_stays_and_is_the_leading_eigenvector():
    p = inference.stationary(WEATHER)
    np.testing.assert_allclose(p @ WEATHER, p, atol=1e-14)
    values, vectors = np.linalg.eig(WEATHER.T)
    leading = vectors[:, values.real.argmax()].real
    np.testing.assert_allclose(p, leading / leading.sum(), rtol=1e-12)


def test_chain_forgets_its_start_at_the_rate_of_the_second_eigenvalue():
    rows = inference.propagate(np.eye(3), WEATHER, steps=40)
    assert rows.shape == (41, 3, 3)
    np.testing.assert_allclose(rows[3, 1], np.linalg.matrix_power(WEATHER, 3)[1], rtol=1e-13)
    distance = np.abs(rows - inference.stationary(WEATHER)).sum(-1).max(-1)
    second = np.sort(np.abs(np.linalg.eigvals(WEATHER)))[-2]
    np.testing.assert_allclose(distance[31:41] / distance[30:40], second, rtol=1e-3)


def test_stationary_solves_a_batch_of_chains_even_of_period_two():
    swap = np.array([[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]])
    found = inference.stationary(np.stack([WEATHER, swap]))
    np.testing.assert_allclose(found[1], [0.25, 0.5, 0.25])
    np.testing.assert_allclose(found[0], inference.stationary(WEATHER))


def test_metropolis_draws_follow_the_density():
    log_density = Gamma(3.0, 1.0).log_density
    draws, taken = inference.metropolis(log_density, np.full(4000, 3.0), steps=60, scale=2.5, seed=1)
    assert draws.shape == (60, 4000) and 0.2 < taken.mean() < 0.8
    assert stats.kstest(draws[-1], stats.gamma(3).cdf).pvalue > 0.001
    assert stats.kstest(draws[0], stats.gamma(3).cdf).pvalue < 1e-6  # still near the start


def test_metropolis_draws_vectors_with_their_correlation():
    target = MultivariateNormal([1.0, -1.0], [[1.0, 0.8], [0.8, 1.0]])
    draws, _ = inference.metropolis(target.log_density, np.zeros((3000, 2)), steps=80, scale=1.2, seed=2)
    assert draws.shape == (80, 3000, 2)
    np.testing.assert_allclose(draws[-1].mean(0), [1, -1], atol=0.08)
    np.testing.assert_allclose(np.cov(draws[-1].T), target.covariance, atol=0.12)


# --- bad input -------------------------------------------------------------------------------------------------------

# --- magnitudes ------------------------------------------------------------------------------------------------------


@quick
@given(seeds, st.integers(3, 9), st.integers(-300, 300))
def test_no_result_depends_on_the_unit_of_measurement(seed, size, exponent):
    x, scale = Normal(0.3).sample((size,), seed=seed), 10.0**exponent
    for test in (lambda x, unit: inference.t_test(x, mean=0.1 * unit),
                 lambda x, unit: inference.z_test(x, mean=0.1 * unit, standard_deviation=unit)):  # fmt: skip
        np.testing.assert_allclose(test(scale * x, scale), test(x, 1.0), rtol=1e-9)
    np.testing.assert_allclose(inference.t_test(x, mean=0.1), stats.ttest_1samp(x, 0.1), rtol=1e-9)
    np.testing.assert_allclose(np.array(inference.monte_carlo(scale * x)) / scale, inference.monte_carlo(x))
    np.testing.assert_allclose(inference.fit_normal(scale * x).standard_deviation / scale, x.std())
    running = [np.array(inference.running_monte_carlo(unit * x)) / unit for unit in (1.0, scale)]
    np.testing.assert_allclose(*running, rtol=1e-9, atol=1e-12)
    fitted, scaled = inference.fit_gamma(np.exp(x)), inference.fit_gamma(scale * np.exp(x))
    np.testing.assert_allclose([scaled.shape, scaled.rate * scale], [fitted.shape, fitted.rate], rtol=1e-9)
    prior = Normal(scale, 2 * scale)
    posterior = inference.normal_normal(prior, scale * x, standard_deviation=scale)
    np.testing.assert_allclose([posterior.mean / scale, posterior.standard_deviation / scale],
                               [(0.25 + x.sum()) / (0.25 + size), (0.25 + size) ** -0.5])  # fmt: skip
    first, second = scale * x[:2], scale * x[2:]
    p_value = inference.permutation_test(x[:2], x[2:], resamples=99, seed=1).p_value
    assert inference.permutation_test(first, second, resamples=99, seed=1).p_value == p_value


@quick
@given(magnitudes(-2, 12), numbers(-150, 150), st.floats(1e-6, 1 - 1e-6))
def test_student_is_scipys_at_every_magnitude(degrees, x, p):
    ours, scipys = StudentT(degrees), stats.t(degrees)
    values = np.array([x, scipys.ppf(p), 0.0])
    values = values[np.isfinite(values)]
    np.testing.assert_allclose(
        ours.cdf(-np.abs(values)), special.stdtr(degrees, -np.abs(values)), rtol=1e-6, atol=1e-290
    )
    np.testing.assert_allclose(ours.cdf(values) + ours.cdf(-values), 1, rtol=1e-15)
    sharp = np.abs(values) < 1e100  # the squares of larger ones leave scipy's range
    np.testing.assert_allclose(ours.log_density(values[sharp]), scipys.logpdf(values[sharp]), rtol=1e-5, atol=1e-4)


def test_student_of_few_and_of_many_degrees_keeps_its_tails():
    np.testing.assert_allclose(StudentT(0.5).cdf([1e8, -1e8]), [0.999968, 3.20701e-5], rtol=1e-6)
    np.testing.assert_allclose(StudentT(0.1).quantile([0.99, 0.01]), [1.6044257e16, -1.6044257e16], rtol=1e-7)
    np.testing.assert_allclose(
        np.array(inference.mean_interval([1e200, 3e200])) / 1e200, [-10.7062, 14.7062], rtol=1e-6
    )
    ratio = StudentT(0.1).cdf(-1e200) / StudentT(0.1).cdf(-1e100)  # a power law, 1e200 squared or not
    np.testing.assert_allclose(ratio, 1e-10, rtol=1e-12)
    assert StudentT(3.0).cdf(np.inf) == 1 and StudentT(3.0).cdf(-np.inf) == 0 and np.isnan(StudentT(3.0).cdf(np.nan))
    x = np.array([-9.0, -1.0, 0.0, 2.0])
    np.testing.assert_allclose(StudentT(1e14).log_density(x), stats.norm.logpdf(x), rtol=1e-10)
    np.testing.assert_allclose(StudentT(1e14).cdf(x), stats.norm.cdf(x), rtol=1e-10)


def test_permutations_tie_whatever_is_added_to_both_samples():
    x, y = np.arange(6) / 10, np.array([3, 4, 5, 5, 6, 9]) / 10
    plain = inference.permutation_test(x, y, resamples=2000, seed=3).p_value
    for offset in (1000.0, -1e6, 1e9):
        assert inference.permutation_test(offset + x, offset + y, resamples=2000, seed=3).p_value == plain


def test_bayes_of_likelihoods_whose_products_underflow():
    prior, likelihood = np.array([1e-200, 1 - 1e-200]), np.array([1e-150, 3e-320])
    np.testing.assert_allclose(inference.bayes(prior, likelihood), [1 / 3e30, 1], rtol=1e-3)
    np.testing.assert_allclose(inference.bayes(prior, [1e-200, 1e-310]), [1e-90, 1], rtol=1e-10)
    np.testing.assert_allclose(inference.bayes([0.5, 0.5], [1e-300, 3e-300]), [0.25, 0.75])


def test_dirichlet_has_no_density_outside_its_simplex():
    prior = Dirichlet([2.0, 2.0])
    assert prior.log_density([0.9, 0.9]) == prior.log_density([1.5, -0.5]) == -np.inf
    assert np.isnan(prior.log_density([np.nan, 0.5]))
    np.testing.assert_allclose(prior.log_density([0.25, 0.75]), stats.dirichlet([2, 2]).logpdf([0.25, 0.75]))


BAD = {
    "prior": (lambda: inference.bayes([0.5, 0.6], [1, 1]), "sum of prior along axis -1 must be 1; got 1.1"),
    "likelihood": (lambda: inference.bayes([0.5, 0.5], [1, -1]), "likelihood must be finite and 0 or more; got -1"),
    "impossible": (lambda: inference.bayes([1.0, 0.0], [0, 1]), "probability of the data must be above 0"),
    "toss": (lambda: inference.beta_bernoulli(Beta(1, 1), [0, 2]), "observation must be 0 or 1; got 2"),
    "count": (lambda: inference.gamma_poisson(Gamma(1), [0.5]), "whole number, 0 or more; got 0.5"),
    "label": (lambda: inference.dirichlet_categorical(Dirichlet([1, 1]), [2]), "label must be below 2"),
    "one": (
        lambda: inference.mean_interval([1.0]),
        "number of observations along the last axis must be 2 or more; got 1",
    ),
    "scalar": (
        lambda: inference.fit_normal(1.0),
        "number of observations along the last axis must be 2 or more; got 0",
    ),
    "nan": (lambda: inference.fit_poisson([1, np.nan]), "observation must be finite; got nan"),
    "same": (lambda: inference.t_test([2.0, 2.0], mean=0), "range of the observations must be above 0; got 0"),
    "gamma": (lambda: inference.fit_gamma([1.0, 0.0]), "observation must be above 0; got 0"),
    "gamma same": (lambda: inference.fit_gamma([3.0, 3.0]), "the observations must differ"),
    "gamma prior": (lambda: inference.fit_gamma([1.0, 2.0], shape_prior=Gamma(0.5)), "1 or more; got 0.5"),
    "successes": (lambda: inference.proportion_interval(5, 4), "number of successes must be 0 ... trials; got 5"),
    "trials": (lambda: inference.proportion_interval(0, 0), "number of trials must be 1 or more"),
    "level": (lambda: inference.bootstrap_interval([1, 2], np.mean, level=95, seed=0), "got 95"),
    "expected": (lambda: inference.chi_square_test([1, 2], [3, 0]), "expected count must be finite and above 0"),
    "infinite likelihood": (lambda: inference.bayes([0.5, 0.5], [np.inf, 1]), "likelihood must be finite.*got inf"),
    "one class": (lambda: inference.chi_square_test([5], [5]), "number of classes.*must be 2 or more; got 1"),
    "totals": (lambda: inference.chi_square_test([1, 2], [3, 4]), "sums of observed and expected"),
    "batch": (lambda: inference.permutation_test(X, X[0], seed=0), "number of axes must be 1 in both samples; got 2"),
    "parts": (lambda: inference.stationary(np.eye(2)), "connect the parts"),
    "rows": (lambda: inference.stationary([[0.5, 0.4], [0, 1]]), "sum of transition along axis -1 must be 1; got 0.9"),
    "square": (lambda: inference.stationary([[0.5, 0.5]]), r"transition must be square; got shape \(1, 2\)"),
    "start": (lambda: inference.metropolis(Gamma(1).log_density, np.array([-1.0]), steps=1, scale=1, seed=0), "-inf"),
    "categorical": (lambda: Categorical([0.5, 0.5 + 1e-3]), "must be 1"),
}


@pytest.mark.parametrize("call, sentence", BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
