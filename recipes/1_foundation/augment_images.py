"""Train one network with different augmentations: random shifts, RandAugment, mixup and CutMix.

Stage 1 (foundation) - RandAugment arXiv:1909.13719, mixup arXiv:1710.09412, CutMix arXiv:1905.04899
Run:     tfdl run augment_images
Expect:  test error 0.121 without, 0.077 shift, 0.092 RandAugment, 0.131 mixup, 0.121 CutMix (seed 0)
"""

from dataclasses import dataclass

import numpy as np

import tfdl
from tfdl.data import augment, images, mixing
from tfdl.figures.curves import bars, curves
from tfdl.figures.pictures import picture_grid
from tfdl.losses.classification import CrossEntropy
from tfdl.models.foundation.mlp import mlp

SHOWN = 8  # images of each augmentation in the figure


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare augmentations on few images."""

    data: str = "mnist"
    """a data set of ten classes: mnist, digits, fashion_mnist"""
    fraction: float = 0.01
    """of the training images that are kept"""
    shift: int = 1
    """largest shift in pixels"""
    operations: int = 2
    """of RandAugment, one after the other on each image"""
    magnitude: int = 5
    """of RandAugment's operations, 0 to 30"""
    mixup: float = 0.4
    """alpha of mixup: larger values mix two images more evenly"""
    cutmix: float = 1.0
    """alpha of CutMix: 1 makes all areas of the pasted rectangle equally likely"""
    batch_size: int = 32
    """images per update"""
    epochs: int = 25
    """passes over the training images"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_augmented")

    # Data: the same few images with five augmentations
    augmentations = {
        "none": {},
        "shift": {"augment": augment.random_shift(config.shift)},
        "rand_augment": {"augment": augment.rand_augment(config.operations, config.magnitude)},
        "mixup": {"mix": mixing.mixup(alpha=config.mixup)},
        "cutmix": {"mix": mixing.cutmix(alpha=config.cutmix)},
    }
    keep = dict.fromkeys(range(10), config.fraction)
    data = {}
    for name, options in augmentations.items():
        data[name] = images.load(config.data, batch_size=config.batch_size, keep=keep, run=run, **options)
    rows, titles = [], []
    for name, augmented in data.items():
        batch, _ = next(iter(augmented.train))
        rows.append(batch[:SHOWN])
        titles += [name] + [""] * (SHOWN - 1)
    run.show("images", picture_grid(np.concatenate(rows), titles, title="The same images, augmented"))

    # Train
    def compiled():
        model = mlp("simard_800", image_shape=data["none"].image_shape, num_classes=10)
        model.compile("adam", CrossEntropy(), metrics=["accuracy"])
        return model

    results = run.compare(data, dict.fromkeys(augmentations, compiled), epochs=config.epochs, monitor="loss")

    # Figures
    losses = {name: result.series("val_loss") for name, result in results.items()}
    title = "Augmentation against overfitting"
    figure = curves(losses, x_label="epoch", y_label="validation cross-entropy (nats)", log_y=True, title=title)
    run.show("validation", figure)
    errors = {name: 1 - result.metrics["test_accuracy"] for name, result in results.items()}
    run.show("error", bars(errors, y_label="test error", title="Test error by augmentation"))
    return run.finish(None, {f"test_error/{name}": error for name, error in errors.items()})


if __name__ == "__main__":
    tfdl.launch(main, Config)
