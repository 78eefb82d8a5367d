"""Draw the learning-rate schedules, then train the same perceptron with each of them.

Stage 1 (foundation) - cosine and restarts: Loshchilov & Hutter 2017, arXiv:1608.03983; warm-up: arXiv:1706.02677
Run:     tfdl run schedule_learning_rate
Expect:  test error on digits 0.068 with a constant learning rate, 0.031 with a cosine, 0.023 with restarts (seed 0)
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.losses.classification import CrossEntropy
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.train.schedules import CosineRestarts, WarmUp, cosine, rates, step_decay

NETWORK = MLPConfig(hidden=(256,), dropout=0.5, input_dropout=0.2)  # a smaller learning rate averages dropout's noise


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare learning-rate schedules."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    batch_size: int = 64
    """images per update"""
    learning_rate: float = 0.3
    """largest value of every schedule, too large for a constant one; SGD with momentum 0.9"""
    epochs: int = 21
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_schedules")

    # Data
    data = images.load(config.data, batch_size=config.batch_size, run=run)

    # Schedules
    peak, updates = config.learning_rate, run.updates(data, config.epochs)
    warm_up = max(1, updates // 20)
    schedules = {
        "constant": peak,
        "step": step_decay(peak, max(1, updates // 3)),
        "cosine": cosine(peak, updates),
        "restarts": CosineRestarts(peak, max(1, updates // 7), growth=2),
        "warm-up": WarmUp(cosine(peak, max(1, updates - warm_up)), warm_up),
    }
    values = {name: rates(schedule, updates) for name, schedule in schedules.items()}
    run.show("rates", curves(values, x_label="update", y_label="learning rate", title="Learning-rate schedules"))

    # Train
    def compiled(schedule):
        model = mlp(NETWORK, image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile(keras.optimizers.SGD(schedule, momentum=0.9), CrossEntropy(), metrics=["accuracy"])
        return model

    models = {name: partial(compiled, schedule) for name, schedule in schedules.items()}
    results = run.compare(data, models, epochs=config.epochs)

    # Figures and results; the loss is that of the last epoch, not the best
    losses = {name: result.series("val_loss") for name, result in results.items()}
    title = "Decreasing learning rates reach a lower loss"
    run.show("validation_loss", curves(losses, x_label="epoch", y_label="validation loss (nats)", title=title))
    metrics = {f"validation_loss/{name}": loss[-1] for name, loss in losses.items()}
    for name, result in results.items():
        metrics[f"test_error/{name}"] = 1 - result.metrics["test_accuracy"]
    return run.finish(None, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
