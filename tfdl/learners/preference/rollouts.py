"""Answers to learn from: before each epoch of `fit` the policy answers prompts and each answer gets its reward.

    rollouts = Rollouts(learner, data, rewards=rewards, sampling=Sampling(temperature=1.0))
    run.fit(learner, data, epochs=100, monitor="val_reward", callbacks=[rollouts])

An iteration of PPO or GRPO is an epoch here: `data` (`data.experience`) says which prompts it has, and keeps their
answers until it is over.  Prompts, draws and order depend on the seed and the epoch alone, so that a resumed run goes
on as if nothing had happened.

Source: Ouyang et al. 2022, arXiv:2203.02155, appendix C.4.
Shapes: B answers, T tokens.
"""

import keras
import numpy as np
from keras import ops

PART = 256  # answers that a network reads at once outside of the train step


class Rollouts(keras.callbacks.Callback):
    """Has `learner` answer before each epoch; adds `reward` to the logs of an epoch, and `val_reward`.

    Args:
        learner: a learner with `answers`, `experience`, `fields` and `generate`, such as `GRPO`.
        data: `data.experience.Experience`.
        rewards: a function of conversations and of the texts that answer their prompts, lists (B,), to numbers (B,).
        sampling: how answers are drawn: a `tfdl.inference.sampling.Sampling` of temperature 1.
        compiled: as of `generate`.
    """

    def __init__(self, learner, data, *, rewards, sampling, compiled=True):
        super().__init__()
        self.learner, self.data, self.rewards, self.sampling = learner, data, rewards, sampling
        self.compiled, self.logs = compiled, {}

    def on_epoch_begin(self, epoch, logs=None):
        data, answers = self.data, self.learner.answers
        conversations = [row for row in data.prompts(epoch) for _ in range(answers)]
        seed = (data.seed * 1_000_003 + epoch) * len(conversations)
        written = self.answer(conversations, sampling=self.sampling, seed=seed)
        tokens, answered = data.rows(conversations, written)
        rewards = self.measured(conversations, written)
        fields, self.logs = self.learner.experience(tokens, answered, rewards)
        data.fill(tokens=tokens, answered=answered, **fields)
        self.logs |= {"reward": float(rewards.mean()), "answer_length": float(answered.sum(1).mean())}

    def on_epoch_end(self, epoch, logs=None):
        logs |= self.logs
        logs["val_reward"] = float(self.greedy_rewards(self.data.held_out).mean())

    def greedy_rewards(self, conversations):
        """The rewards of the likeliest answers, (B,)."""
        return self.measured(conversations, self.answer(conversations, sampling=None, seed=0))

    def answer(self, conversations, **options):
        """For each conversation the tokens that the policy writes, without the end."""
        data = self.data
        return self.learner.generate(
            [data.prompt(row) for row in conversations],
            new_tokens=data.new_tokens,
            stop_tokens=(data.stop_token,),
            compiled=self.compiled,
            **options,
        ).tokens

    def measured(self, conversations, written):
        """The rewards of what was written, (B,) float32."""
        texts = [self.data.decode(tokens) for tokens in written]
        return np.asarray(self.rewards(conversations, texts), "float32")


def in_parts(function, *arrays):
    """What a function gives for arrays (B, ...), PART rows at once.  -> (B, ...) NumPy"""
    parts = [
        ops.convert_to_numpy(function(*(array[i : i + PART] for array in arrays)))
        for i in range(0, len(arrays[0]), PART)
    ]
    return np.concatenate(parts)
