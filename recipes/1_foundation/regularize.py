"""Regularize a network that is far too large for its few examples, by dropout, weight decay and early stopping.

Stage 1 (foundation) - Srivastava et al. 2014, JMLR 15; Loshchilov and Hutter 2019, arXiv:1711.05101; Prechelt 1998
Run:     tfdl run regularize
Expect:  test cross-entropy 0.42 without, 0.40 dropout, 0.39 L2, 0.35 decay, 0.37 early stopping (seed 0)
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.figures.groups import grouped_bars
from tfdl.losses.classification import CrossEntropy, cross_entropy
from tfdl.models.foundation.mlp import MLPConfig, mlp


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare ways to regularize."""

    data: str = "digits"
    """a set of ten classes: digits, mnist, fashion_mnist"""
    fraction: float = 0.2
    """of the training images that are kept"""
    dropout: float = 0.5
    """of hidden units that are dropped"""
    input_dropout: float = 0.2
    """of pixels that are dropped"""
    l2: float = 1e-3
    """factor of the sum of squared weights in the loss"""
    weight_decay: float = 0.5
    """decoupled from the gradient, as in AdamW"""
    patience: int = 10
    """epochs without a lower validation loss, after which early stopping ends"""
    batch_size: int = 32
    """images per update"""
    learning_rate: float = 1e-3
    """AdamW's"""
    epochs: int = 40
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_regularized")

    # Data
    keep = dict.fromkeys(range(10), config.fraction)
    data = images.load(config.data, batch_size=config.batch_size, keep=keep, run=run)

    # Train: to the end and not to the best epoch, but for early stopping
    def compiled(weight_decay=0.0, **options):
        network = MLPConfig(hidden=(512,) * 3, **options)
        model = mlp(network, image_shape=data.image_shape, num_classes=10)
        optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay)
        model.compile(optimizer, CrossEntropy(), metrics=["accuracy", cross_entropy])
        return model

    models = {
        "none": compiled,
        "dropout": partial(compiled, dropout=config.dropout, input_dropout=config.input_dropout),
        "l2": partial(compiled, l2=config.l2),
        "decay": partial(compiled, weight_decay=config.weight_decay),
    }
    results = run.compare(data, models, epochs=config.epochs, monitor="loss")
    stopped = {"early_stopping": compiled}
    results |= run.compare(data, stopped, epochs=config.epochs, patience=config.patience)

    # Evaluate, each time on the same training images
    metrics, gap = {}, {"training": [], "test": []}
    for name, result in results.items():
        run.position.assign((0, 0))
        train = run.evaluate(result.model, data, split="train")
        test = run.evaluate(result.model, data)
        gap["training"].append(train["train_cross_entropy"])
        gap["test"].append(test["test_cross_entropy"])
        metrics[f"test_cross_entropy/{name}"] = test["test_cross_entropy"]
        metrics[f"test_error/{name}"] = 1 - test["test_accuracy"]

    # Figures
    losses = {name: result.series("val_cross_entropy") for name, result in results.items()}
    title = "Without regularization the validation loss rises again"
    figure = curves(losses, x_label="epoch", y_label="validation cross-entropy (nats)", log_y=True, title=title)
    run.show("validation", figure)
    title = "The gap between training and test"
    run.show("gap", grouped_bars(gap, list(results), y_label="cross-entropy (nats)", title=title))
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
