"""Train a recurrent language model on characters, and compare it with what pairs of characters know.

Stage 3 (sequential data) - Elman 1990, Cognitive Science 14(2); LSTM: Hochreiter & Schmidhuber 1997, Neural Computation
9(8); GRU: Cho et al. 2014, arXiv:1406.1078
Run:     tfdl run train_rnn
Expect:  validation loss 2.027 nats per character in a minute on two CPU cores, where pairs of characters have 2.473
         (one run, seed 0)
"""

import math
from dataclasses import dataclass
from typing import Literal

import keras

import tfdl
from tfdl.data import text
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a language model on characters."""

    data: str = "tiny_shakespeare"
    """tiny_shakespeare or another tensorflow_datasets name, a text file, a folder of *.txt, or descriptions"""
    variant: Literal["nano", "vanilla_characters", "lstm_characters", "gru_characters"] = "vanilla_characters"
    """row of the model's VARIANTS: tfdl show rnn"""
    length: int = 64
    """characters in a block, which gradients go back through"""
    batch_size: int = 32
    """blocks per update, over all devices"""
    learning_rate: float = 0.004
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    clipnorm: float = 1.0
    """largest norm of the gradients together: steep places of recurrent networks throw weights far off"""
    epochs: int = 1
    """passes over the training text"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.variant}")

    # Data
    data = text.load(config.data, length=config.length, batch_size=config.batch_size, run=run)

    # Model
    with run.scope():
        model = tfdl.build("rnn", config.variant, vocabulary_size=len(data.tokenizer), length=config.length)
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate, global_clipnorm=config.clipnorm),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=text.PADDING),
        )

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs)

    # Evaluate: nats per character, and among how many equally likely ones that is
    metrics = run.evaluate(model, data, "validation") | run.evaluate(model, data)
    metrics["test_perplexity"] = math.exp(metrics["test_loss"])
    for split in ("validation", "test"):
        metrics[f"{split}_loss/pairs"] = data.bigram_nats(split)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
