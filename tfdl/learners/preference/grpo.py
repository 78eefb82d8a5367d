"""GRPO: a policy learns from the rewards of several answers to one prompt, each compared with the others.

    learner = GRPO(network, frozen_copy(network), answers=8)
    learner.compile(keras.optimizers.AdamW(1e-4))
    learner.fit(data.train, callbacks=[Rollouts(learner, data, ...)])     # which has it answer before each epoch

Papers: Shao et al. 2024, arXiv:2402.03300, eq. 3 and 4, section 4.1; a mean over tokens in place of answers: Yu et al.
2025, arXiv:2503.14476, eq. 8.
Shapes: B answers, T tokens, V vocabulary.
"""

import keras
from keras import ops

from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.learners.learner import TextLearner
from tfdl.learners.preference.answers import answer_log_probabilities
from tfdl.learners.preference.rollouts import in_parts
from tfdl.losses.preference import clipped_objective, divergence_k3, group_advantages

MEANS = ("tokens", "answers")


@serializable
class GRPO(TextLearner):
    """{"tokens", "answered", ...} (B, T) -> log p of the answers' tokens (B, T).

        loss = mean( max(-A r, -A clip(r, 1 - e, 1 + e)) + beta (p_ref/p - log(p_ref/p) - 1) ),   r = p / p_old

    Metrics: `divergence` from the reference in nats per token, and `clipped`, the share of tokens whose ratio r is
    outside of the range.

    Args:
        network: the policy.
        reference: the network that it starts from, see `frozen_copy`.
        answers: G, to each prompt.
        clip: e.
        beta: coefficient of the divergence from the reference.
        mean: over all "tokens" of a batch, as later work has it, or over the "answers", each a mean over its tokens,
            as the paper.

    Raises:
        ValueError: a number out of its range, or another mean.
    """

    fields = ("advantages", "old", "reference")  # of the answers, beside "tokens" and "answered"

    def __init__(self, network, reference, answers=8, clip=0.2, beta=0.04, mean="tokens", **kwargs):
        super().__init__(network, **kwargs)
        if answers < 2:
            raise ValueError(f"answers is {answers}; give 2 or more, which are compared with each other.")
        if not 0 < clip < 1 or beta < 0:
            raise ValueError(f"clip is {clip} and beta {beta}; give 0 < clip < 1 and beta from 0 on.")
        if mean not in MEANS:
            raise ValueError(f"mean is {mean!r}; choose {' or '.join(MEANS)}.")
        self.reference = reference
        self.answers = answers
        self.clip = clip
        self.beta = beta
        self.mean = mean
        reference.trainable = False
        self.divergence = keras.metrics.Mean(name="divergence")
        self.clipped = keras.metrics.Mean(name="clipped")

    def experience(self, tokens, answered, rewards):
        """What is kept of answers to learn from.

        Args:
            tokens, answered: (B, T) int32, the answers to one prompt next to each other.
            rewards: (B,).

        Returns:
            `fields`, each (B, T) float32, and numbers for the log.
        """
        advantages = group_advantages(rewards, self.answers)[:, None] * answered
        old, reference = (
            in_parts(lambda *rows, network=network: log_probabilities(network, *rows), tokens, answered)
            for network in (self.network, self.reference)
        )
        return {"advantages": advantages.astype("float32"), "old": old, "reference": reference}, {}

    def call(self, inputs, training=False):
        return log_probabilities(self.network, inputs["tokens"], inputs["answered"])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        mask = ops.cast(x["answered"], "float32")
        losses = clipped_objective(y_pred - x["old"], x["advantages"], self.clip)  # (B, T)
        losses += self.beta * divergence_k3(y_pred, x["reference"])
        if self.mean == "tokens":
            return mean_over(ops.sum(losses * mask), ops.sum(mask))
        return ops.mean(ops.sum(losses * mask, axis=-1) / ops.maximum(ops.sum(mask, axis=-1), 1.0))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        mask = ops.cast(x["answered"], "float32")
        update(self.divergence, divergence_k3(y_pred, x["reference"]), mask)
        update(self.clipped, ops.abs(ops.exp(y_pred - x["old"]) - 1) > self.clip, mask)
        return self.get_metrics_result()


def log_probabilities(network, tokens, answered):
    """log p of the answers' tokens (B, T), without dropout: r has to be 1 while nothing has changed."""
    return answer_log_probabilities(network(tokens, training=False), tokens, answered)


def update(metric, values, mask):
    """A mean over the tokens of answers."""
    metric.update_state(ops.reshape(values, [-1]), sample_weight=ops.reshape(mask, [-1]))
