"""Train a reward model: pairs of a language model's answers, chosen by written rules, and one number for each answer.

Stage 4 (transformers) - Ouyang et al. 2022, arXiv:2203.02155, section 3.5; written rules: Bai et al. 2022,
arXiv:2212.08073
Run:     tfdl run train_reward
         tfdl run train_reward --pairs judged.jsonl --source runs/my_assistant --data talks.jsonl
Expect:  0.82 of held-out pairs are ranked as the rules judge them, rewards of new answers and the rules that they keep
         have a correlation of 0.69, after 3 minutes on two CPU cores that many other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

import tfdl
from tfdl.data import checked_tasks, conversations, instructions, preferences
from tfdl.data.written_rules import CONSTITUTION, judged, kept
from tfdl.figures.curves import curves
from tfdl.inference.answers import answers, samples, several_answers
from tfdl.inference.sampling import Sampling
from tfdl.learners.preference.reward import RewardModel
from tfdl.session.first_lessons import first_lessons
from tfdl.train.optimizers import language_model_optimizer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a model of rewards on pairs of answers."""

    data: str = "sort"
    """task whose answers are learned first, plain, shouted and wordy in turn: add, reverse, sort, shift; or
    conversations, for which pairs must be given"""
    pairs: str = ""
    """a .jsonl file or folder with prompt, chosen and rejected on each line; default: answers of the model, judged by
    the rules of tfdl.data.written_rules"""
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
    first_epochs: int = 8
    """passes over the conversations, without `source`"""
    first_learning_rate: float = 5e-3
    """peak of that training"""
    prompts: int = 1500
    """training prompts whose answers are judged"""
    held_out: int = 150
    """validation and test prompts whose answers are judged"""
    answers: int = 4
    """to each of them"""
    new_tokens: int = 16
    """the most tokens of an answer"""
    batch_size: int = 64
    """pairs per update, over all devices"""
    learning_rate: float = 1e-3
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    epochs: int = 4
    """passes over the pairs"""
    samples: int = 12
    """test answers whose rewards are shown"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_reward")
    drawn = Sampling(temperature=1.0)

    # Data to begin with, and the network that learns from it
    lessons = instructions.load(
        config.data,
        rows=conversations.in_manners(config.data) if config.data in checked_tasks.TASKS else None,
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

    # Pairs of its answers
    sizes = {"train": config.prompts, "validation": config.held_out, "test": config.held_out}
    asked = {split: lessons.conversations[split][:size] for split, size in sizes.items()}

    def write(rows):
        return several_answers(
            network, lessons, rows, config.answers, new_tokens=config.new_tokens, sampling=drawn, seed=run.seed
        )

    data = preferences.load(
        config.pairs or judged(asked, write, CONSTITUTION),
        tokenizer=lessons.tokenizer,
        template=config.template,
        length=config.length,
        batch_size=config.batch_size,
        name=f"{config.data}, judged",
        run=run,
    )
    shown = asked["test"]
    given = answers(network, lessons, shown, new_tokens=config.new_tokens, sampling=drawn, seed=run.seed + 1)

    # Model
    with run.scope():
        model = RewardModel(network)
        updates = run.updates(data, config.epochs)
        model.compile(language_model_optimizer(config.learning_rate, updates, weight_decay=0.0))
    before = model.score_texts(data.judge, [row.prompt for row in shown], given)

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs, monitor="val_reward_accuracy")

    # Evaluate: how often it ranks pairs as they were judged
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)

    # Look: rewards of new answers, beside the rules that they keep
    after = model.score_texts(data.judge, [row.prompt for row in shown], given)
    questions = [row.prompt[-1][1] for row in shown]
    if config.data in checked_tasks.TASKS:
        marks = np.array([kept(question, answer, CONSTITUTION) for question, answer in zip(questions, given)])
        metrics["correlation_with_rules"] = np.corrcoef(marks, after)[0, 1]
        levels = np.unique(marks)
        means = {
            name: (levels, [rewards[marks == level].mean() for level in levels])
            for name, rewards in (("before", before), ("after", after))
        }
        run.show("rewards", curves(means, x_label="rules kept", y_label="mean reward", title="Rewards of new answers"))
    rows = samples(
        questions[: config.samples], answer=given, before=before.round(2).tolist(), after=after.round(2).tolist()
    )
    run.tell("rewards", rows)
    return run.finish(model, metrics, samples=rows)


if __name__ == "__main__":
    tfdl.launch(main, Config)
