"""DPO: a policy learns from pairs of answers directly, as the reward that it implies should rank them.

    learner = DPO(network, frozen_copy(network), beta=0.1)
    learner.compile(keras.optimizers.AdamW(1e-4))
    learner.fit(data.train, validation_data=data.validation)      # `data.preferences`

Papers: Rafailov et al. 2023, arXiv:2305.18290, eq. 7; label smoothing: Mitchell 2023, "A note on DPO with noisy
preferences", eq. 3.
Shapes: B pairs, T tokens, V vocabulary.
"""

import keras
from keras import ops

from tfdl.core.serial import serializable
from tfdl.learners.learner import TextLearner
from tfdl.learners.preference.answers import answer_log_probabilities
from tfdl.losses.preference import dpo, implicit_rewards

SIDES = ("chosen", "rejected")


@serializable
class DPO(TextLearner):
    """A dict of pairs, as `data.preferences` has them -> implicit rewards {"chosen": (B,), "rejected": (B,)}.

    Metrics: `reward_accuracy`, the share of pairs whose chosen answer has the higher implicit reward, and
    `reward_margin`, how much higher.

    Args:
        network: the policy, tokens (B, T) -> logits (B, T, V).
        reference: the network that it starts from, see `frozen_copy`; it gets no gradient.
        beta: strength of the pull towards the reference.
        label_smoothing: share of pairs that are thought to be judged wrongly, 0 to below 0.5.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(self, network, reference, beta=0.1, label_smoothing=0.0, **kwargs):
        super().__init__(network, **kwargs)
        if beta <= 0:
            raise ValueError(f"beta is {beta}; give more than 0.")
        if not 0 <= label_smoothing < 0.5:
            raise ValueError(f"label_smoothing is {label_smoothing}; give 0 to below 0.5.")
        self.reference = reference
        self.beta = beta
        self.label_smoothing = label_smoothing
        reference.trainable = False
        self.reward_accuracy = keras.metrics.Mean(name="reward_accuracy")
        self.reward_margin = keras.metrics.Mean(name="reward_margin")

    def call(self, pairs, training=False):
        # Without dropout, as its noise would be a difference between policy and reference.
        tokens, answered = (
            ops.concatenate([pairs[f"{side}{end}"] for side in SIDES]) for end in ("", "_answered")
        )  # (2 B, T)
        sums = [
            ops.sum(answer_log_probabilities(network(tokens, training=False), tokens, answered), axis=-1)
            for network in (self.network, self.reference)
        ]
        rewards = implicit_rewards(sums[0], ops.stop_gradient(sums[1]), self.beta)
        return dict(zip(SIDES, ops.split(rewards, 2)))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(dpo(y_pred["chosen"], y_pred["rejected"], self.label_smoothing))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        margins = y_pred["chosen"] - y_pred["rejected"]
        self.reward_accuracy.update_state(ops.cast(margins > 0, "float32"))
        self.reward_margin.update_state(margins)
        return self.get_metrics_result()
