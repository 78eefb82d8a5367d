"""PPO with a penalty on the divergence from a reference: learning from rewards that come at the end of an answer.

    learner = PPO(network, frozen_copy(network), critic=RewardModel(frozen_copy(network)))
    learner.compile(keras.optimizers.AdamW(1e-4))
    learner.fit(data.train, callbacks=[Rollouts(learner, data, ...)])     # which has it answer before each epoch

Papers: Schulman et al. 2017, arXiv:1707.06347, eq. 7 and 9; for language models: Ziegler et al. 2019, arXiv:1909.08593,
section 2; Ouyang et al. 2022, arXiv:2203.02155, eq. 2; advantages: Schulman et al. 2015, arXiv:1506.02438.
Shapes: B answers, T tokens, V vocabulary.
"""

import keras
import numpy as np
from keras import ops

from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.learners.learner import TextLearner
from tfdl.learners.preference.grpo import log_probabilities, update
from tfdl.learners.preference.rollouts import in_parts
from tfdl.losses.preference import (
    adapted_coefficient,
    clipped_objective,
    clipped_value_loss,
    divergence_k1,
    generalized_advantages,
    penalized_rewards,
    whitened,
)


@serializable
class PPO(TextLearner):
    """{"tokens", "answered", ...} (B, T) -> log p of the answers' tokens and the critic's values, (B, T) each.

        loss = mean over tokens( max(-A r, -A clip(r, 1 - e, 1 + e)) + c clipped value loss ),   r = p / p_old

    Metrics: `policy_loss`, `value_loss`, and `clipped`, the share of tokens whose ratio r is outside of the range.

    Args:
        network: the policy.
        reference: the network that it starts from, see `frozen_copy`.
        critic: a `RewardModel`, of which `scores` are the values of what was read so far.
        clip: e of the policy.
        value_clip: how far values may move in one iteration.
        value_weight: c.
        beta: coefficient of the divergence in the rewards, at the beginning.
        target: nats per answer near which the coefficient is kept (section 2.2 of Ziegler et al.); None leaves it.
        horizon: answers over which the coefficient adapts.
        discount, trace: gamma and lambda of the advantages.

    Raises:
        ValueError: a number out of its range.
    """

    fields = ("advantages", "old", "values", "returns")  # of the answers, beside "tokens" and "answered"
    answers = 1  # to each prompt

    def __init__(
        self,
        network,
        reference,
        critic,
        clip=0.2,
        value_clip=0.2,
        value_weight=0.5,
        beta=0.05,
        target=None,
        horizon=10_000,
        discount=1.0,
        trace=0.95,
        **kwargs,
    ):
        super().__init__(network, **kwargs)
        ranges = {
            "clip": (clip, 0 < clip < 1, "more than 0 and less than 1"),
            "value_clip": (value_clip, value_clip > 0, "more than 0"),
            "beta": (beta, beta >= 0, "0 or more"),
            "target": (target, target is None or target > 0, "more than 0, or None"),
            "discount": (discount, 0 < discount <= 1, "more than 0 and at most 1"),
            "trace": (trace, 0 <= trace <= 1, "0 to 1"),
        }
        for name, (value, accepted, wanted) in ranges.items():
            if not accepted:
                raise ValueError(f"{name} is {value}; give {wanted}.")
        self.reference = reference
        self.critic = critic
        self.clip = clip
        self.value_clip = value_clip
        self.value_weight = value_weight
        self.target = target
        self.horizon = horizon
        self.discount = discount
        self.trace = trace
        reference.trainable = False
        self.beta = beta
        initial = keras.initializers.Constant(beta)  # of a weight, so that checkpoints have it
        self.coefficient = self.add_weight(shape=(), initializer=initial, trainable=False, name="coefficient")
        self.policy_loss = keras.metrics.Mean(name="policy_loss")
        self.value_loss = keras.metrics.Mean(name="value_loss")
        self.clipped = keras.metrics.Mean(name="clipped")

    def experience(self, tokens, answered, rewards):
        """What is kept of answers to learn from; adapts the coefficient of the divergence.

        Args:
            tokens, answered: (B, T) int32.
            rewards: (B,).

        Returns:
            `fields`, each (B, T) float32, and numbers for the log.
        """
        mask = answered > 0
        old, reference = (
            in_parts(lambda *rows, network=network: log_probabilities(network, *rows), tokens, answered)
            for network in (self.network, self.reference)
        )
        values = in_parts(lambda *rows: self.values(*rows), tokens, answered)
        divergences = np.where(mask, divergence_k1(old, reference), 0.0)
        beta = float(ops.convert_to_numpy(self.coefficient))
        penalized = penalized_rewards(rewards, divergences, mask, beta)
        advantages, returns = generalized_advantages(penalized, values, mask, self.discount, self.trace)
        divergence = float(divergences.sum(1).mean())
        if self.target is not None:
            self.coefficient.assign(adapted_coefficient(beta, divergence, self.target, len(tokens), self.horizon))
        kept = {"advantages": whitened(advantages, mask), "old": old, "values": values, "returns": returns}
        return kept, {"divergence": divergence, "coefficient": beta}

    def values(self, tokens, answered):
        """The critic's value of what stands before each token of an answer.  (B, T) -> (B, T), 0 outside of answers"""
        scores = ops.pad(self.critic.scores(tokens)[:, :-1], [[0, 0], [1, 0]])
        return scores * ops.cast(answered, "float32")

    def call(self, inputs, training=False):
        tokens, answered = inputs["tokens"], inputs["answered"]
        return {
            "log_probabilities": log_probabilities(self.network, tokens, answered),
            "values": self.values(tokens, answered),
        }

    def losses_of(self, x, y_pred):
        """Of the policy and of its critic, (B, T) each, and the mask of the answers."""
        log_ratios = y_pred["log_probabilities"] - x["old"]
        policy = clipped_objective(log_ratios, x["advantages"], self.clip)
        value = clipped_value_loss(y_pred["values"], x["values"], x["returns"], self.value_clip)
        return policy, value, ops.cast(x["answered"], "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        policy, value, mask = self.losses_of(x, y_pred)
        return mean_over(ops.sum((policy + self.value_weight * value) * mask), ops.sum(mask))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        policy, value, mask = self.losses_of(x, y_pred)
        update(self.policy_loss, policy, mask)
        update(self.value_loss, value, mask)
        update(self.clipped, ops.abs(ops.exp(y_pred["log_probabilities"] - x["old"]) - 1) > self.clip, mask)
        return self.get_metrics_result()
