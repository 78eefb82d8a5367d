"""Three topologies with the same number of weights on one task: fully connected, convolutional, recurrent over rows.

Stage 1 (foundation) - LeCun et al. 1998, Proc. IEEE 86(11), section III; Elman 1990, Cognitive Science 14(2)
Run:     tfdl run compare_topologies
Expect:  test accuracy 0.953 fully connected, 0.974 recurrent, 0.990 convolutional (one seed)
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import bars, curves
from tfdl.models.foundation.convolutional_topology import convolutional_topology
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.models.foundation.recurrent_topology import recurrent_topology


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare topologies of 25,000 weights each (on 28x28 pixels)."""

    data: str = "mnist"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    batch_size: int = 64
    """images per update"""
    learning_rate: float = 2e-3
    """of Adam, decreasing to 0 along a cosine"""
    epochs: int = 4
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_topologies")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Train
    def compiled(build, variant):
        model = build(variant, image_shape=data.image_shape, num_classes=data.num_classes)
        learning_rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, run.updates(data, config.epochs))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
        return model

    models = {
        "fully_connected": partial(compiled, mlp, MLPConfig(hidden=(32,))),
        "convolutional": partial(compiled, convolutional_topology, "small"),
        "recurrent": partial(compiled, recurrent_topology, "small"),
    }
    results = run.compare(data, models, epochs=config.epochs)

    # Figures
    losses = {name: result.series("val_loss") for name, result in results.items()}
    title = "Topologies made for images learn faster"
    figure = curves(losses, x_label="epoch", y_label="validation cross-entropy (nats)", log_y=True, title=title)
    run.show("loss", figure)
    errors = {name: 100 * (1 - result.metrics["test_accuracy"]) for name, result in results.items()}
    run.show("errors", bars(errors, y_label="test error (%)", title="Test error by topology"))
    metrics = {}
    for name, result in results.items():
        metrics[f"{name}_test_accuracy"] = result.metrics["test_accuracy"]
        metrics[f"{name}_parameters"] = result.model.count_params()
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
