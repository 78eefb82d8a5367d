"""The adding problem: a recurrent network keeps two marked numbers of a long sequence until its end, and adds them.

Stage 3 (sequential data) - Hochreiter & Schmidhuber 1997, Neural Computation 9(8), section 5.4; Le et al. 2015,
arXiv:1504.00941, section 4.1
Run:     tfdl run add_numbers
Expect:  test error (mean squared) 0.0006 in 4.7 minutes on two CPU cores that other programs shared; the answer 1 to
         every sequence has 0.172 (one run, seed 0)
"""

from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np

import tfdl
from tfdl.data import adding_problem


@dataclass(frozen=True, kw_only=True)
class Config:
    """Add two numbers that stand far apart."""

    cell: Literal["vanilla", "gru", "lstm"] = "lstm"
    """recurrent cell: a variant of recurrent_regressor, each with 17,000 weights"""
    length: int = 100
    """steps of a sequence"""
    examples: int = 10_000
    """new sequences in each epoch"""
    batch_size: int = 50
    """sequences per update"""
    learning_rate: float = 0.01
    """of Adam; it falls to 0 along a cosine"""
    clipnorm: float = 1.0
    """largest norm of the gradients together: steep places of recurrent networks throw weights far off"""
    epochs: int = 10
    """passes, each over new sequences"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"adding_{config.length}_{config.cell}")

    # Data
    data = adding_problem.load(
        length=config.length,
        batch_size=config.batch_size,
        examples=config.examples,
        run=run,
    )

    # Model; without a loop a step takes half the time, but a long graph takes minutes to build
    with run.scope():
        model = tfdl.build(
            "recurrent_regressor", config.cell, input_shape=(config.length, 2), unroll=config.length <= 200
        )
        learning_rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, run.updates(data, config.epochs))
        model.compile(keras.optimizers.Adam(learning_rate, global_clipnorm=config.clipnorm), loss="mse")

    # Train; the best epoch's weights stay in the model
    run.fit(model, data, epochs=config.epochs)

    # Export for servers and phones, and evaluate: the mean squared error, and that of the answer 1 to every sequence
    metrics = run.evaluate(model, data)
    sums = np.concatenate([sums for _, sums in data.test.as_numpy_iterator()])
    metrics["test_loss/always_1"] = np.square(sums - 1).mean()
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
