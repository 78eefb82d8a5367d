"""Reward model: a language model whose head is one number, which is higher for the answers that people prefer.

    model = RewardModel(network)
    model.compile(keras.optimizers.AdamW(1e-4))
    model.fit(data.train, validation_data=data.validation)        # `data.preferences`
    model.rewards(tokens, answered)                               # (B,)

Papers: Ouyang et al. 2022, arXiv:2203.02155, eq. 1; Bradley & Terry 1952, "Rank analysis of incomplete block designs".
Shapes: B pairs or answers, T tokens, D width.
"""

import keras
import numpy as np
from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.learners.learner import Learner
from tfdl.learners.preference.rollouts import in_parts
from tfdl.losses.preference import bradley_terry
from tfdl.ops.visibility import causal

SIDES = ("chosen", "rejected")


@serializable
class RewardModel(Learner):
    """A dict of pairs, as `data.preferences` has them -> rewards {"chosen": (B,), "rejected": (B,)}.

    Metrics: `reward_accuracy`, the share of pairs that it ranks as they were judged, and `reward_margin`.

    Args:
        network: a `CausalDecoder`, whose blocks are trained on; what makes logits of them is not used.
    """

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        width = network.config.width
        if hasattr(network, "head"):
            network.head.trainable = False
        # Section C.2 of the paper on summaries (Stiennon et al. 2020, arXiv:2009.01325): variance 1 / (D + 1)
        initializer = keras.initializers.RandomNormal(stddev=(width + 1) ** -0.5)
        self.score = layers.Dense(1, kernel_initializer=initializer, dtype="float32", name="score")
        self.score.build((None, None, width))
        self.reward_accuracy = keras.metrics.Mean(name="reward_accuracy")
        self.reward_margin = keras.metrics.Mean(name="reward_margin")

    def scores(self, tokens, training=False):
        """One number behind each token.  (B, T) -> (B, T) float32"""
        places = ops.arange(ops.shape(tokens)[1])
        visible = causal(places, places, self.network.window)
        x, _ = self.network.through_blocks(tokens, places, visible, training=training)  # (B, T, D)
        return self.score(x)[..., 0]

    def rewards(self, tokens, answered, training=False):
        """The number behind the last token of each answer.  Two of (B, T) -> (B,) float32"""
        length = ops.shape(answered)[1]
        ends = length - 1 - ops.argmax(ops.flip(ops.cast(answered, "int32"), axis=1), axis=1)
        return ops.take_along_axis(self.scores(tokens, training), ops.cast(ends, "int32")[:, None], axis=1)[:, 0]

    def score_texts(self, encode, prompts, texts):
        """The rewards of texts, (B,) NumPy.

        Args:
            encode: a function of a prompt and a text to tokens and marks, as `data.preferences.PreferenceData.judge`.
            prompts: messages before each text.
            texts: B answers.
        """
        rows = [encode(*pair) for pair in zip(prompts, texts)]
        shape = len(rows), max(len(tokens) for tokens, _ in rows)
        tokens, answered = np.zeros(shape, "int32"), np.zeros(shape, "int32")
        for i, (row, marks) in enumerate(rows):
            tokens[i, : len(row)], answered[i, : len(row)] = row, marks
        return in_parts(self.rewards, tokens, answered)

    def call(self, pairs, training=False):
        tokens, answered = (ops.concatenate([pairs[f"{side}{end}"] for side in SIDES]) for end in ("", "_answered"))
        return dict(zip(SIDES, ops.split(self.rewards(tokens, answered, training), 2)))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(bradley_terry(y_pred["chosen"], y_pred["rejected"]))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        margins = y_pred["chosen"] - y_pred["rejected"]
        self.reward_accuracy.update_state(ops.cast(margins > 0, "float32"))
        self.reward_margin.update_state(margins)
        return self.get_metrics_result()
