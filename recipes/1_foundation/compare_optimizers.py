"""Optimization paths of the update rules on three classic surfaces, and the same small convnet trained with each rule.

Stage 1 (foundation) - Adam and its comparison: Kingma & Ba 2015, arXiv:1412.6980, section 6.3 and Fig. 3
Run:     tfdl run compare_optimizers
Expect:  training loss on digits after 15 epochs 0.008 with Adam and 0.026 with AdaGrad (seed 0)
"""

from dataclasses import dataclass
from functools import partial

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.figures.surfaces import heights, surface
from tfdl.foundations.calculus import SURFACES
from tfdl.foundations.optimizers import SGD, AdaGrad, Adam, AdamW, RMSprop, descend
from tfdl.losses.classification import CrossEntropy
from tfdl.models.foundation.convolutional_topology import convolutional_topology
from tfdl.train.optimizers import RuleOptimizer

# Update rules and learning rates, the best of a coarse search on digits.
RULES = {
    "sgd": (SGD(), 0.3),
    "momentum": (SGD(momentum=0.9), 0.1),
    "nesterov": (SGD(momentum=0.9, nesterov=True), 0.1),
    "adagrad": (AdaGrad(), 0.3),
    "rmsprop": (RMSprop(), 0.01),
    "adam": (Adam(), 0.01),
    "adamw": (AdamW(), 0.01),
}
# Surface: number of updates, learning rate of SGD with or without momentum, learning rate of the others.
PATHS = {
    "rosenbrock": (400, 1e-3, 0.05),
    "ravine": (60, 0.03, 0.2),
    "saddle": (60, 0.05, 0.1),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare optimizers."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    batch_size: int = 128
    """images per update"""
    epochs: int = 15
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_optimizers")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Surfaces; AdamW is left out, as its path is nearly Adam's
    for name, (steps, slow, fast) in PATHS.items():
        place, paths = SURFACES[name], {}
        for rule_name, (rule, _) in RULES.items():
            if rule_name != "adamw":
                learning_rate = slow if isinstance(rule, SGD) else fast
                paths[rule_name] = descend(rule, place.gradient, place.start, rate=learning_rate, steps=steps)
        run.show(f"paths_{name}", surface(place.function, paths, **place.picture, title=f"{name}, {steps} updates"))
        run.show(f"heights_{name}", heights(place.function, paths, minima=place.minima, title=name))

    # Train
    def compiled(rule, learning_rate):
        model = convolutional_topology(image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile(RuleOptimizer(rule, learning_rate), CrossEntropy(), metrics=["accuracy"])
        return model

    models = {name: partial(compiled, *choice) for name, choice in RULES.items()}
    results = run.compare(data, models, epochs=config.epochs)

    # Figures; the metrics are called training cost, as in the paper
    losses = {name: result.series("loss") for name, result in results.items()}
    title = "Training loss by optimizer"
    run.show("training_loss", curves(losses, x_label="epoch", y_label="loss (nats)", log_y=True, title=title))
    return run.finish(None, {f"training_cost/{name}": loss[-1] for name, loss in losses.items()})


if __name__ == "__main__":
    tfdl.launch(main, Config)
