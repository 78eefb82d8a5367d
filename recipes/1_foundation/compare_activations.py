"""Eight activation functions in one network: the functions, their derivatives, and what each one learns.

Stage 1 (foundation) - GELU's MNIST experiment: Hendrycks & Gimpel 2016, arXiv:1606.08415, section 3.1
Run:     tfdl run compare_activations
Expect:  test accuracy 0.96 with ReLU or tanh, 0.95 with a linear network, 0.75 with sigmoids (one seed)
"""

from dataclasses import dataclass
from functools import partial

import keras
import numpy as np

import tfdl
from tfdl.data import images
from tfdl.figures.curves import bars, curve_panels, curves
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.ops.activations import ACTIVATIONS


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare activation functions."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    layers: int = 4
    """hidden layers"""
    width: int = 64
    """units of each hidden layer"""
    batch_size: int = 64
    """images per update"""
    learning_rate: float = 1e-3
    """of Adam"""
    epochs: int = 20
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_activations")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Train
    def compiled(activation):
        network = MLPConfig(hidden=(config.width,) * config.layers, activation=activation, initializer="glorot_uniform")
        model = mlp(network, image_shape=data.image_shape, num_classes=data.num_classes)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(config.learning_rate), loss, metrics=["accuracy"])
        return model

    models = {activation: partial(compiled, activation) for activation in ACTIVATIONS}
    results = run.compare(data, models, epochs=config.epochs)

    # Figures
    x = np.linspace(-4, 4, 801, dtype="float32")
    panels = {}
    for name, function in ACTIVATIONS.items():
        y = keras.ops.convert_to_numpy(function(x))
        panels[name] = {"f(x)": (x, y), "f'(x)": (x, np.gradient(y, x))}
    figure = curve_panels(
        panels, x_label="x", y_label="", columns=4, y_range=(-1.2, 2.2), title="Activation functions and derivatives"
    )
    run.show("activations", figure)
    losses = {name: result.series("loss") for name, result in results.items()}
    title = f"Training with {config.layers} hidden layers"
    run.show("training_loss", curves(losses, x_label="epoch", y_label="loss (nats)", log_y=True, title=title))
    accuracy = {name: result.metrics["test_accuracy"] for name, result in results.items()}
    ranking = dict(sorted(accuracy.items(), key=lambda row: -row[1]))
    run.show("ranking", bars(ranking, y_label="test accuracy", title="Test accuracy by activation"))
    return run.finish(None, {f"{name}_test_accuracy": value for name, value in accuracy.items()})


if __name__ == "__main__":
    tfdl.launch(main, Config)
