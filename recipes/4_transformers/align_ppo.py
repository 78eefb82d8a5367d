"""Teach a language model manners by PPO: a reward model learns what rules prefer, the policy what the model rewards.

Stage 4 (transformers) - Schulman et al. 2017, arXiv:1707.06347; Ziegler et al. 2019, arXiv:1909.08593; Ouyang et al.
2022, arXiv:2203.02155, section 3.5
Run:     tfdl run align_ppo
         tfdl run align_ppo --data reverse --target 4
Expect:  drawn answers keep 2.97 of 4 points of rules in place of 2.63, rewards rise from 1.9 to 3.7 at a divergence of
         2.2 nats per answer, after 10 minutes on two CPU cores that many other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import tfdl
from tfdl.data import conversations, experience, instructions, preferences
from tfdl.data.written_rules import CONSTITUTION, judged, mean_kept
from tfdl.figures.curves import curves
from tfdl.inference.answers import answers, samples, several_answers
from tfdl.inference.sampling import Sampling
from tfdl.learners.learner import frozen_copy
from tfdl.learners.preference.ppo import PPO
from tfdl.learners.preference.reward import RewardModel
from tfdl.learners.preference.rollouts import Rollouts
from tfdl.session.first_lessons import first_lessons
from tfdl.train.optimizers import language_model_optimizer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Align a causal language model by proximal policy optimization."""

    data: Literal["reverse", "sort", "shift"] = "sort"
    """task whose answers are learned first, plain, shouted and wordy in turn"""
    template: Literal["chatml", "zephyr", "plain", "tags"] = "tags"
    """how turns become text"""
    model: Literal["gpt", "llama"] = "gpt"
    """key of a causal language model"""
    variant: str = "short_answers"
    """row of the model's VARIANTS: tfdl show gpt"""
    source: str = ""
    """weights to start from: a run folder, a file, a published name; default: they are trained first"""
    length: int = 40
    """the most tokens of a conversation"""
    first_epochs: int = 5
    """passes over the questions with answers, without `source`"""
    first_learning_rate: float = 5e-3
    """peak of that training"""
    judged: int = 1000
    """training prompts of which answers are judged for the reward model"""
    held_out: int = 150
    """validation and test prompts of which answers are judged"""
    reward_learning_rate: float = 1e-3
    """peak of the reward model's training"""
    reward_epochs: int = 4
    """passes of the reward model over the pairs"""
    prompts: int = 128
    """questions in an iteration"""
    passes: int = 2
    """times that the answers of an iteration are learned from"""
    new_tokens: int = 16
    """the most tokens of an answer"""
    clip: float = 0.2
    """how far the ratio of new and old probabilities may be from 1"""
    beta: float = 0.2
    """coefficient of the divergence from the model that it starts from, at the beginning"""
    target: float = 3.0
    """nats per answer near which the divergence is kept"""
    horizon: int = 1000
    """answers over which the coefficient adapts"""
    batch_size: int = 64
    """answers per update, over all devices"""
    learning_rate: float = 5e-4
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    iterations: int = 40
    """times that new questions are answered and learned from"""
    samples: int = 12
    """test questions whose answers are shown, before and after"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_ppo")
    drawn = Sampling(temperature=1.0)

    # Data to begin with, and the network that learns from it
    lessons = instructions.load(
        config.data,
        rows=conversations.in_manners(config.data),
        template=config.template,
        length=config.length,
        run=run,
    )
    network = first_lessons(
        run,
        lessons,
        lambda: tfdl.build(config.model, config.variant, vocabulary_size=len(lessons.tokenizer), context=config.length),
        source=config.source,
        epochs=config.first_epochs,
        learning_rate=config.first_learning_rate,
    )

    # Reward model, of pairs of its answers
    sizes = {"train": config.judged, "validation": config.held_out, "test": config.held_out}
    asked = {split: lessons.conversations[split][:size] for split, size in sizes.items()}

    def write(rows):
        return several_answers(network, lessons, rows, 4, new_tokens=config.new_tokens, sampling=drawn, seed=run.seed)

    pairs = preferences.load(
        judged(asked, write, CONSTITUTION),
        tokenizer=lessons.tokenizer,
        template=config.template,
        length=config.length,
        batch_size=64,
        name=f"{config.data}, judged",
        run=run,
    )

    def reward_model():
        model = RewardModel(frozen_copy(network))
        model.network.trainable = True
        updates = run.updates(pairs, config.reward_epochs)
        model.compile(language_model_optimizer(config.reward_learning_rate, updates, weight_decay=0.0))
        return model

    judge = run.compare(pairs, {"reward": reward_model}, epochs=config.reward_epochs, monitor="val_reward_accuracy")[
        "reward"
    ]

    def rewards(rows, texts):
        return judge.model.score_texts(pairs.judge, [row.prompt for row in rows], texts)

    # Policy, whose critic starts as the reward model
    data = experience.of_prompts(
        lessons,
        prompts=config.prompts,
        answers=1,
        batch_size=config.batch_size,
        fields=PPO.fields,
        new_tokens=config.new_tokens,
        passes=config.passes,
        run=run,
    )
    with run.scope():
        critic = RewardModel(frozen_copy(network))
        critic.set_weights(judge.model.get_weights())
        critic.network.trainable = True
        learner = PPO(
            network,
            frozen_copy(network),
            critic,
            clip=config.clip,
            beta=config.beta,
            target=config.target,
            horizon=config.horizon,
        )
        updates = run.updates(data, config.iterations)
        learner.compile(language_model_optimizer(config.learning_rate, updates, weight_decay=0.0))

    # Train: an epoch is an iteration; the best one's weights stay in the model
    rollouts = Rollouts(learner, data, rewards=rewards, sampling=drawn)
    history = run.fit(learner, data, epochs=config.iterations, monitor="val_reward", callbacks=[rollouts])

    # Evaluate: rewards, how far the policy went for them, and whether the rules agree with the reward model
    shown = asked["test"]
    questions = [row.prompt[-1][1] for row in shown]
    before, after = (
        answers(model, lessons, shown, new_tokens=config.new_tokens, sampling=drawn)
        for model in (learner.reference, learner)
    )
    metrics = {
        "reward_model_accuracy": judge.metrics["test_reward_accuracy"],
        "test_reward/before": rewards(shown, before).mean(),
        "test_reward/after": rewards(shown, after).mean(),
        "test_rules_kept/before": mean_kept(questions, before, CONSTITUTION),
        "test_rules_kept/after": mean_kept(questions, after, CONSTITUTION),
        "divergence": history[-1]["divergence"],
    }

    # Look: rewards against the divergence that they cost, and answers before and after
    path = [row["divergence"] for row in history], [row["reward"] for row in history]
    run.show(
        "rewards",
        curves({"iterations": path}, x_label="divergence in nats per answer", y_label="reward", title="PPO: rewards"),
    )
    rows = samples(questions[: config.samples], before=before, after=after)
    run.tell("answers", rows)
    return run.finish(learner, metrics, samples=rows)


if __name__ == "__main__":
    tfdl.launch(main, Config)
