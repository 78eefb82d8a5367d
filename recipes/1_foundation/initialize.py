"""Thirty layers: which first weights let signals up and gradients down, and which let the network learn at all.

Stage 1 (foundation) - Glorot and Bengio 2010; He et al. 2015, arXiv:1502.01852, section 2.2; Saxe et al. 2014
Run:     tfdl run initialize
Expect:  He's variance keeps ReLU's signal, Glorot's leaves 1.6e-9 of it: test accuracy 0.92 against 0.10, 2 minutes
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.foundations.initialization import ACTIVATIONS, deep_network, jacobian_singular_values, propagate
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.train.command_line import launch
from tfdl.train.compare import compare

SCHEMES = (("he", 1.5), ("he", 1.0), ("he", 0.5), ("orthogonal", 1.41), ("glorot", 1.0))  # and gains


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    epochs: int = 20
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_initialization")
    # data
    data = images.load(config.data, batch_size=32, seed=run.seed, position=run.position, limit=run.limit)
    # compute
    found = {(a, s, g): propagate(deep_network(s, gain=g, seed=run.seed), a) for s, g in SCHEMES for a in ACTIVATIONS}
    metrics = {f"{s}_x{g}_signal_kept_by_relu": found["relu", s, g].signal[-1] for s, g in SCHEMES}
    for a, part in ((a, part) for a in ACTIVATIONS for part in ("signal", "gradient")):
        series = {f"{s} × {g}": getattr(p, part)[1:] for (b, s, g), p in found.items() if b == a}
        run.show(f"{a}_{part}", curves(series, x_label="layer", y_label=f"second moment of {part}", log_y=True))
    spread = {s: jacobian_singular_values(deep_network(s, seed=run.seed), "linear")[0] for s in ("orthogonal", "lecun")}
    run.show("singular_values", curves(spread, x_label="direction", y_label="stretch by 30 linear layers", log_y=True))

    # train: by plain SGD, as Adam's steps do not shrink with the gradient and would hide a bad start
    def compiled(scheme, activation):
        layers = MLPConfig(hidden=(128,) * 30, activation=activation, initializer=f"{scheme}_normal")
        model = mlp(layers, image_shape=data.image_shape, num_classes=data.num_classes)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss, metrics=["accuracy"])
        return model

    arms = {f"{s}_{a}": partial(compiled, s, a) for s, a in (("he", "relu"), ("glorot", "relu"), ("glorot", "tanh"))}
    results = compare(run, data, arms, epochs=run.epochs(config.epochs))
    losses = {name: result.series("loss") for name, result in results.items()}
    run.show("training", curves(losses, x_label="epoch", y_label="training loss (nats)"))
    return run.finish(None, metrics | {f"{n}_test_accuracy": r.metrics["test_accuracy"] for n, r in results.items()})


if __name__ == "__main__":
    launch(main, Config)
