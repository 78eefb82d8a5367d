"""One network, eight ways to bend a line: the functions, their derivatives, and what each one learns.

Stage 1 (foundation) - GELU's MNIST experiment: Hendrycks & Gimpel 2016, arXiv:1606.08415, section 3.1
Run:     tfdl run compare_activations
Expect:  test accuracy 0.96 with ReLU or tanh, 0.95 with no bend at all, 0.75 with sigmoids (one seed)
"""

from dataclasses import dataclass

import keras
import numpy as np

import tfdl
from tfdl.data import images
from tfdl.figures import curves, style
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.ops.activations import ACTIVATIONS
from tfdl.train.command_line import launch
from tfdl.train.compare import compare


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    layers: int = 4  # hidden, of 64 units each
    epochs: int = 20
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_activations")
    # data
    data = images.load(config.data, batch_size=64, seed=run.seed, position=run.position, limit=run.limit)

    # train
    def compiled(activation):
        c = MLPConfig(hidden=(64,) * config.layers, activation=activation, initializer="glorot_uniform")
        model = mlp(c, image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return model

    results = compare(run, data, {a: lambda a=a: compiled(a) for a in ACTIVATIONS}, epochs=run.epochs(config.epochs))
    accuracy = {name: result.metrics["test_accuracy"] for name, result in results.items()}
    # figures
    x = np.linspace(-4, 4, 801, dtype="float32")
    figure, axes = style.canvas(2, 4, width=2.6, height=2.4, sharex=True, sharey=True)
    for panel, (name, function) in zip(axes.flat, ACTIVATIONS.items()):
        panel.plot(x, y := keras.ops.convert_to_numpy(function(x)), label="f(x)")
        panel.plot(x, np.gradient(y, x), label="f'(x)")
        panel.set(title=name, xlabel="x", ylim=(-1.2, 2.2))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper")
    run.show("activations", figure)
    losses = {name: result.series("loss") for name, result in results.items()}
    run.show("training_loss", curves.curves(losses, x_label="epoch", y_label="training loss (nats)", log_y=True))
    run.show("ranking", curves.bars(dict(sorted(accuracy.items(), key=lambda row: -row[1])), y_label="test accuracy"))
    return run.finish(None, {f"{name}_test_accuracy": value for name, value in accuracy.items()})


if __name__ == "__main__":
    launch(main, Config)
