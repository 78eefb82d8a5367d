"""Teach a trained language model one more task by LoRA: its weights stay, kilobytes of adapters are added.

Stage 4 (transformers) - Hu et al. 2021, arXiv:2106.09685
Run:     tfdl run fine_tune_lora
         tfdl run fine_tune_lora --source runs/my_gpt --data talks.jsonl --targets "query|value" --rank 4
Expect:  all of 500 held-out words shifted right by adapters of 75 kB; without them 0.93 of the first tasks as before,
         after 8 minutes on two CPU cores that many other programs shared (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

import tfdl
from tfdl.data import instructions
from tfdl.inference.answers import answers, samples
from tfdl.learners.transfer.lora import LoRA
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.metrics.tokens import RowAccuracy
from tfdl.session.first_lessons import first_lessons
from tfdl.train.optimizers import language_model_optimizer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fine-tune a causal language model by low-rank adapters."""

    first_data: str = "reverse,sort"
    """tasks or conversations that the network knows before"""
    data: str = "shift"
    """tasks or conversations that the adapters are for"""
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
    first_epochs: int = 6
    """passes over the first data, without `source`"""
    first_learning_rate: float = 5e-3
    """peak of that training"""
    targets: str = "attention|feed_forward"
    """regular expression; the kernels whose path it matches get adapters"""
    rank: int = 8
    """of the adapters"""
    alpha: float = 16.0
    """their product is scaled by alpha / rank"""
    batch_size: int = 64
    """conversations per update, over all devices"""
    learning_rate: float = 1e-2
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    epochs: int = 8
    """passes over the data"""
    new_tokens: int = 8
    """the most tokens of an answer"""
    samples: int = 12
    """test questions whose answers are shown, before and after"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_lora")

    # Data, with one vocabulary
    every = instructions.load(
        f"{config.first_data},{config.data}", template=config.template, length=config.length, run=run
    )
    first, data = (
        instructions.load(
            name,
            template=config.template,
            tokenizer=every.tokenizer,
            length=config.length,
            batch_size=config.batch_size,
            run=run,
        )
        for name in (config.first_data, config.data)
    )

    # Model: a network that knows the first tasks, and adapters
    network = first_lessons(
        run,
        first,
        lambda: tfdl.build(config.model, config.variant, vocabulary_size=len(every.tokenizer), context=config.length),
        source=config.source,
        epochs=config.first_epochs,
        learning_rate=config.first_learning_rate,
    )
    kept = run.evaluate(network, first)
    shown = data.conversations["test"][: config.samples]
    before = answers(network, data, shown, new_tokens=config.new_tokens)
    with run.scope():
        model = LoRA(network, targets=config.targets, rank=config.rank, alpha=config.alpha, seed=run.seed)
        updates = run.updates(data, config.epochs)
        model.compile(
            language_model_optimizer(config.learning_rate, updates, weight_decay=0.0),
            loss=TokenCrossEntropy(),
            metrics=[RowAccuracy()],
        )

    # Train; the best epoch's adapters stay in the model
    run.fit(model, data, epochs=config.epochs, monitor="val_row_accuracy")

    # Evaluate: the new task with adapters, the first tasks without them
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    file = run.folder / "adapters.safetensors"
    model.save_adapters(file)
    metrics |= {
        "first_tasks_row_accuracy/before": kept["test_row_accuracy"],
        "first_tasks_row_accuracy/without_adapters": run.evaluate(network, first)["test_row_accuracy"],
        "adapter_share": sum(np.prod(v.shape) for v in model.trainable_variables) / network.count_params(),
        "adapter_kilobytes": file.stat().st_size / 1024,
    }
    after = answers(model, data, shown, new_tokens=config.new_tokens)
    questions = [row.prompt[-1][1] for row in shown]
    rows = samples(questions, right=[row.answer for row in shown], before=before, after=after)
    run.tell("answers", rows)

    # Export the network with the adapters in its weights
    with model.merged():
        run.export(network, data, formats=("savedmodel",))
    return run.finish(model, metrics, samples=rows)


if __name__ == "__main__":
    tfdl.launch(main, Config)
