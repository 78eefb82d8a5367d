"""How many steps normalization saves: a network of sigmoids without it, and with batch, layer and group normalization.

Stage 1 (foundation) - Ioffe & Szegedy 2015, arXiv:1502.03167, section 4.1, Fig. 1; Wu & He 2018, arXiv:1803.08494
Run:     tfdl run normalize
Expect:  batch_steps_ratio 0.17: batch normalization reaches the plain network's best accuracy in a sixth of its steps
         (seed 0; with --learning-rate 0.5, which suits the plain network better, in 0.6)
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.models.foundation.mlp import MLPConfig, mlp


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare normalizations."""

    data: str = "mnist"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    batch_size: int = 60
    """images per update, as in the paper; with 2 the statistics of a batch are poor"""
    learning_rate: float = 0.1
    """of plain SGD"""
    epochs: int = 12
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_normalize_batch{config.batch_size}")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Train
    def compiled(normalization):
        network = MLPConfig(
            hidden=(100,) * 3,
            activation="sigmoid",
            initializer="random_normal",
            normalization=normalization,
            groups=10,
        )
        model = mlp(network, image_shape=data.image_shape, num_classes=data.num_classes)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(config.learning_rate), loss, metrics=["accuracy"])
        return model

    kinds = {"plain": None, "batch": "batch", "layer": "layer", "group": "group"}
    models = {name: partial(compiled, kind) for name, kind in kinds.items()}
    results = run.compare(data, models, epochs=config.epochs)

    # Results: the first step at which each reaches the plain network's best accuracy
    accuracy = {name: result.series("val_accuracy") for name, result in results.items()}
    steps, best = results["plain"].series("updates"), accuracy["plain"].max()
    reached = {name: steps[values >= best] for name, values in accuracy.items()}
    metrics = {}
    for name, found in reached.items():
        if len(found):  # otherwise it never did
            metrics[f"{name}_steps_ratio"] = found[0] / reached["plain"][0]
    for name, result in results.items():
        metrics[f"{name}_test_accuracy"] = result.metrics["test_accuracy"]

    # Figures
    series = {name: (steps, values) for name, values in accuracy.items()}
    points = {}
    for name, found in reached.items():
        if len(found):
            points[name] = (found[0], accuracy[name][accuracy[name] >= best][0], f"step {found[0]:.0f}")
    figure = curves(
        series,
        x_label="step",
        y_label="validation accuracy",
        levels={"the plain network's best": best},
        points=points,
        title="Normalized networks need fewer steps",
    )
    run.show("accuracy", figure)
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
