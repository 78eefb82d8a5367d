"""The equations by which language models learn from preferences and rewards, as pure functions.

Papers: reward models: Ouyang et al. 2022, arXiv:2203.02155, eq. 1; DPO: Rafailov et al. 2023, arXiv:2305.18290, eq. 7;
its label smoothing: Mitchell 2023, "A note on DPO with noisy preferences", eq. 3; PPO: Schulman et al. 2017,
arXiv:1707.06347, eq. 7; advantages: Schulman et al. 2015, arXiv:1506.02438, eq. 16; control of the divergence: Ziegler
et al. 2019, arXiv:1909.08593, section 2.2; GRPO: Shao et al. 2024, arXiv:2402.03300, eq. 3 and 4; estimators of the
divergence: Schulman 2020, "Approximating KL divergence".
Shapes: B answers, T tokens, V vocabulary, G answers to one prompt.
"""

import numpy as np
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.losses.classification import float32

# Log-probabilities


def token_log_probabilities(logits, targets):
    """log p of each target.  (B, T, V) and (B, T) -> (B, T) float32, 0 where the target is PADDING."""
    logits = float32(logits)
    chosen = ops.take_along_axis(logits, ops.maximum(targets, 0)[..., None], axis=-1)[..., 0]
    return ops.where(ops.not_equal(targets, PADDING), chosen - ops.logsumexp(logits, axis=-1), 0.0)


def answered(targets):
    """1 for the tokens of answers, 0 for PADDING.  (B, T) -> (B, T) float32"""
    return ops.cast(ops.not_equal(targets, PADDING), "float32")


# Pairs of answers


def bradley_terry(chosen, rejected):
    """-log sigma(r_chosen - r_rejected): the reward model's eq. 1.  (B,) and (B,) -> (B,)"""
    return ops.softplus(rejected - chosen)


def implicit_rewards(log_probabilities, reference, beta):
    """beta log(p / p_ref) of whole answers: the reward of DPO's eq. 5 without the part that all answers share."""
    return beta * (log_probabilities - reference)


def dpo(chosen, rejected, label_smoothing=0.0):
    """-(1 - e) log sigma(d) - e log sigma(-d), d the difference of implicit rewards: DPO's eq. 7 for e = 0.

    Args:
        chosen, rejected: implicit rewards (B,).
        label_smoothing: e, the share of pairs that are thought to be judged wrongly.

    Returns:
        (B,); log 2 for a policy that is still its reference.
    """
    difference = chosen - rejected
    return (1 - label_smoothing) * ops.softplus(-difference) + label_smoothing * ops.softplus(difference)


# Rewards of single answers


def clipped_objective(log_ratios, advantages, clip):
    """max of -A r and -A clip(r, 1 - e, 1 + e) for r = exp(log_ratios): the negative of PPO's eq. 7.  (B, T) each."""
    ratios = ops.exp(log_ratios)
    return ops.maximum(-advantages * ratios, -advantages * ops.clip(ratios, 1 - clip, 1 + clip))


def clipped_value_loss(values, old_values, returns, clip):
    """Half the larger square of (V - R) and (V clipped around its old value - R); OpenAI's code of PPO.  (B, T)"""
    near = old_values + ops.clip(values - old_values, -clip, clip)
    return 0.5 * ops.maximum(ops.square(values - returns), ops.square(near - returns))


def divergence_k1(log_probabilities, reference):
    """log(p / q) of a token drawn from p: its mean is KL(p || q), but single values may be negative."""
    return log_probabilities - reference


def divergence_k3(log_probabilities, reference):
    """(q/p - 1) - log(q/p) of a token drawn from p: the same mean, never negative; GRPO's eq. 4."""
    log_ratio = reference - log_probabilities
    return ops.exp(log_ratio) - 1 - log_ratio


# In NumPy: computed once for the answers of an iteration, before anything is differentiated


def group_advantages(rewards, group, epsilon=1e-4):
    """(r - mean) / (std + epsilon) over the G answers to each prompt: GRPO's section 4.1.2.

    The deviation is that of a sample, which divides by G - 1, as in the trl library.

    Args:
        rewards: (N G,), the answers to one prompt next to each other.
        group: G, 2 or more.

    Returns:
        (N G,) float32; zeros where all answers to a prompt are equally good, of which nothing is learned.
    """
    table = np.asarray(rewards, "float32").reshape(-1, group)
    mean, deviation = table.mean(1, keepdims=True), table.std(1, ddof=1, keepdims=True)
    return ((table - mean) / (deviation + epsilon)).ravel().astype("float32")


def penalized_rewards(scores, divergences, mask, beta):
    """-beta times the divergence of each token, and at an answer's last token its score too: Ziegler et al., eq. 2.

    Args:
        scores: (B,).
        divergences: (B, T), of the policy from its reference.
        mask: (B, T) bool, the tokens of the answers.

    Returns:
        (B, T) float32, 0 outside of the answers.
    """
    rewards = np.where(mask, -beta * divergences, 0.0).astype("float32")
    rewards[np.arange(len(mask)), last_places(mask)] += scores
    return rewards


def last_places(mask):
    """The last token of each answer.  (B, T) bool -> (B,)"""
    return mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)


def generalized_advantages(rewards, values, mask, discount=1.0, trace=0.95):
    """Advantages and returns of every token of an answer.

        d_t = r_t + discount V_{t+1} - V_t               V behind the last token is 0
        A_t = d_t + discount trace A_{t+1}               Schulman et al. 2015, eq. 16
        R_t = A_t + V_t

    Args:
        rewards, values: (B, T).
        mask: (B, T) bool; the tokens of an answer are next to each other.
        discount: gamma.
        trace: lambda; 0 looks one token ahead, 1 to the end.

    Returns:
        A and R, (B, T) float32 each, 0 outside of the answers.
    """
    advantages = np.zeros_like(rewards, "float32")
    following_value = following = np.zeros(len(rewards), "float32")
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + discount * following_value - values[:, t]
        following = np.where(mask[:, t], delta + discount * trace * following, 0.0)
        following_value = np.where(mask[:, t], values[:, t], 0.0)
        advantages[:, t] = following
    return advantages, np.where(mask, advantages + values, 0.0).astype("float32")


def whitened(values, mask):
    """Mean 0 and variance 1 over the tokens of the answers, 0 outside of them.  (B, T) float32"""
    chosen = values[mask]
    white = (values - chosen.mean()) / np.sqrt(chosen.var(ddof=1) + 1e-8)
    return np.where(mask, white, 0.0).astype("float32")


def adapted_coefficient(beta, divergence, target, answers, horizon):
    """The next coefficient of the divergence, which keeps it near `target`: Ziegler et al. 2019, section 2.2.

    e = clip(divergence / target - 1, -0.2, 0.2)
    beta (1 + e answers / horizon)
    """
    error = np.clip(divergence / target - 1, -0.2, 0.2)
    return float(beta * (1 + error * answers / horizon))
