"""Train fifty layers with and without a way around them: plain, residual and highway networks of equal size.

Stage 1 (foundation) - Srivastava et al. 2015, arXiv:1505.00387, Fig. 1 and 2
Run:     tfdl run train_highway
Expect:  test accuracy 0.11 plain, 0.965 highway, 0.968 residual, in 2 minutes on two CPU cores (seed 0)
"""

from dataclasses import dataclass, replace

import keras

import tfdl
from tfdl.data import images
from tfdl.figures import curves, style
from tfdl.models.foundation.highway import VARIANTS, gate_activity, highway
from tfdl.train.command_line import launch
from tfdl.train.compare import compare


@dataclass(frozen=True, kw_only=True)
class Config:
    depth: int = 50  # hidden layers
    data: str = "mnist"  # or digits, fashion_mnist ...
    epochs: int = 2
    rate: float = 0.2  # of SGD with momentum 0.9, falling to 0 along a cosine; gradients are clipped to norm 1
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_highway_{config.depth}")
    # data
    data = images.load(config.data, batch_size=128, seed=run.seed, position=run.position, limit=run.limit)
    updates = (epochs := run.epochs(config.epochs)) * len(data.train)

    # train
    def compiled(variant, depth):
        c = replace(VARIANTS[variant], depth=depth)
        model = highway(c, image_shape=data.image_shape, num_classes=data.num_classes)
        rate = keras.optimizers.schedules.CosineDecay(config.rate, updates)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(rate, momentum=0.9, global_clipnorm=1.0), loss, metrics=["accuracy"])
        return model

    arms = {kind: lambda kind=kind: compiled(f"{kind}_50", config.depth) for kind in ("plain", "residual", "highway")}
    results = compare(run, data, {"plain_10": lambda: compiled("plain_50", 10)} | arms, epochs=epochs)
    # figures
    losses = {name: result.series("loss") for name, result in results.items()}
    run.show("training_loss", curves.curves(losses, x_label="epoch", y_label="training loss (nats)", log_y=True))
    activity = gate_activity(results["highway"].model, data.validation).mean(0)  # (layers, units)
    figure, axes = style.canvas(width=5, height=4.5)
    picture = axes.imshow(activity, cmap=style.MAP, vmin=0, aspect="auto")
    figure.colorbar(picture, ax=axes, label="mean of the gate: 0 carries, 1 transforms")
    axes.set(xlabel="unit", ylabel="highway layer, from the input down")
    axes.grid(False)
    run.show("gates", figure)
    return run.finish(None, {f"{name}_test_accuracy": r.metrics["test_accuracy"] for name, r in results.items()})


if __name__ == "__main__":
    launch(main, Config)
