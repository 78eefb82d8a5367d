"""A run of GRPO or PPO that is resumed between two iterations ends bit-equal to one that was never interrupted."""

import dataclasses

import keras
import numpy as np
import pytest

from tfdl.data import experience, instructions
from tfdl.inference.sampling import Sampling
from tfdl.learners.learner import frozen_copy
from tfdl.learners.preference.grpo import GRPO
from tfdl.learners.preference.ppo import PPO
from tfdl.learners.preference.reward import RewardModel
from tfdl.learners.preference.rollouts import Rollouts
from tfdl.models.text.gpt import GPTConfig, gpt
from tfdl.session.run import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    run: Run = Run()


def trained(kind, folder, epochs, resume=False):
    """Weights and logs of a run of so many iterations in all."""
    config = Config(run=Run(out=str(folder), resume=resume))
    run = config.run.start(config, name="aligned")
    lessons = instructions.load("add", template="tags", length=32, keep=40)
    network = gpt(GPTConfig(vocabulary_size=len(lessons.tokenizer), context=32, width=8, depth=1, heads=2, dropout=0.0))
    reference = frozen_copy(network)
    if kind is GRPO:
        learner = GRPO(network, reference, answers=2)
    else:
        learner = PPO(network, reference, RewardModel(gpt(network.config)), target=1.0)
    data = experience.of_prompts(
        lessons,
        prompts=6,
        answers=learner.answers,
        batch_size=5,
        fields=kind.fields,
        new_tokens=3,
        held_out=4,
        passes=2,
        run=run,
    )
    learner.compile(keras.optimizers.Adam(0.01))
    rollouts = Rollouts(
        learner,
        data,
        rewards=lambda _, answers: [-len(answer) for answer in answers],
        sampling=Sampling(temperature=1.0),
        compiled=False,
    )
    history = run.fit(learner, data, epochs=epochs, monitor="val_reward", callbacks=[rollouts])
    run.finish(learner, {})
    return run.weights_sha256, [{k: v for k, v in row.items() if k != "examples_per_second"} for row in history]


@pytest.mark.parametrize("kind", [GRPO, PPO])
def test_resumed_run_ends_with_the_same_bits(kind, tmp_path):
    whole, logs = trained(kind, tmp_path / "whole", epochs=3)
    part, _ = trained(kind, tmp_path / "part", epochs=2)
    again, resumed = trained(kind, tmp_path / "part", epochs=3, resume=True)
    assert part != whole == again
    assert [row["reward"] for row in resumed] == [row["reward"] for row in logs]
    np.testing.assert_equal(resumed, logs)
