"""Fit a network that has seen other images to a few photographs: its head alone, all of it, or at graded rates.

Stage 2 (vision) - Howard and Ruder 2018, arXiv:1801.06146, section 3.2; Yosinski et al. 2014, arXiv:1411.1792
Run:     tfdl run fine_tune
Expect:  test accuracy 0.763 tuned, 0.739 at graded rates, 0.645 the head alone, 0.699 from scratch (seed 0)
"""

from dataclasses import dataclass
from functools import partial

import tfdl
from tfdl.data import augment, images
from tfdl.figures.curves import curves
from tfdl.interop.weights import is_weights
from tfdl.losses.classification import CrossEntropy
from tfdl.train.command_line import launch
from tfdl.train.compare import compare
from tfdl.train.fine_tuning import discriminative_rates, freeze

FIRST_EPOCHS, EPOCHS, FLIP = 5, 20, augment.random_flip()


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "clothing_small"  # or another image set, or a folder with a folder of images per class
    source: str = "cifar10"  # an image set to learn first; or weights: runs/NAME, LAYOUT:FILE
    model: str = "vgg"  # key of an image classifier: tfdl list --stage 2
    variant: str = "small_images"  # row of the model's VARIANTS: tfdl show vgg
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_{config.variant}_fine_tuned")
    load = partial(images.load, image_size=32, seed=run.seed, position=run.position, augment=FLIP, limit=run.limit)

    # model
    def compiled(data, weights=None, frozen=False, factor=1.0):
        model = tfdl.build(config.model, config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
        model = tfdl.load_weights(model, weights, skip_head=True) if weights else model
        model = freeze(model) if frozen else model
        model.compile("adam", CrossEntropy(), metrics=["accuracy"])
        return discriminative_rates(model, factor=factor)

    # train
    start, data = config.source, load(config.data)
    if not is_weights(start):
        compare(run, first := load(start), {"first": partial(compiled, first)}, epochs=run.epochs(FIRST_EPOCHS))
        start = run.folder / "arms" / "first"
    arms = {"frozen": partial(compiled, data, start, frozen=True), "tuned": partial(compiled, data, start),
            "graded": partial(compiled, data, start, factor=2.6), "scratch": partial(compiled, data)}  # fmt: skip
    results = compare(run, data, arms, epochs=run.epochs(EPOCHS), monitor="val_accuracy")

    # figures
    series = {name: result.series("val_accuracy") for name, result in results.items()}
    run.show("validation", curves(series, x_label="epoch", y_label="validation accuracy"))
    return run.finish(None, {f"test_accuracy/{name}": x.metrics["test_accuracy"] for name, x in results.items()})


if __name__ == "__main__":
    launch(main, Config)
