"""Three topologies, one task, as many weights each: fully connected, convolutional, recurrent over the rows.

Stage 1 (foundation) - LeCun et al. 1998, Proc. IEEE 86(11), section III; Elman 1990, Cognitive Science 14(2)
Run:     tfdl run compare_topologies
Expect:  test accuracy 0.953 fully connected, 0.978 recurrent, 0.990 convolutional (one seed)
"""

from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import bars, curves
from tfdl.models.foundation.convolutional_topology import convolutional_topology
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.models.foundation.recurrent_topology import recurrent_topology
from tfdl.train.command_line import launch
from tfdl.train.compare import compare


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "mnist"  # or digits, fashion_mnist ...; the three have 25,000 weights each on 28x28 pixels
    epochs: int = 4
    rate: float = 2e-3  # of Adam, falling to 0 along a cosine
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_topologies")
    # data
    data = images.load(config.data, batch_size=64, seed=run.seed, position=run.position, limit=run.limit)
    updates = (epochs := run.epochs(config.epochs)) * len(data.train)

    # train
    def compiled(build, variant):
        model = build(variant, image_shape=data.image_shape, num_classes=data.num_classes)
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(config.rate, updates))
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return model

    arms = {
        "fully_connected": lambda: compiled(mlp, MLPConfig(hidden=(32,))),
        "convolutional": lambda: compiled(convolutional_topology, "small"),
        "recurrent": lambda: compiled(recurrent_topology, "small"),
    }
    results = compare(run, data, arms, epochs=epochs)
    metrics = {f"{name}_test_accuracy": result.metrics["test_accuracy"] for name, result in results.items()}
    metrics |= {f"{name}_parameters": result.model.count_params() for name, result in results.items()}
    # figures
    losses = {name: result.series("val_loss") for name, result in results.items()}
    run.show("loss", curves(losses, x_label="epoch", y_label="validation cross-entropy (nats)", log_y=True))
    errors = {name: 100 * (1 - result.metrics["test_accuracy"]) for name, result in results.items()}
    run.show("errors", bars(errors, y_label="test error (%)"))
    return run.finish(None, metrics)


if __name__ == "__main__":
    launch(main, Config)
