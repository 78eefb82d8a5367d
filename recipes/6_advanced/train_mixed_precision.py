"""The same network in float32, bfloat16 and float16: equal accuracy, and loss scaling against underflow in float16.

Stage 6 (advanced) - Micikevicius et al. 2018, arXiv:1710.03740
Run:     tfdl run train_mixed_precision --data mnist --epochs 3
Expect:  test accuracy 0.985 float32, 0.987 bfloat16, 0.986 float16: 0.14 points apart in 3 minutes (seed 0)
"""

import warnings
from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.losses.classification import CrossEntropy
from tfdl.train.precision import PRECISIONS, set_precision


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare number formats."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, fashion_mnist ...), or a folder of class sub-folders"""
    model: str = "lenet"
    """key of an image classifier: tfdl list --stage 2"""
    variant: str = "lenet5"
    """row of the model's VARIANTS: tfdl show MODEL"""
    image_size: int = 32
    """side of the images in pixels"""
    batch_size: int = 64
    """images per update"""
    learning_rate: float = 1e-3
    """of Adam"""
    growth_steps: int = 50
    """finite updates after which float16's loss scale doubles; Keras's 2,000 are too many for a short run"""
    epochs: int = 15
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_mixed_precision")
    data = images.load(config.data, batch_size=config.batch_size, image_size=config.image_size, run=run)

    # Train
    def compiled(precision):
        with warnings.catch_warnings(action="ignore"):  # float16 is slow on a CPU, which is expected here
            set_precision(precision)
        model = tfdl.build(config.model, config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
        optimizer = keras.optimizers.Adam(config.learning_rate)
        if precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, dynamic_growth_steps=config.growth_steps)
        model.compile(optimizer, CrossEntropy(), metrics=["accuracy"])
        return model

    models = {precision: partial(compiled, precision) for precision in PRECISIONS}
    results = run.compare(data, models, epochs=config.epochs)

    # Figures
    losses = {name: result.series("loss") for name, result in results.items()}
    title = "The training loss is the same in three number formats"
    run.show("training_loss", curves(losses, x_label="epoch", y_label="loss (nats)", log_y=True, title=title))
    scale = results["mixed_float16"].series("loss_scale")
    title = "The loss scale of float16 grows until gradients overflow"
    run.show("loss_scale", curves({"float16": scale}, x_label="epoch", y_label="loss scale", log_y=True, title=title))

    # Results
    accuracies = {f"test_accuracy/{name}": result.metrics["test_accuracy"] for name, result in results.items()}
    spread = 100 * (max(accuracies.values()) - min(accuracies.values()))
    return run.finish(None, accuracies | {"spread_in_points": spread, "last_loss_scale": scale[-1]})


if __name__ == "__main__":
    tfdl.launch(main, Config)
