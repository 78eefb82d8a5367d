"""Teach a language model arithmetic by GRPO: it copied the mistakes in its examples until a rule rewards right answers.

Stage 4 (transformers) - Shao et al. 2024, arXiv:2402.03300; rewards that a rule gives: Lambert et al. 2024,
arXiv:2411.15124, section 6
Run:     tfdl run align_grpo
         tfdl run align_grpo --model llama --data reverse
Expect:  drawn answers to 500 held-out sums are right in 0.93 of the cases, 0.79 before, as a fifth of the examples was
         wrong; after 4 minutes on two CPU cores that other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import tfdl
from tfdl.data import conversations, experience, instructions
from tfdl.data.checked_tasks import rewards, shares
from tfdl.figures.curves import curves
from tfdl.inference.answers import answers, samples
from tfdl.inference.sampling import Sampling
from tfdl.learners.learner import frozen_copy
from tfdl.learners.preference.grpo import GRPO
from tfdl.learners.preference.rollouts import Rollouts
from tfdl.session.first_lessons import first_lessons
from tfdl.train.optimizers import language_model_optimizer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Align a causal language model by group-relative policy optimization."""

    data: Literal["add", "reverse", "sort", "shift"] = "add"
    """task whose answers a rule checks"""
    template: Literal["chatml", "zephyr", "plain", "tags"] = "tags"
    """how turns become text"""
    model: Literal["gpt", "llama"] = "gpt"
    """key of a causal language model"""
    variant: str = "short_answers"
    """row of the model's VARIANTS: tfdl show gpt"""
    source: str = ""
    """weights to start from: a run folder, a file, a published name; default: they are trained first"""
    length: int = 32
    """the most tokens of a conversation"""
    mistakes: float = 0.2
    """share of the examples to begin with that are wrong"""
    first_epochs: int = 12
    """passes over these examples, without `source`"""
    first_learning_rate: float = 5e-3
    """peak of that training"""
    prompts: int = 64
    """questions in an iteration"""
    answers: int = 8
    """drawn to each question and compared with each other"""
    new_tokens: int = 8
    """the most tokens of an answer"""
    clip: float = 0.2
    """how far the ratio of new and old probabilities may be from 1"""
    beta: float = 0.005
    """coefficient of the divergence from the model that it starts from"""
    mean: Literal["tokens", "answers"] = "tokens"
    """what the loss is a mean over; the paper has answers"""
    batch_size: int = 128
    """answers per update, over all devices"""
    learning_rate: float = 5e-4
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    iterations: int = 60
    """times that new questions are answered and learned from"""
    samples: int = 12
    """test questions whose answers are shown, before and after"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_grpo")
    drawn = Sampling(temperature=1.0)

    # Data: examples with mistakes, and questions alone
    lessons = instructions.load(
        config.data,
        rows=conversations.with_mistakes(config.data, config.mistakes),
        template=config.template,
        length=config.length,
        batch_size=32,
        run=run,
    )
    data = experience.of_prompts(
        lessons,
        prompts=config.prompts,
        answers=config.answers,
        batch_size=config.batch_size,
        fields=GRPO.fields,
        new_tokens=config.new_tokens,
        run=run,
    )

    # Model
    network = first_lessons(
        run,
        lessons,
        lambda: tfdl.build(config.model, config.variant, vocabulary_size=len(lessons.tokenizer), context=config.length),
        source=config.source,
        epochs=config.first_epochs,
        learning_rate=config.first_learning_rate,
    )
    with run.scope():
        learner = GRPO(
            network,
            frozen_copy(network),
            answers=config.answers,
            clip=config.clip,
            beta=config.beta,
            mean=config.mean,
        )
        updates = run.updates(data, config.iterations)
        learner.compile(language_model_optimizer(config.learning_rate, updates, weight_decay=0.0))

    # Train: an epoch is an iteration; the weights after the one with the best drawn answers stay in the model
    rollouts = Rollouts(learner, data, rewards=rewards, sampling=drawn)
    history = run.fit(learner, data, epochs=config.iterations, monitor="reward", callbacks=[rollouts])

    # Evaluate: the share of held-out questions that are answered right, by drawn answers and by the likeliest ones
    asked = lessons.conversations["test"]
    questions, metrics, columns = [row.prompt[-1][1] for row in asked], {}, {}
    for moment, model in (("before", learner.reference), ("after", learner)):
        for kind, sampling in (("drawn", drawn), ("likeliest", None)):
            given = answers(model, lessons, asked, new_tokens=config.new_tokens, sampling=sampling, seed=run.seed)
            metrics[f"test_accuracy/{kind}_{moment}"] = shares(questions, given)[config.data]
            columns[f"{kind}_{moment}"] = given
    metrics["divergence"] = history[-1]["divergence"]

    # Look: rewards, and answers before and after
    series = {name: [row[key] for row in history] for name, key in (("drawn", "reward"), ("likeliest", "val_reward"))}
    run.show("rewards", curves(series, x_label="iteration", y_label="right answers", title="GRPO: rewards of a rule"))
    rows = samples(questions[: config.samples], right=[row.answer for row in asked], **columns)
    run.tell("answers", rows)
    return run.finish(learner, metrics, samples=rows)


if __name__ == "__main__":
    tfdl.launch(main, Config)
