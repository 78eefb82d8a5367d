"""Teach a language model to answer: instructions with answers in a chat template, a loss on the answers alone.

Stage 4 (transformers) - Wei et al. 2021, arXiv:2109.01652; Ouyang et al. 2022, arXiv:2203.02155, section 3.5
Run:     tfdl run fine_tune_instructions
         tfdl run fine_tune_instructions --data talks.jsonl --template chatml --source runs/my_gpt --length 256
Expect:  0.84 of held-out questions answered right (sums 0.76, words to reverse 0.96, to sort 0.81) after 7 minutes on
         two CPU cores that many other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import tfdl
from tfdl.data import checked_tasks, instructions
from tfdl.inference.answers import answers, samples
from tfdl.learners.supervised.packed import PackedLanguageModel
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.metrics.tokens import RowAccuracy, TokenAccuracy
from tfdl.train.optimizers import language_model_optimizer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fine-tune a causal language model on conversations."""

    data: str = "add,reverse,sort"
    """tasks with commas between them: add, reverse, sort, shift; or a .jsonl file or folder with messages, or with
    prompt and response, on each line"""
    template: Literal["chatml", "zephyr", "plain", "tags"] = "tags"
    """how turns become text"""
    tokenizer: str = ""
    """file or folder of the tokenizer that the weights were trained with; default: a token for each character"""
    model: Literal["gpt", "llama"] = "gpt"
    """key of a causal language model"""
    variant: str = "short_answers"
    """row of the model's VARIANTS: tfdl show gpt"""
    source: str = ""
    """weights to start from: a run folder, a file, a published name; default: random ones"""
    length: int = 32
    """the most tokens of a conversation; longer ones are left out"""
    packed: bool = False
    """put several conversations into a row; they do not see each other"""
    batch_size: int = 64
    """rows per update, over all devices"""
    learning_rate: float = 5e-3
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    weight_decay: float = 0.1
    """decoupled from the gradient, as in AdamW"""
    epochs: int = 8
    """passes over the training conversations"""
    new_tokens: int = 8
    """the most tokens of an answer"""
    samples: int = 12
    """test questions whose answers are shown, before and after"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data.replace(',', '_')}_{config.model}_instructed")

    # Data
    data = instructions.load(
        config.data,
        template=config.template,
        tokenizer=config.tokenizer or None,
        length=config.length,
        batch_size=config.batch_size,
        packed=config.packed,
        run=run,
    )
    shown = data.conversations["test"][: config.samples]

    # Model
    with run.scope():
        network = tfdl.build(config.model, config.variant, vocabulary_size=len(data.tokenizer), context=config.length)
        if config.source:
            tfdl.load_weights(network, config.source)
        model = PackedLanguageModel(network) if config.packed else network
        model.compile(
            optimizer=language_model_optimizer(
                config.learning_rate, run.updates(data, config.epochs), weight_decay=config.weight_decay
            ),
            loss=TokenCrossEntropy(),
            metrics=[TokenAccuracy(), RowAccuracy()],
        )
    before = answers(model, data, shown, new_tokens=config.new_tokens)

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs)

    # Evaluate: nats per token of the answers, and of tasks the share of answers that are right
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    if checked_tasks.are_tasks(config.data):
        asked = data.conversations["test"]
        given = answers(model, data, asked, new_tokens=config.new_tokens)
        questions = [row.prompt[-1][1] for row in asked]
        metrics |= {f"test_accuracy/{task}": share for task, share in checked_tasks.shares(questions, given).items()}

    # Look: answers before and after
    after = answers(model, data, shown, new_tokens=config.new_tokens)
    questions = [row.prompt[-1][1] for row in shown]
    rows = samples(questions, wanted=[row.answer for row in shown], before=before, after=after)
    run.tell("answers", rows)

    # Export
    run.export(network, data, formats=("savedmodel",))
    return run.finish(model, metrics, samples=rows)


if __name__ == "__main__":
    tfdl.launch(main, Config)
