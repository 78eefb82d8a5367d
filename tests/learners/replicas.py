"""Trains each learner on one device, with accumulation, and on two logical devices with it; keeps weights and losses.

Run as a program: python replicas.py RESULT.npz.  The results are named LEARNER/WAY/weight0 ... and LEARNER/WAY/loss.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tfdl.core.batches import PADDING
from tfdl.distribution import strategies
from tfdl.learners.learner import frozen_copy
from tfdl.learners.preference.dpo import DPO
from tfdl.learners.preference.grpo import GRPO
from tfdl.learners.preference.ppo import PPO
from tfdl.learners.preference.reward import RewardModel
from tfdl.learners.supervised.packed import PackedLanguageModel
from tfdl.learners.transfer.distillation import Distillation
from tfdl.learners.transfer.lora import LoRA
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.models.text.gpt import GPTConfig, gpt
from tfdl.train.step import exact

COUNT, BATCH, LENGTH = 19, 7, 8  # batches of 7, 7 and 5: neither two replicas nor three micro-batches share them evenly
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(1, 60, (COUNT, LENGTH)).astype("int32")
STARTS = RNG.integers(1, LENGTH, COUNT)  # answers of very different lengths
ANSWERED = (np.arange(LENGTH) >= STARTS[:, None]).astype("int32")
TARGETS = np.where(ANSWERED, TOKENS, PADDING).astype("int32")
SEGMENTS = np.where(ANSWERED, 2, 1).astype("int32")
POSITIONS = (np.arange(LENGTH) - STARTS[:, None] * ANSWERED).astype("int32")
PAIRS = {"chosen": TOKENS, "chosen_answered": ANSWERED, "rejected": TOKENS[::-1], "rejected_answered": ANSWERED[::-1]}


def network(seed=0):
    keras.utils.set_random_seed(seed)
    return gpt(GPTConfig(vocabulary_size=61, context=LENGTH, width=8, depth=1, heads=2, dropout=0.0))


def experienced(learner):
    """Of a policy that has moved since its answers were drawn."""
    fields = {name: (RNG.normal(0, 0.3, TOKENS.shape) * ANSWERED).astype("float32") for name in learner.fields}
    old = learner.experience(TOKENS, ANSWERED, np.zeros(COUNT, "float32"))[0]["old"]
    fields["old"] = (old + 0.1 * ANSWERED).astype("float32")
    return {"tokens": TOKENS, "answered": ANSWERED, **fields}


def grpo(mean):
    def make():
        return GRPO(network(), frozen_copy(network(1)), answers=COUNT, mean=mean)

    return make


LEARNERS = {
    "packed": (
        lambda: PackedLanguageModel(network()),
        lambda learner: ({"tokens": TOKENS, "segments": SEGMENTS, "positions": POSITIONS}, TARGETS),
    ),
    "lora": (lambda: LoRA(network(), rank=3), lambda learner: (TOKENS, TARGETS)),
    "distillation": (lambda: Distillation(network(), network(1)), lambda learner: (TOKENS, TARGETS)),
    "reward": (lambda: RewardModel(network()), lambda learner: PAIRS),
    "dpo": (lambda: DPO(network(), frozen_copy(network(1))), lambda learner: PAIRS),
    "grpo_tokens": (grpo("tokens"), experienced),
    "grpo_answers": (grpo("answers"), experienced),
    "ppo": (lambda: PPO(network(), frozen_copy(network(1)), RewardModel(network(2))), experienced),
}
WAYS = {"one": ("single", 1), "accumulated": ("single", 3), "both": ("mirrored", 2)}


def train(name, strategy, accumulate):
    """Weights and losses after an epoch."""
    global RNG
    RNG = np.random.default_rng(1)
    make, data_of = LEARNERS[name]
    scope = strategies.create(strategy)
    with scope.scope():
        learner = make()
        loss = TokenCrossEntropy() if name in ("packed", "lora") else None
        learner.compile(keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5), loss)
    data = data_of(learner)
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(BATCH)
    exact(learner, accumulate=accumulate)
    history = learner.fit(dataset, epochs=1, verbose=0, shuffle=False).history
    found = {f"weight{i}": w.numpy() for i, w in enumerate(learner.trainable_variables)}
    return found | {f"log_{key}": np.array(values) for key, values in history.items()}


if __name__ == "__main__":
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # most of the time is tracing
    results = {}
    for name in LEARNERS:
        for way, how in WAYS.items():
            results |= {f"{name}/{way}/{key}": value for key, value in train(name, *how).items()}
    np.savez(sys.argv[1], **results)
