"""Backpropagation by hand: a NumPy network whose gradients are checked and which learns digits.

Stage 1 (foundation) - Rumelhart et al. 1986, Nature 323, 533-536
Run:     tfdl run backpropagate
Expect:  test error 0.035 in half a minute; gradients within 2e-9 of central differences
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.figures.pictures import picture_grid
from tfdl.foundations import backpropagation
from tfdl.foundations.backpropagation import ACTIVATIONS, Optimizer, mlp

SHOWN = 32  # hidden units in the figure


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a NumPy network by backpropagation."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    hidden: tuple[int, ...] = (300, 100)
    """units of the hidden layers, as in LeCun et al. 1998 for MNIST"""
    batch_size: int = 32
    """images per update"""
    learning_rate: float = 0.05
    """of gradient descent with momentum 0.9"""
    depth: int = 10
    """hidden layers of the networks whose gradients are compared"""
    epochs: int = 20
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_backpropagation")

    # Data; without the run's position, which only `run.fit` advances, each iteration is the next epoch
    data = images.load(config.data, batch_size=config.batch_size, seed=run.seed, limit=run.limit)
    train, validation = data.train.as_numpy_iterator, data.validation.as_numpy_iterator
    batch = next(train())

    # Model: one network in float64 for the check, the same in float32 for training
    widths = (int(np.prod(data.image_shape)), *config.hidden, data.num_classes)
    untrained = mlp(widths, seed=run.seed, dtype="float64")
    network = mlp(widths, seed=run.seed, dtype="float32")
    metrics = {"gradient_check": backpropagation.gradient_check(untrained, *batch)}

    # Train
    optimizer = Optimizer(network, rate=config.learning_rate)
    history = backpropagation.train(optimizer, train, validation, epochs=run.epochs(config.epochs))
    metrics["test_error"] = backpropagation.error_rate(network, data.test.as_numpy_iterator())

    # How large is the gradient when it reaches the first of many layers?
    sizes = {}
    for activation in ACTIVATIONS:
        deep = mlp((widths[0], *[100] * config.depth, widths[-1]), activation=activation, seed=run.seed)
        deep.loss(*batch)
        sizes[activation] = backpropagation.gradient_sizes(deep)
        metrics[f"{activation}_gradient_first_over_last"] = sizes[activation][0] / sizes[activation][-1]

    # Figures
    series = {"training loss (nats)": history.losses, "validation error (fraction)": history.errors}
    for name, values in series.items():
        run.curve(name, values)
    for layer, values in enumerate(history.gradients.T, start=1):
        run.curve(f"gradient of layer {layer}", values)
    title = "A NumPy network learns"
    run.show("learning", curves(series, x_label="epoch", y_label="loss, error", log_y=True, title=title))
    title = "The gradient vanishes in layers with sigmoids"
    figure = curves(sizes, x_label="layer", y_label="gradient (root mean square)", log_y=True, title=title)
    run.show("gradients", figure)
    change = (network.parameters[0] - untrained.parameters[0]).T  # (units, pixels)
    most_changed = np.abs(change).max(axis=1).argsort()[::-1][:SHOWN]
    change = change[most_changed].reshape(-1, *data.image_shape)
    change = 0.5 + change / (2 * np.abs(change).max(axis=(1, 2, 3), keepdims=True))
    run.show("learned", picture_grid(change, title=f"What training added to the {SHOWN} units that changed most"))
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
