"""Fit 200 weights to 20 examples of a linear rule: only with weight decay do they generalize to other examples.

Stage 1 (foundation) - Zhang et al. 2023, "Dive into Deep Learning", section 3.7; Krogh and Hertz 1991, NIPS 4
Run:     tfdl run decay_weights
Expect:  mean squared error of new examples 205 without decay, 0.18 with it; of the training set 0 and 0.0004
"""

from dataclasses import dataclass

import keras
import numpy as np

import tfdl
from tfdl.figures.curves import curves


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a linear model with and without weight decay."""

    decay: float = 3.0
    """weight decay; each step subtracts this times the learning rate times the weight"""
    inputs: int = 200
    """inputs of the linear rule"""
    samples: int = 20
    """training examples"""
    test_samples: int = 100
    """test examples"""
    batch_size: int = 5
    """examples per update"""
    learning_rate: float = 0.003
    """of plain SGD"""
    epochs: int = 100
    """passes over the training examples"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="weight_decay")

    # Data: y = 0.05 + 0.01 (x_1 + ... + x_n) plus noise
    rng = np.random.default_rng(run.seed)
    count = config.samples + config.test_samples
    x = rng.normal(size=(count, config.inputs)).astype("float32")
    noise = rng.normal(0.0, 0.01, (count, 1))
    y = (0.05 + 0.01 * x.sum(1, keepdims=True) + noise).astype("float32")
    train, test = slice(config.samples), slice(config.samples, None)

    # Train
    series, metrics = {}, {}
    for decay in (0.0, config.decay):
        start = keras.initializers.RandomNormal(stddev=1.0, seed=run.seed)
        model = keras.Sequential([keras.Input((config.inputs,)), keras.layers.Dense(1, kernel_initializer=start)])
        model.compile(keras.optimizers.SGD(config.learning_rate, weight_decay=decay), "mse")
        history = model.fit(
            x[train],
            y[train],
            batch_size=config.batch_size,
            epochs=run.epochs(config.epochs),
            validation_data=(x[test], y[test]),
            verbose=0,
        ).history
        for split, key in (("training", "loss"), ("test", "val_loss")):
            series[f"{split}, decay {decay:g}"] = history[key]
            metrics[f"{split}_error/decay_{decay:g}"] = history[key][-1]
            run.curve(f"{split}_error/decay_{decay:g}", history[key])

    # Figures
    title = "Weight decay generalizes from 20 examples"
    run.show("errors", curves(series, x_label="epoch", y_label="mean squared error", log_y=True, title=title))
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
