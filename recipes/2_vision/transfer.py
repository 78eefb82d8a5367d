"""Learn five digits, keep the features, and learn the other five with a new head: from few images and from many.

Stage 2 (vision) - Yosinski et al. 2014, arXiv:1411.1792
Run:     tfdl run transfer
Expect:  test accuracy 0.992 on learned features, 0.981 on random ones; from a hundredth 0.936, 0.920 (seed 0)
"""

from dataclasses import dataclass
from functools import partial

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.losses.classification import CrossEntropy
from tfdl.train.command_line import launch
from tfdl.train.compare import compare
from tfdl.train.fine_tuning import freeze

EPOCHS = {1.0: 5, 0.1: 10, 0.01: 20}  # share of the second task's training images -> epochs on it


@dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "mnist"  # or another set of ten classes: digits, fashion_mnist
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_transfer")
    load = partial(images.load, config.data, image_size=32, seed=run.seed, position=run.position, limit=run.limit)

    # first task
    def compiled(data, weights=None, frozen=False):
        model = tfdl.build("lenet", "lenet5", image_shape=data.image_shape, num_classes=data.num_classes)
        model = tfdl.load_weights(model, weights, skip_head=True) if weights else model
        model = freeze(model) if frozen else model
        model.compile("adam", CrossEntropy(), metrics=["accuracy"])
        return model

    data = load(classes=range(5))
    results = compare(run, data, {"first": partial(compiled, data)}, epochs=run.epochs(EPOCHS[1.0]))
    learned, sizes = run.folder / "arms" / "first", []

    # second task
    ways = {"scratch": {}, "random-frozen": dict(frozen=True), "learned-frozen": dict(frozen=True, weights=learned)}
    for share in [1.0] if run.run.smoke else EPOCHS:
        data = load(classes=range(5, 10), keep=share)
        arms = {f"{name}-{share:g}": partial(compiled, data, **way) for name, way in ways.items()}
        results |= compare(run, data, arms, epochs=run.epochs(EPOCHS[share]))
        sizes.append(data.counts["train"])

    # figures
    found = {f"test_accuracy/{name}": result.metrics["test_accuracy"] for name, result in results.items()}
    errors = {way: (sizes, [1 - x for name, x in found.items() if f"/{way}-" in name]) for way in ways}
    run.show("errors", curves(errors, x_label="training images", y_label="test error", log_x=True, log_y=True))
    return run.finish(None, found)


if __name__ == "__main__":
    launch(main, Config)
