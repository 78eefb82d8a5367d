"""Train one network on images that never come twice alike: shifted, changed at random, blended and pasted together.

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
from tfdl.train.command_line import launch
from tfdl.train.compare import compare

CHANGES = {"none": {}, "shift": dict(augment=augment.random_shift(1)),
           "rand_augment": dict(augment=augment.rand_augment(operations=2, magnitude=5)),
           "mixup": dict(mix=mixing.mixup(alpha=0.4)), "cutmix": dict(mix=mixing.cutmix(alpha=1.0))}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "mnist"  # or another set of ten classes: digits, fashion_mnist
    share: float = 0.01  # of the training images that is kept
    epochs: int = 25
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_augmented")

    # data
    keep = dict.fromkeys(range(10), config.share)
    same = dict(batch_size=32, seed=run.seed, position=run.position, limit=run.limit, keep=keep)
    data = {name: images.load(config.data, **same, **change) for name, change in CHANGES.items()}
    rows = np.concatenate([next(iter(arm.train))[0][:8] for arm in data.values()])
    run.show("images", picture_grid(rows, [text for name in data for text in (name, *[""] * 7)]))

    # train
    def compiled():
        model = mlp("simard_800", image_shape=data["none"].image_shape, num_classes=10)
        model.compile("adam", CrossEntropy(), metrics=["accuracy"])
        return model

    results = compare(run, data, dict.fromkeys(CHANGES, compiled), epochs=run.epochs(config.epochs), monitor="loss")

    # figures
    series = {name: result.series("val_loss") for name, result in results.items()}
    run.show("validation", curves(series, x_label="epoch", y_label="validation cross-entropy (nats)", log_y=True))
    run.show("error", bars({n: 1 - r.metrics["test_accuracy"] for n, r in results.items()}, y_label="test error"))
    return run.finish(None, {f"test_error/{n}": 1 - r.metrics["test_accuracy"] for n, r in results.items()})


if __name__ == "__main__":
    launch(main, Config)
