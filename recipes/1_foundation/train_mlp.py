"""Train a multi-layer perceptron on handwritten digits, show the weights of its first layer, and export it.

Stage 1 (foundation) - Rumelhart et al. 1986, Nature 323; 800 hidden units: Simard et al. 2003, ICDAR (1.6 % error)
Run:     tfdl run train_mlp
Expect:  test error 0.0162 on MNIST in 2 minutes on two CPU cores (seeds 1, 2; --variant simard_800: 0.0174)
"""

from dataclasses import dataclass

import keras
import numpy as np

import tfdl
from tfdl.data import images
from tfdl.figures.pictures import picture_grid
from tfdl.models.foundation.mlp import mlp


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a multi-layer perceptron."""

    data: str = "mnist"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    variant: str = "simard_800_dropout"
    """row of VARIANTS: tfdl show mlp"""
    batch_size: int = 128
    """images per update"""
    learning_rate: float = 1e-3
    """initial value of the cosine schedule"""
    weight_decay: float = 0.1
    """decoupled from the gradient, as in AdamW"""
    epochs: int = 20
    """passes over the training images"""
    patience: int | None = None
    """stop after so many epochs without a lower validation loss; default: train to the end"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_mlp")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Model
    with run.scope():
        model = mlp(config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
        updates = run.updates(data, config.epochs)
        learning_rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, updates)
        model.compile(
            optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

    # Train and evaluate
    run.fit(model, data, epochs=config.epochs, patience=config.patience)
    metrics = run.evaluate(model, data)
    metrics["test_error"] = 1 - metrics["test_accuracy"]

    # Figures: the weights of 48 hidden units as images
    kernel = model.get_layer("hidden0").get_weights()[0]  # (pixels, units)
    weights = kernel.T[:48].reshape(-1, *data.image_shape)
    gray = 0.5 + 0.5 * weights / np.abs(weights).max((1, 2, 3), keepdims=True)
    run.show("filters", picture_grid(gray, title="Weights of hidden units: black negative, white positive"))

    # Export
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
