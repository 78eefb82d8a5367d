"""Teach a language model manners by DPO: pairs of its own answers, chosen by written rules, and no reward model.

Stage 4 (transformers) - DPO: Rafailov et al. 2023, arXiv:2305.18290; written rules: Bai et al. 2022, arXiv:2212.08073
Run:     tfdl run align_dpo
         tfdl run align_dpo --pairs judged.jsonl --source runs/my_assistant --data talks.jsonl
Expect:  0.98 of held-out pairs are ranked as the rules judge them; drawn answers keep 1.93 of 2 rules of manners, and
         1.35 before, after 2 minutes on two CPU cores that other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import tfdl
from tfdl.data import checked_tasks, conversations, instructions, preferences
from tfdl.data.written_rules import CONSTITUTION, MANNERS, judged, mean_kept
from tfdl.inference.answers import answers, samples, several_answers
from tfdl.inference.sampling import Sampling
from tfdl.learners.learner import frozen_copy
from tfdl.learners.preference.dpo import DPO
from tfdl.session.first_lessons import first_lessons
from tfdl.train.optimizers import language_model_optimizer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Align a causal language model by direct preference optimization."""

    data: str = "sort"
    """task whose answers are learned first, plain, shouted and wordy in turn: add, reverse, sort, shift; or
    conversations, for which pairs must be given"""
    pairs: str = ""
    """a .jsonl file or folder with prompt, chosen and rejected on each line; default: answers of the model, judged by
    the rules of tfdl.data.written_rules"""
    rules: Literal["manners", "all"] = "manners"
    """which of these rules judge: those of manners, or also that the answer must be right"""
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
    """passes over the conversations, without `source`"""
    first_learning_rate: float = 5e-3
    """peak of that training"""
    prompts: int = 1000
    """training prompts whose answers are judged"""
    held_out: int = 150
    """validation and test prompts whose answers are judged"""
    answers: int = 4
    """to each of them"""
    new_tokens: int = 16
    """the most tokens of an answer"""
    beta: float = 0.3
    """strength of the pull towards the model that it starts from"""
    label_smoothing: float = 0.0
    """share of pairs that are thought to be judged wrongly"""
    batch_size: int = 64
    """pairs per update, over all devices"""
    learning_rate: float = 2e-4
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    epochs: int = 2
    """passes over the pairs"""
    samples: int = 12
    """test questions whose answers are shown, before and after"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_dpo")
    drawn = Sampling(temperature=1.0)
    rules = MANNERS if config.rules == "manners" else CONSTITUTION

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
        config.pairs or judged(asked, write, rules),
        tokenizer=lessons.tokenizer,
        template=config.template,
        length=config.length,
        batch_size=config.batch_size,
        name=f"{config.data}, judged",
        run=run,
    )

    # Model
    with run.scope():
        learner = DPO(network, frozen_copy(network), beta=config.beta, label_smoothing=config.label_smoothing)
        updates = run.updates(data, config.epochs)
        learner.compile(language_model_optimizer(config.learning_rate, updates, weight_decay=0.0))

    # Train; the best epoch's weights stay in the model
    shown = asked["test"]
    before = answers(learner.reference, lessons, shown, new_tokens=config.new_tokens, sampling=drawn)
    run.fit(learner, data, epochs=config.epochs, monitor="val_reward_accuracy")

    # Evaluate: how often the policy's implicit reward ranks a pair as it was judged, and how many rules answers keep
    metrics = run.evaluate(learner, data, "validation") | run.evaluate(learner, data)
    after = answers(learner, lessons, shown, new_tokens=config.new_tokens, sampling=drawn)
    questions = [row.prompt[-1][1] for row in shown]
    if config.data in checked_tasks.TASKS:
        for name, judges in (("manners", MANNERS), ("all_rules", CONSTITUTION)):
            metrics[f"test_{name}_kept/before"] = mean_kept(questions, before, judges)
            metrics[f"test_{name}_kept/after"] = mean_kept(questions, after, judges)

    # Look: answers before and after
    rows = samples(questions, before=before[: config.samples], after=after[: config.samples])
    run.tell("answers", rows)
    return run.finish(learner, metrics, samples=rows)


if __name__ == "__main__":
    tfdl.launch(main, Config)
