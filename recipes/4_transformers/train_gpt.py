"""Train a GPT, a LLaMA or a mixture of experts to predict the next character, and compare it with what pairs know.

Stage 4 (transformers) - Radford et al. 2019, "Language models are unsupervised multitask learners"; LLaMA: Touvron et
al. 2023, arXiv:2302.13971; Mixtral: Jiang et al. 2024, arXiv:2401.04088
Run:     tfdl run train_gpt
         tfdl run train_gpt --model llama
         tfdl run train_gpt --model mixtral
         tfdl run train_gpt --model llama --data /path/to/texts
Expect:  nats per character of the last tenth of Shakespeare's plays, on two CPU cores that other programs shared: 1.72
         with a GPT after 13 minutes, 1.62 with a LLaMA of as many weights after 4, and 1.60 with a mixture of experts
         of which each character meets as many, after 7; pairs of characters have 2.48, and nanoGPT's training on a CPU
         gives 1.88 (one run each, seed 0).  After one epoch the mixture is still behind: 1.87 against 1.83
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.data import text
from tfdl.session.defaults import LANGUAGE_MODELS, with_defaults
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a causal language model on characters."""

    DEFAULTS: ClassVar = LANGUAGE_MODELS

    data: str = "tiny_shakespeare"
    """tiny_shakespeare or another tensorflow_datasets name, a text file, a folder of *.txt, or descriptions"""
    model: Literal["gpt", "llama", "mixtral"] = "gpt"
    """GPT-2's blocks, LLaMA's, or LLaMA's with experts"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show gpt"""
    tokenizer: Literal["characters", "bytes"] = "characters"
    """characters are those of the training text"""
    streaming: bool = False
    """for files and folders of *.txt and *.jsonl that are larger than memory: tokens stay in a file"""
    length: int | None = None
    """tokens in a block: what the model sees"""
    batch_size: int | None = None
    """blocks per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a twentieth of the updates, followed by a cosine to zero"""
    weight_decay: float | None = None
    """decoupled from the gradient, as in AdamW"""
    clipnorm: float = 1.0
    """largest norm of the gradients together (GPT-3, appendix B)"""
    epochs: int | None = None
    """passes over the training text"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}")

    # Data
    data = text.load(
        config.data,
        length=config.length,
        batch_size=config.batch_size,
        tokenizer=config.tokenizer,
        streaming=config.streaming,
        run=run,
    )

    # Model
    with run.scope():
        model = tfdl.build(config.model, config.variant, vocabulary_size=len(data.tokenizer), context=config.length)
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs), part=0.05)
        model.compile(
            # beta_2 as nanoGPT has it: short trainings of small batches see few gradients to average.
            optimizer=keras.optimizers.AdamW(
                learning_rate, weight_decay=config.weight_decay, beta_2=0.99, global_clipnorm=config.clipnorm
            ),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=text.PADDING),
        )

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs)

    # Evaluate and export: nats per character; both held-out parts together are nanoGPT's validation set
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    metrics["last_tenth_loss"] = (metrics["validation_loss"] + metrics["test_loss"]) / 2
    for split in ("validation", "test"):
        metrics[f"{split}_loss/pairs"] = data.bigram_nats(split)
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
