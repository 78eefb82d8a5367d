"""Follow the update rules down three classic surfaces, then train the same small convnet with each of them.

Stage 1 (foundation) - Adam and its comparison: Kingma & Ba 2015, arXiv:1412.6980, section 6.3 and Fig. 3
Run:     tfdl run compare_optimizers
Expect:  training cost on digits after 15 epochs 0.008 with Adam and 0.026 with AdaGrad (seed 0)
"""

from dataclasses import dataclass

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.figures.surfaces import heights, surface
from tfdl.foundations.calculus import SURFACES
from tfdl.foundations.optimizers import SGD, AdaGrad, Adam, AdamW, RMSprop, descend
from tfdl.losses.classification import CrossEntropy
from tfdl.models.foundation.convolutional_topology import convolutional_topology
from tfdl.train.command_line import launch
from tfdl.train.compare import compare
from tfdl.train.optimizers import RuleOptimizer

RULES = {"sgd": (SGD(), 0.3), "momentum": (SGD(momentum=0.9), 0.1), "nesterov": (SGD(momentum=0.9, nesterov=True), 0.1),
         "adagrad": (AdaGrad(), 0.3), "rmsprop": (RMSprop(), 0.01), "adam": (Adam(), 0.01),
         "adamw": (AdamW(), 0.01)}  # rates: a coarse search on digits  # fmt: skip
PATHS = {"rosenbrock": (400, 1e-3, 0.05), "ravine": (60, 0.03, 0.2), "saddle": (60, 0.05, 0.1)}  # steps, SGD, others


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    epochs: int = 15
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_optimizers")
    data = images.load(config.data, batch_size=128, seed=run.seed, position=run.position, limit=run.limit)

    # surfaces
    for name, (steps, slow, fast) in PATHS.items():
        place, rates = SURFACES[name], {k: slow if isinstance(rule, SGD) else fast for k, (rule, _) in RULES.items()}
        paths = {k: descend(RULES[k][0], place.gradient, place.start, rate=rates[k], steps=steps) for k in RULES}
        del paths["adamw"]  # without much to decay it hides Adam's
        run.show(f"paths_{name}", surface(place.function, paths, **place.picture, title=f"{name}, {steps} updates"))
        run.show(f"heights_{name}", heights(place.function, paths, minima=place.minima, title=name))

    # train
    def compiled(rule, rate):
        model = convolutional_topology(image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile(RuleOptimizer(rule, rate), CrossEntropy(), metrics=["accuracy"])
        return model

    arms = {k: lambda choice=choice: compiled(*choice) for k, choice in RULES.items()}
    costs = {k: r.series("loss") for k, r in compare(run, data, arms, epochs=run.epochs(config.epochs)).items()}
    run.show("training_cost", curves(costs, x_label="epoch", y_label="training cost (nats)", log_y=True))
    return run.finish(None, {f"training_cost/{k}": cost[-1] for k, cost in costs.items()})


if __name__ == "__main__":
    launch(main, Config)
