"""Distributions: against scipy.stats, by their own identities, and by their samples."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special, stats

from tests.magnitudes import magnitudes, numbers, quick
from tfdl.foundations.probability import (
    Bernoulli,
    Beta,
    Categorical,
    Gamma,
    MultivariateNormal,
    Normal,
    Poisson,
    standard_normal,
)

REALS = {
    "normal": (Normal(-1.5, 2.5), stats.norm(-1.5, 2.5)),
    "gamma": (Gamma(2.5, 0.5), stats.gamma(2.5, scale=2)),
    "gamma with a pole": (Gamma(0.3, 4.0), stats.gamma(0.3, scale=0.25)),
    "beta": (Beta(2.0, 5.0), stats.beta(2, 5)),
    "beta with two poles": (Beta(0.4, 0.7), stats.beta(0.4, 0.7)),
    "steep beta": (Beta(900.0, 30.0), stats.beta(900, 30)),
}
INTEGERS = {
    "bernoulli": (Bernoulli(0.3), stats.bernoulli(0.3)),
    "poisson": (Poisson(3.7), stats.poisson(3.7)),
    "rare poisson": (Poisson(0.02), stats.poisson(0.02)),
    "busy poisson": (Poisson(800.0), stats.poisson(800)),
}
P = np.array([1e-9, 1e-3, 0.025, 0.3, 0.5, 0.8, 0.975, 0.999999])
DRAWS = 20_000


# --- densities, areas, quantiles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ours, scipys", REALS.values(), ids=REALS)
def test_density_and_area_and_quantile_equal_scipy(ours, scipys):
    x = np.concatenate([scipys.ppf(P), [-2.0, -0.1, 0.0, 0.5, 1.0, 1.5]])
    np.testing.assert_allclose(ours.log_density(x), scipys.logpdf(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.cdf(x), scipys.cdf(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.quantile(P), scipys.ppf(P), rtol=1e-8)
    np.testing.assert_allclose(ours.interval(0.9), scipys.interval(0.9), rtol=1e-9)


@pytest.mark.parametrize("ours, scipys", INTEGERS.values(), ids=INTEGERS)
def test_mass_equals_scipy_and_is_nothing_between_integers(ours, scipys):
    k = np.concatenate([np.arange(-1, 6), [0.5, 770, 800, 830]])
    np.testing.assert_allclose(ours.log_density(k), scipys.logpmf(k), rtol=1e-9, atol=1e-9)
    assert np.isneginf(ours.log_density(0.5))


@pytest.mark.parametrize("rate", [0.02, 3.7, 800.0])
def test_poisson_area_is_the_sum_of_its_masses(rate):
    k = np.arange(900.0)
    np.testing.assert_allclose(Poisson(rate).cdf(k), np.exp(Poisson(rate).log_density(k)).cumsum(), atol=1e-10)
    assert Poisson(rate).cdf(-0.5) == 0 and Poisson(rate).cdf(2.9) == Poisson(rate).cdf(2)


def test_huge_counts_have_a_probability_and_draws():
    """At a rate of 1e13 a series needs ten million terms, and the logarithms of k! and rate^k cancel to 0.03."""
    deviations = np.array([-20.0, -1.0, 0.0, 3.0])
    rate = 1e13
    k = np.floor(rate + deviations * np.sqrt(rate))
    z = (k + 0.5 - rate) / np.sqrt(rate)
    skewed = stats.norm.cdf(z) - stats.norm.pdf(z) * (z**2 - 1) / (6 * np.sqrt(rate))  # Edgeworth's first term
    np.testing.assert_allclose(Poisson(rate).cdf(k), skewed, rtol=1e-3)
    np.testing.assert_allclose(Poisson(rate).cdf(rate), 0.5 + 2 / 3 / np.sqrt(2 * np.pi * rate), rtol=1e-14)
    np.testing.assert_allclose(Poisson(rate).log_density(rate), -np.log(2 * np.pi * rate) / 2, rtol=1e-14)
    np.testing.assert_allclose(Poisson(rate).quantile(0.5), rate, rtol=1e-13)
    draws = Poisson(rate).sample((DRAWS,), seed=3)
    within_four_standard_errors((draws - rate) / np.sqrt(rate), 0, 1)
    with pytest.raises(ValueError, match="rate must be below 1e18 for draws; got 1e"):
        Poisson(1e18).sample(seed=0)


def test_huge_parameters_of_a_beta_and_a_gamma():
    np.testing.assert_allclose(Beta(1e13, 1e13).cdf(0.5), 0.5, rtol=1e-12)
    np.testing.assert_allclose(Beta(1e13, 1e13).log_density(0.5), np.log(2e13 / np.pi) / 2 + np.log(2) / 2, rtol=1e-12)
    x = np.array([0.1, 1.0, 9.0])  # of parameters 2 and 1e13 the second acts as a rate
    np.testing.assert_allclose(Beta(2.0, 1e13).cdf(x / 1e13), Gamma(2.0).cdf(x), rtol=1e-11)
    np.testing.assert_allclose(Gamma(1e13).cdf(1e13), 0.5 + 1 / 3 / np.sqrt(2 * np.pi * 1e13), rtol=1e-14)
    assert Gamma(1e300).cdf(2e300) == 1 and Gamma(1e300).cdf(0.5e300) == 0


@quick
@given(magnitudes(-2, 5), magnitudes(-2, 5), numbers(), st.floats(1e-6, 1 - 1e-6))
@example(1e5, 1e5, 0.5, 0.5)
def test_distributions_are_scipys_at_every_magnitude(a, b, x, p):
    pairs = [(Gamma(a, b), stats.gamma(a, scale=1 / b)), (Beta(a, b), stats.beta(a, b)), (Normal(), stats.norm())]
    pairs += [(Normal(-b, a), stats.norm(-b, a)), (Poisson(a), stats.poisson(a)), (Bernoulli(p), stats.bernoulli(p))]
    for ours, scipys in pairs:
        values = np.array([x, p, abs(x), scipys.ppf(p), np.inf, -np.inf])
        with np.errstate(all="ignore"):
            areas, densities = scipys.cdf(values), getattr(scipys, "logpmf", getattr(scipys, "logpdf", None))(values)
        densities[-2:] = -np.inf  # scipy has NaN for some
        np.testing.assert_allclose(ours.cdf(values), areas, rtol=1e-8, atol=1e-300)
        sharp = np.abs(densities) < 1e9  # beyond, scipy's rounding is above 1e-7
        np.testing.assert_allclose(ours.log_density(values)[sharp], densities[sharp], rtol=1e-8, atol=1e-6)
        assert np.isnan(ours.cdf(np.nan)) and np.isnan(ours.log_density(np.nan))
        if scipys.ppf(p) > 1e-290 or isinstance(ours, (Normal, Poisson)):
            np.testing.assert_allclose(ours.quantile(p), scipys.ppf(p), rtol=1e-7, atol=1e-14)


def test_bisection_finds_quantiles_of_every_magnitude():
    np.testing.assert_allclose(Gamma(0.01).quantile(1e-3), special.gammaincinv(0.01, 1e-3), rtol=1e-10)
    np.testing.assert_allclose(Gamma(1.0, 1e-300).quantile(0.5), np.log(2) * 1e300, rtol=1e-14)
    np.testing.assert_allclose(Normal(0, 1e-300).quantile([0.1, 0.9]), np.array([-1, 1]) * 1.2815515655446004e-300)
    assert Bernoulli(0.3).quantile([0.5, 0.8]).tolist() == [0, 1]
    assert Poisson(3.0).interval() == stats.poisson(3).interval(0.95)


def test_levels_of_intervals_broadcast():
    low, high = Normal().interval([0.5, 0.9])
    np.testing.assert_allclose([low, high], np.transpose([Normal().interval(0.5), Normal().interval(0.9)]))


def test_normal_keeps_its_far_tail():
    np.testing.assert_allclose(Normal().cdf(-37.0), stats.norm.cdf(-37.0), rtol=1e-10)
    np.testing.assert_array_equal(Normal().cdf([-np.inf, np.inf]), [0, 1])


@pytest.mark.parametrize("ours, scipys", (REALS | INTEGERS).values(), ids=REALS | INTEGERS)
def test_moments_equal_scipy(ours, scipys):
    np.testing.assert_allclose((ours.mean, ours.variance), scipys.stats("mv"), rtol=1e-12)


@pytest.mark.parametrize("ours", [Normal(2.0, 3.0), Gamma(3.5, 2.0), Beta(2.0, 5.0)], ids=lambda d: type(d).__name__)
def test_density_peaks_at_the_mode(ours):
    x = np.linspace(-4, 8, 120_001)
    np.testing.assert_allclose(ours.mode, x[ours.log_density(x).argmax()], atol=2e-4)


def test_beta_without_a_peak_has_no_mode():
    assert np.isnan(Beta(1.0, 3.0).mode)


def test_multivariate_density_equals_scipy_in_batches():
    rng = np.random.default_rng(3)
    root, mean, x = rng.normal(size=(2, 3, 3)), rng.normal(size=(4, 1, 3)), rng.normal(size=(5, 1, 1, 3))
    covariance = root @ root.mT + 0.1 * np.eye(3)
    found = MultivariateNormal(mean, covariance).log_density(x)
    assert found.shape == (5, 4, 2)
    truth = stats.multivariate_normal(mean[3, 0], covariance[1]).logpdf(x[2, 0, 0])
    np.testing.assert_allclose(found[2, 3, 1], truth, rtol=1e-10)


def test_multivariate_in_one_dimension_is_normal():
    x = np.linspace(-3, 3, 7)
    found = MultivariateNormal([0.5], [[4.0]]).log_density(x[:, None])
    np.testing.assert_allclose(found, Normal(0.5, 2.0).log_density(x), rtol=1e-13)


def test_categorical_mass_is_the_entry_of_the_label():
    two = Categorical([[0.2, 0.0, 0.8], [0.5, 0.25, 0.25]])
    np.testing.assert_allclose(np.exp(two.log_density([[2, 0], [1, 1]])), [[0.8, 0.5], [0.0, 0.25]])
    assert np.isneginf(two.log_density(3)).all() and np.isnan(two.log_density(np.nan)).all()


# --- samples ---------------------------------------------------------------------------------------------------------


def within_four_standard_errors(draws, mean, variance):
    """Mean and variance of draws (N, ...) where they should be."""
    error = np.sqrt(variance / len(draws))
    squares = (draws - mean) ** 2
    assert np.all(np.abs(draws.mean(0) - mean) <= 4 * error)
    assert np.all(np.abs(squares.mean(0) - variance) <= 4 * squares.std(0) / np.sqrt(len(draws)))


@pytest.mark.parametrize("ours, scipys", REALS.values(), ids=REALS)
def test_samples_have_the_moments_and_the_distribution(ours, scipys):
    draws = ours.sample((DRAWS,), seed=11)
    within_four_standard_errors(draws, ours.mean, ours.variance)
    assert stats.kstest(draws, scipys.cdf).pvalue > 0.001


@pytest.mark.parametrize("ours, scipys", INTEGERS.values(), ids=INTEGERS)
def test_samples_of_integers_have_the_moments_and_the_masses(ours, scipys):
    draws = ours.sample((2000,) if ours.mean > 100 else (DRAWS,), seed=12)
    within_four_standard_errors(draws, ours.mean, ours.variance)
    for k in np.unique(draws)[:40]:
        mass = scipys.pmf(k)
        assert abs((draws == k).mean() - mass) < 4.5 * np.sqrt(mass / len(draws))


def test_box_and_muller_draws_are_normal():
    assert stats.kstest(standard_normal(np.random.default_rng(5), (DRAWS,)), stats.norm.cdf).pvalue > 0.001


def test_rejection_makes_the_gamma_exact():
    draws = Gamma(1.0).sample((300_000,), seed=16)  # shape 1 rejects the most, 5 in 100
    assert stats.kstest(draws, stats.expon.cdf).pvalue > 0.001


def test_samples_of_vectors_have_the_covariance():
    covariance = np.array([[2.0, -1.2, 0.3], [-1.2, 1.0, 0.1], [0.3, 0.1, 0.5]])
    draws = MultivariateNormal([1.0, 2.0, 3.0], covariance).sample((DRAWS,), seed=13)
    within_four_standard_errors(draws, np.array([1.0, 2.0, 3.0]), np.diag(covariance))
    errors = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / DRAWS)
    assert np.all(np.abs(np.cov(draws.T) - covariance) < 4 * errors)


def test_samples_of_labels_have_the_probabilities():
    two = Categorical([[0.2, 0.0, 0.8], [0.5, 0.25, 0.25]])
    draws = two.sample((DRAWS,), seed=14)
    assert draws.shape == (DRAWS, 2)
    within_four_standard_errors((draws[..., None] == np.arange(3)).astype(float), two.mean, two.variance)
    assert not (draws[:, 0] == 1).any()


def test_impossible_label_is_never_drawn_although_the_others_sum_to_less_than_one():
    assert Categorical([0.999995, 0.0]).sample((1_000_000,), seed=0).max() == 0


def test_tiny_parameters_still_give_proper_draws():
    draws = Beta(1e-3, 1e-3).sample((DRAWS,), seed=15)
    assert np.isfinite(draws).all()
    within_four_standard_errors(draws, 0.5, Beta(1e-3, 1e-3).variance)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_draws_near_a_pole_are_small_but_never_zero(alpha):
    draws = Beta(alpha, 5.0).sample((DRAWS,), seed=17)
    assert draws.min() > 0
    for x in (1e-200, 1e-100, 1e-10):
        area = stats.beta(alpha, 5).cdf(x)
        assert abs((draws < x).mean() - area) < 4.5 * np.sqrt(area / DRAWS)


def test_no_arrivals_at_rate_zero():
    silence = Poisson(0.0)
    assert silence.sample((7,), seed=0).tolist() == [0] * 7 and silence.cdf(0) == 1
    np.testing.assert_allclose(silence.log_density([0, 1, 20]), [0, -np.inf, -np.inf], atol=1e-15)


def test_covariance_does_not_depend_on_units_and_may_be_asymmetric_by_rounding():
    a = np.array([[2.0, 0.3], [0.3 + 1e-17, 1.0]])
    units = np.array([1e-150, 1e140])
    found = MultivariateNormal([0, 0], a * units * units[:, None]).log_density(units)
    np.testing.assert_allclose(found, stats.multivariate_normal([0, 0], a).logpdf([1, 1]) - np.log(units).sum())
    MultivariateNormal([0, 0], [[1, 1e-17], [0, 1]])


@pytest.mark.parametrize("ours", [*(d for d, _ in (REALS | INTEGERS).values()), Categorical([0.5, 0.5])], ids=repr)
def test_seed_decides_the_draws(ours):
    assert np.array_equal(ours.sample((2, 7), seed=1), ours.sample((2, 7), seed=1))
    assert not np.array_equal(ours.sample((2000,), seed=1), ours.sample((2000,), seed=2))


def test_generator_goes_on_where_a_seed_begins_anew():
    rng = np.random.default_rng(1)
    first, second = Normal().sample((3,), seed=rng), Normal().sample((3,), seed=rng)
    assert np.array_equal(first, Normal().sample((3,), seed=1)) and not np.array_equal(first, second)


def test_parameters_broadcast_in_all_methods():
    batch = Gamma(np.array([[0.5], [2.0], [7.0]]), np.array([1.0, 3.0]))
    assert batch.batch == (3, 2) and batch.mean.shape == (3, 2)
    assert batch.sample((5, 4), seed=0).shape == (5, 4, 3, 2)
    assert batch.quantile(0.5).shape == (3, 2)
    np.testing.assert_allclose(batch.quantile(0.3)[2, 1], Gamma(7.0, 3.0).quantile(0.3), rtol=1e-14)
    np.testing.assert_allclose(batch.log_density(0.7)[1, 0], Gamma(2.0, 1.0).log_density(0.7), rtol=1e-14)


# --- bad input -------------------------------------------------------------------------------------------------------

BAD = {
    "standard deviation": (lambda: Normal(0, [1.0, -2.0]), "standard_deviation must be above 0; got -2"),
    "nan": (lambda: Normal(np.nan), "mean must be finite; got nan"),
    "shape": (lambda: Gamma(0.0), "shape must be above 0; got 0"),
    "alpha": (lambda: Beta(-1, 2), "alpha must be above 0"),
    "probability": (lambda: Bernoulli(1.2), r"probability must be in \[0, 1\]; got 1.2"),
    "rate": (lambda: Poisson(-3), "rate must be 0 or more; got -3"),
    "vectors": (lambda: MultivariateNormal([0], [[1]]).quantile(0.5), "MultivariateNormal has no quantiles"),
    "labels": (lambda: Categorical([1.0]).interval(), "Categorical has no quantiles"),
    "variance": (lambda: MultivariateNormal([0], [[-1]]), "variance must be above 0; got -1"),
    "sum": (lambda: Categorical([0.5, 0.4]), "sum of probabilities along axis -1 must be 1; got 0.9"),
    "negative": (lambda: Categorical([1.5, -0.5]), "probabilities must be 0 or more; got -0.5"),
    "no axis": (lambda: Categorical(1.0), r"probabilities of shape \(\) has no axis -1"),
    "broadcast": (lambda: Beta(np.ones(2), np.ones(3)), r"don't broadcast: .*\(2,\).*\(3,\)"),
    "symmetric": (lambda: MultivariateNormal([0, 0], [[1, 0.5], [0.2, 1]]), "not symmetric"),
    "definite": (lambda: MultivariateNormal([0, 0], [[1, 2], [2, 1]]), "smallest is -1"),
    "width": (lambda: MultivariateNormal([0, 0, 0], np.eye(2)), r"mean \(3,\) and covariance \(2, 2\) don't fit"),
    "p": (lambda: Normal().quantile([0.5, 1.0]), "probability must be above 0 and below 1; got 1"),
    "level": (lambda: Normal().interval(95), "level must be above 0 and below 1; got 95"),
}


@pytest.mark.parametrize("call, sentence", BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
