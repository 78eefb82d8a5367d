"""Fit 200 weights to 20 examples of a linear rule: only weights that decay are right about other examples.

Stage 1 (foundation) - Zhang et al. 2023, "Dive into Deep Learning", section 3.7; Krogh and Hertz 1991, NIPS 4
Run:     tfdl run decay_weights
Expect:  mean squared error of new examples 205 without decay, 0.18 with it; of the training set 0 and 0.0004
"""

from dataclasses import dataclass

import keras
import numpy as np

import tfdl
from tfdl.figures.curves import curves
from tfdl.train.command_line import launch

INPUTS, TRAIN, TEST, RATE = 200, 20, 100, 0.003


@dataclass(frozen=True, kw_only=True)
class Config:
    decay: float = 3.0  # share of each weight that a step takes away, divided by the rate
    epochs: int = 100
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="weight_decay")

    # data
    rng = np.random.default_rng(run.seed)
    x = rng.normal(size=(TRAIN + TEST, INPUTS)).astype("float32")
    y = (0.05 + 0.01 * x.sum(1, keepdims=True) + rng.normal(0.0, 0.01, (TRAIN + TEST, 1))).astype("float32")
    new = (x[TRAIN:], y[TRAIN:])

    # train
    series, metrics = {}, {}
    for decay in (0.0, config.decay):
        start = keras.initializers.RandomNormal(stddev=1.0, seed=run.seed)
        model = keras.Sequential([keras.Input((INPUTS,)), keras.layers.Dense(1, kernel_initializer=start)])
        model.compile(keras.optimizers.SGD(RATE, weight_decay=decay), "mse")
        history = model.fit(x[:TRAIN], y[:TRAIN], batch_size=5, epochs=run.epochs(config.epochs), validation_data=new,
                            verbose=0).history  # fmt: skip
        for split, key in (("training", "loss"), ("test", "val_loss")):
            series[f"{split}, decay {decay:g}"] = history[key]
            metrics[f"{split}_error/decay_{decay:g}"] = history[key][-1]
            run.curve(f"{split}_error/decay_{decay:g}", history[key])

    # figures
    run.show("errors", curves(series, x_label="epoch", y_label="mean squared error", log_y=True))
    return run.finish(None, metrics)


if __name__ == "__main__":
    launch(main, Config)
