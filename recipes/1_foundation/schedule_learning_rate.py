"""Draw the learning-rate schedules, then train the same perceptron with each of them.

Stage 1 (foundation) - cosine and restarts: Loshchilov & Hutter 2017, arXiv:1608.03983; warm-up: arXiv:1706.02677
Run:     tfdl run schedule_learning_rate
Expect:  test error on digits 0.068 with a constant rate, 0.031 with a cosine, 0.023 with restarts (seed 0)
"""

from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.losses.classification import CrossEntropy
from tfdl.models.foundation.mlp import MLPConfig, mlp
from tfdl.train.command_line import launch
from tfdl.train.compare import compare
from tfdl.train.schedules import CosineRestarts, WarmUp, cosine, rates, step_decay

NETWORK = MLPConfig(hidden=(256,), dropout=0.5, input_dropout=0.2)  # dropout's noise is what a smaller rate averages


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    epochs: int = 21
    rate: float = 0.3  # of SGD with momentum 0.9: more than a constant rate bears
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run, rate = config.run.start(config, name=f"{config.data}_schedules"), config.rate
    data = images.load(config.data, batch_size=64, seed=run.seed, position=run.position, limit=run.limit)

    # schedules
    updates = (epochs := run.epochs(config.epochs)) * len(data.train)
    warm, third, seventh = (max(1, updates // n) for n in (20, 3, 7))
    schedules = {"constant": rate, "step": step_decay(rate, third), "cosine": cosine(rate, updates),
                 "restarts": CosineRestarts(rate, seventh, growth=2),
                 "warm-up": WarmUp(cosine(rate, max(1, updates - warm)), warm)}  # fmt: skip
    values = {name: rates(schedule, updates) for name, schedule in schedules.items()}
    run.show("rates", curves(values, x_label="update", y_label="learning rate"))

    # train
    def compiled(schedule):
        model = mlp(NETWORK, image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile(keras.optimizers.SGD(schedule, momentum=0.9), CrossEntropy(), metrics=["accuracy"])
        return model

    arms = {name: lambda schedule=schedule: compiled(schedule) for name, schedule in schedules.items()}
    results = compare(run, data, arms, epochs=epochs)
    losses = {name: result.series("val_loss") for name, result in results.items()}
    run.show("validation_loss", curves(losses, x_label="epoch", y_label="validation loss (nats)"))
    metrics = {f"validation_loss/{name}": loss[-1] for name, loss in losses.items()}  # of the last epoch, not the best
    return run.finish(None, metrics | {f"test_error/{k}": 1 - r.metrics["test_accuracy"] for k, r in results.items()})


if __name__ == "__main__":
    launch(main, Config)
