"""The same network in float32, bfloat16 and float16: equal accuracy, and the loss scale that keeps float16 from zeros.

Stage 6 (advanced) - Micikevicius et al. 2018, arXiv:1710.03740
Run:     tfdl run train_mixed_precision --data mnist --epochs 3
Expect:  test accuracy 0.985 float32, 0.987 bfloat16, 0.986 float16: 0.14 points apart in 7 minutes (seed 0)
"""

import warnings
from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.losses.classification import CrossEntropy
from tfdl.train.command_line import launch
from tfdl.train.compare import compare
from tfdl.train.precision import PRECISIONS, set_precision

GROWTH_STEPS = 50  # Keras doubles the scale every 2,000 finite updates: too rarely to be seen in a short run


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"  # or mnist, fashion_mnist ...
    epochs: int = 15
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_mixed_precision")
    data = images.load(config.data, batch_size=64, image_size=32, seed=run.seed, position=run.position, limit=run.limit)

    # train
    def compiled(precision):
        with warnings.catch_warnings(action="ignore"):  # float16 is slow on a CPU; here that is no news
            set_precision(precision)
        model = tfdl.build("lenet", "lenet5", image_shape=data.image_shape, num_classes=data.num_classes)
        optimizer = keras.optimizers.Adam()
        if precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, dynamic_growth_steps=GROWTH_STEPS)
        model.compile(optimizer, CrossEntropy(), metrics=["accuracy"])
        return model

    arms = {precision: lambda precision=precision: compiled(precision) for precision in PRECISIONS}
    results = compare(run, data, arms, epochs=run.epochs(config.epochs))

    # figures
    costs = {name: result.series("loss") for name, result in results.items()}
    run.show("training_cost", curves(costs, x_label="epoch", y_label="training cost (nats)", log_y=True))
    scale = {"mixed_float16": results["mixed_float16"].series("loss_scale")}
    run.show("loss_scale", curves(scale, x_label="epoch", y_label="loss scale", log_y=True))
    found = {f"test_accuracy/{name}": result.metrics["test_accuracy"] for name, result in results.items()}
    spread = 100 * (max(found.values()) - min(found.values()))
    return run.finish(None, found | {"spread_in_points": spread, "last_loss_scale": scale["mixed_float16"][-1]})


if __name__ == "__main__":
    launch(main, Config)
