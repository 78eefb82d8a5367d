"""How many steps does normalization save?  A network of sigmoids with and without it, and group against batch.

Stage 1 (foundation) - Ioffe & Szegedy 2015, arXiv:1502.03167, section 4.1, Fig. 1; Wu & He 2018, arXiv:1803.08494
Run:     tfdl run normalize
Expect:  batch_steps_ratio 0.17: batch normalization passes the plain net's best accuracy in a sixth of its steps
         (seed 0; at --rate 0.5, where the plain net does better, in 0.6)
"""

from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.train.command_line import launch
from tfdl.train.compare import compare


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "mnist"  # or digits, fashion_mnist ...
    batch: int = 60  # the paper's; try 2, where batch statistics are poor
    epochs: int = 12
    rate: float = 0.1  # of plain SGD
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_normalize_batch{config.batch}")
    # data
    data = images.load(config.data, batch_size=config.batch, seed=run.seed, position=run.position, limit=run.limit)

    # train
    def compiled(normalization):
        network = MLPConfig(hidden=(100,) * 3, activation="sigmoid", initializer="random_normal",
                            normalization=normalization, groups=10)  # fmt: skip
        model = mlp(network, image_shape=data.image_shape, num_classes=data.num_classes)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(config.rate), loss, metrics=["accuracy"])
        return model

    kinds = {"plain": None, "batch": "batch", "layer": "layer", "group": "group"}
    arms = {name: lambda kind=kind: compiled(kind) for name, kind in kinds.items()}
    results = compare(run, data, arms, epochs=run.epochs(config.epochs))
    # compute
    accuracy = {name: result.series("val_accuracy") for name, result in results.items()}
    steps, best = results["plain"].series("updates"), accuracy["plain"].max()
    reached = {name: steps[values >= best][:1] for name, values in accuracy.items()}  # the first such step, if any
    metrics = {f"{name}_steps_ratio": at[0] / reached["plain"][0] for name, at in reached.items() if len(at)}
    metrics |= {f"{name}_test_accuracy": result.metrics["test_accuracy"] for name, result in results.items()}
    # figures
    series = {name: (steps, values) for name, values in accuracy.items()}
    run.show("accuracy", curves(series, x_label="step", y_label="validation accuracy"))
    return run.finish(None, metrics)


if __name__ == "__main__":
    launch(main, Config)
