"""Train fifty layers with and without shortcuts: plain, residual and highway networks of equal size.

Stage 1 (foundation) - Srivastava et al. 2015, arXiv:1505.00387, Fig. 1 and 2
Run:     tfdl run train_highway
Expect:  test accuracy 0.11 plain, 0.965 highway, 0.967 residual, in 1 minute on two CPU cores (seed 0)
"""

from dataclasses import dataclass, replace
from functools import partial

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.figures.maps import unit_map
from tfdl.models.foundation.highway import VARIANTS, gate_activity, highway


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare plain, residual and highway networks."""

    data: str = "mnist"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    depth: int = 50
    """hidden layers"""
    shallow: int = 10
    """hidden layers of a plain network that still learns"""
    batch_size: int = 128
    """images per update"""
    learning_rate: float = 0.2
    """initial value of the cosine schedule, for SGD with momentum 0.9 and gradients clipped to norm 1"""
    epochs: int = 2
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_highway_{config.depth}")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Train
    def compiled(kind, depth):
        network = replace(VARIANTS[f"{kind}_50"], depth=depth)
        model = highway(network, image_shape=data.image_shape, num_classes=data.num_classes)
        learning_rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.SGD(learning_rate, momentum=0.9, global_clipnorm=1.0),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    models = {f"plain_{config.shallow}": partial(compiled, "plain", config.shallow)}
    for kind in ("plain", "residual", "highway"):
        models[kind] = partial(compiled, kind, config.depth)
    results = run.compare(data, models, epochs=config.epochs)

    # Figures
    losses = {name: result.series("loss") for name, result in results.items()}
    title = f"With shortcuts {config.depth} layers can be trained"
    run.show("training_loss", curves(losses, x_label="epoch", y_label="loss (nats)", log_y=True, title=title))
    activity = gate_activity(results["highway"].model, data.validation).mean(0)  # (layers, units)
    figure = unit_map(
        activity,
        x_label="unit",
        y_label="highway layer",
        label="mean of the gate: 0 carries, 1 transforms",
        title="Most gates carry their input through",
    )
    run.show("gates", figure)
    return run.finish(
        None, {f"{name}_test_accuracy": result.metrics["test_accuracy"] for name, result in results.items()}
    )


if __name__ == "__main__":
    tfdl.launch(main, Config)
