"""How initializations preserve activations and gradients through thirty layers, and which let the network learn.

Stage 1 (foundation) - Glorot and Bengio 2010; He et al. 2015, arXiv:1502.01852, section 2.2; Saxe et al. 2014
Run:     tfdl run initialize
Expect:  He's variance keeps ReLU's signal, Glorot's reduces it to 1.6e-9: test accuracy 0.92 and 0.10 (zeros: 0.10);
         in 1 minute on two CPU cores (seed 0)
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curve_panels, curves
from tfdl.foundations.initialization import ACTIVATIONS, deep_network, jacobian_singular_values, propagate
from tfdl.models.foundation.mlp import MLPConfig, mlp

# Schemes, and factors on their standard deviation: the published one, and ones that are wrong on purpose.
SCHEMES = [("he", 1.5), ("he", 1.0), ("he", 0.5), ("orthogonal", 1.41), ("glorot", 1.0)]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare initializations."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    layers: int = 30
    """hidden layers of the network that is trained"""
    width: int = 128
    """units of each"""
    batch_size: int = 32
    """images per update"""
    learning_rate: float = 0.01
    """of plain SGD, as Adam's steps do not shrink with the gradient and would hide a bad initialization"""
    epochs: int = 20
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_initialization")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Propagate random signals forward and gradients backward
    metrics, signals, gradients = {}, {}, {}
    for activation in ACTIVATIONS:
        signals[activation], gradients[activation] = {}, {}
        for scheme, gain in SCHEMES:
            found = propagate(deep_network(scheme, gain=gain, seed=run.seed), activation)
            signals[activation][f"{scheme} × {gain}"] = found.signal[1:]
            gradients[activation][f"{scheme} × {gain}"] = found.gradient[1:]
            if activation == "relu":
                metrics[f"{scheme}_x{gain}_signal_kept_by_relu"] = found.signal[-1]
    for part, panels in (("signal", signals), ("gradient", gradients)):
        figure = curve_panels(
            panels,
            x_label="layer",
            y_label="second moment",
            log_y=True,
            title=f"The {part} through 30 layers",
        )
        run.show(part, figure)
    spread = {}
    for scheme in ("orthogonal", "lecun"):
        spread[scheme] = jacobian_singular_values(deep_network(scheme, seed=run.seed), "linear")[0]
    title = "Orthogonal layers stretch all directions equally"
    figure = curves(spread, x_label="direction", y_label="singular value of 30 linear layers", log_y=True, title=title)
    run.show("singular_values", figure)

    # Train; with zeros all units of a layer stay equal, and with ReLU all gradients are zero
    def compiled(initializer, activation):
        network = MLPConfig(hidden=(config.width,) * config.layers, activation=activation, initializer=initializer)
        model = mlp(network, image_shape=data.image_shape, num_classes=data.num_classes)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(config.learning_rate), loss, metrics=["accuracy"])
        return model

    models = {
        "he_relu": partial(compiled, "he_normal", "relu"),
        "glorot_relu": partial(compiled, "glorot_normal", "relu"),
        "glorot_tanh": partial(compiled, "glorot_normal", "tanh"),
        "zeros_relu": partial(compiled, "zeros", "relu"),
    }
    results = run.compare(data, models, epochs=config.epochs)

    # Figures
    losses = {name.replace("_", ", "): result.series("loss") for name, result in results.items()}
    title = f"{config.layers} layers of ReLU need He's initialization"
    run.show("training", curves(losses, x_label="epoch", y_label="training loss (nats)", title=title))
    for name, result in results.items():
        metrics[f"{name}_test_accuracy"] = result.metrics["test_accuracy"]
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
