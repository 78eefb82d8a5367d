"""The equations of preferences and rewards, written out in NumPy as the papers and the trl library publish them."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from tfdl.core.batches import PADDING
from tfdl.losses import preference
from tfdl.losses.distillation import soft_divergence

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def test_log_probabilities_are_those_of_the_targets():
    logits, targets = normal(2, 3, 5), np.array([[4, PADDING, 0], [1, 1, PADDING]])
    found = np.array(preference.token_log_probabilities(logits, targets))
    expected = np.take_along_axis(log_softmax(logits, -1), np.maximum(targets, 0)[..., None], -1)[..., 0]
    np.testing.assert_allclose(found, np.where(targets == PADDING, 0, expected), rtol=1e-5)
    np.testing.assert_array_equal(preference.answered(targets), targets != PADDING)


def test_bradley_terry_is_the_negative_log_sigmoid_of_the_difference():
    chosen, rejected = normal(7), normal(7)
    np.testing.assert_allclose(preference.bradley_terry(chosen, rejected), -np.log(expit(chosen - rejected)), rtol=1e-5)


def test_dpo_is_log_2_where_nothing_has_changed_and_smooths_labels():
    zeros = np.zeros(3, "float32")
    assert (np.array(preference.dpo(zeros, zeros)) == np.float32(np.log(2))).all()
    policy, reference = normal(2, 7), normal(2, 7)
    rewards = [preference.implicit_rewards(p, r, 0.1) for p, r in zip(policy, reference)]
    logits = (policy[0] - policy[1]) - (reference[0] - reference[1])  # as trl names it
    for e in (0.0, 0.2):
        expected = -np.log(expit(0.1 * logits)) * (1 - e) - np.log(expit(-0.1 * logits)) * e
        np.testing.assert_allclose(preference.dpo(*rewards, e), expected, rtol=1e-5)


def test_clipped_objective_takes_the_worse_of_both():
    log_ratios, advantages = normal(4, 5), normal(4, 5)
    ratio = np.exp(log_ratios)
    expected = -np.minimum(ratio * advantages, np.clip(ratio, 0.8, 1.2) * advantages)
    np.testing.assert_allclose(preference.clipped_objective(log_ratios, advantages, 0.2), expected, rtol=1e-5)
    assert (np.array(preference.clipped_objective(0 * log_ratios, advantages, 0.2)) == -advantages).all()


def test_clipped_value_loss_is_half_the_larger_square():
    values, old, returns = normal(3, 4), normal(3, 4), normal(3, 4)
    clipped = np.clip(values, old - 0.3, old + 0.3)
    expected = 0.5 * np.maximum((values - returns) ** 2, (clipped - returns) ** 2)
    np.testing.assert_allclose(preference.clipped_value_loss(values, old, returns, 0.3), expected, rtol=1e-4)


def test_estimators_of_the_divergence_have_its_mean_and_k3_is_never_negative():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    drawn = RNG.choice(3, 200_000, p=p)
    exact = (p * np.log(p / q)).sum()
    logs = np.log(p)[drawn], np.log(q)[drawn]
    k1, k3 = (np.array(f(*logs)) for f in (preference.divergence_k1, preference.divergence_k3))
    assert k1.mean() == pytest.approx(exact, abs=0.01) and k3.mean() == pytest.approx(exact, abs=0.01)
    assert k3.min() >= 0 > k1.min() and k3.std() < k1.std()
    np.testing.assert_allclose(k3, np.exp(logs[1] - logs[0]) - (logs[1] - logs[0]) - 1, rtol=1e-6)


def test_group_advantages_compare_the_answers_to_one_prompt():
    rewards = np.array([1, 0, 0, 1, 1, 1, 2, 0, 0], "float32")
    grouped = rewards.reshape(-1, 3)
    expected = (grouped - grouped.mean(1, keepdims=True)) / (grouped.std(1, ddof=1, keepdims=True) + 1e-4)
    found = preference.group_advantages(rewards, 3)
    np.testing.assert_allclose(found, expected.ravel(), rtol=1e-6)
    assert (found[3:6] == 0).all()


MASK = np.array([[0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]], bool)


def test_penalties_are_for_every_token_and_the_score_for_the_last():
    divergences = normal(3, 5)
    rewards = preference.penalized_rewards(np.array([1.0, 2.0, 3.0]), divergences, MASK, beta=0.5)
    expected = -0.5 * divergences * MASK
    for row, (place, score) in enumerate(((3, 1.0), (2, 2.0), (4, 3.0))):
        expected[row, place] += score
    np.testing.assert_allclose(rewards, expected, rtol=1e-6)


@pytest.mark.parametrize("trace", [0.0, 0.95, 1.0])
def test_advantages_are_the_sum_of_discounted_errors(trace):
    """Schulman et al. 2015, eq. 16, as a sum: A_t = sum over l of (gamma lambda)^l d_(t+l)."""
    rewards, values, gamma = np.where(MASK, normal(3, 5), 0), np.where(MASK, normal(3, 5), 0), 0.9
    advantages, returns = preference.generalized_advantages(rewards, values, MASK, gamma, trace)
    for row in range(3):
        places = np.flatnonzero(MASK[row])
        after = np.append(values[row, places][1:], 0.0)
        errors = rewards[row, places] + gamma * after - values[row, places]
        expected = [sum((gamma * trace) ** i * e for i, e in enumerate(errors[t:])) for t in range(len(places))]
        np.testing.assert_allclose(advantages[row, places], expected, rtol=1e-5)
    np.testing.assert_allclose(returns, np.where(MASK, advantages + values, 0), rtol=1e-6)
    assert (advantages[~MASK] == 0).all()


def test_whitening_leaves_mean_0_and_variance_1():
    white = preference.whitened(normal(3, 5) * 3 + 2, MASK)
    assert white[MASK].mean() == pytest.approx(0, abs=1e-6)
    assert white[MASK].var(ddof=1) == pytest.approx(1, abs=1e-5) and (white[~MASK] == 0).all()


def test_coefficient_follows_the_divergence():
    """Ziegler et al. 2019, section 2.2: the error is clipped at 0.2."""
    assert preference.adapted_coefficient(0.1, 6.0, 6.0, 256, 10_000) == 0.1
    assert preference.adapted_coefficient(0.1, 60.0, 6.0, 256, 10_000) == pytest.approx(0.1 * (1 + 0.2 * 0.0256))
    assert preference.adapted_coefficient(0.1, 5.4, 6.0, 256, 10_000) == pytest.approx(0.1 * (1 - 0.1 * 0.0256))


def test_distillation_is_the_divergence_at_a_temperature():
    teacher, student = normal(2, 3, 5), normal(2, 3, 5)
    p, q = (np.exp(log_softmax(logits / 2.0, -1)) for logits in (teacher, student))
    np.testing.assert_allclose(soft_divergence(teacher, student, 2.0), (p * np.log(p / q)).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(soft_divergence(teacher, teacher, 2.0), np.zeros((2, 3)), atol=1e-7)
