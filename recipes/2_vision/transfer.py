"""Learn five digits, and reuse the features for the other five with a new classifier, from many images and from few.

Stage 2 (vision) - Yosinski et al. 2014, arXiv:1411.1792
Run:     tfdl run transfer
Expect:  test accuracy 0.992 with learned features, 0.981 with random ones; from 1 % of the images 0.936, 0.920 (seed 0)
"""

from dataclasses import dataclass
from functools import partial

import tfdl
from tfdl.data import images
from tfdl.figures.curves import curves
from tfdl.losses.classification import CrossEntropy
from tfdl.train.fine_tuning import freeze


@dataclass(frozen=True, kw_only=True)
class Config:
    """Transfer features from five classes to the other five."""

    data: str = "mnist"
    """a data set of ten classes: mnist, digits, fashion_mnist"""
    model: str = "lenet"
    """key of an image classifier: tfdl list --stage 2"""
    variant: str = "lenet5"
    """row of the model's VARIANTS: tfdl show MODEL"""
    image_size: int = 32
    """side of the images in pixels"""
    batch_size: int = 32
    """images per update"""
    first_epochs: int = 5
    """passes over the images of the first five classes"""
    fractions: tuple[float, ...] = (1.0, 0.1, 0.01)
    """fractions of the second task's training images to learn from, one after the other"""
    epochs: tuple[int, ...] = (5, 10, 20)
    """passes over the second task's images, one number for each fraction"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    if len(config.epochs) != len(config.fractions):
        raise ValueError(
            f"--epochs has {len(config.epochs)} numbers for {len(config.fractions)} --fractions; give one for each."
        )
    run = config.run.start(config, name=f"{config.data}_transfer")
    load = partial(images.load, config.data, image_size=config.image_size, batch_size=config.batch_size, run=run)

    def compiled(data, weights=None, frozen=False):
        model = tfdl.build(config.model, config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
        if weights is not None:
            tfdl.load_weights(model, weights, skip_head=True)
        if frozen:
            freeze(model)
        model.compile("adam", CrossEntropy(), metrics=["accuracy"])
        return model

    # Train on the first task
    first_data = load(classes=range(5))
    results = run.compare(first_data, {"first": partial(compiled, first_data)}, epochs=config.first_epochs)
    learned = run.folder / "variants" / "first"

    # Train on the second task: everything, or a new classifier on random or on learned features
    ways = {
        "scratch": {},
        "random-frozen": {"frozen": True},
        "learned-frozen": {"frozen": True, "weights": learned},
    }
    sizes = []
    tasks = list(zip(config.fractions, config.epochs))
    for fraction, epochs in tasks[:1] if config.run.smoke else tasks:
        data = load(classes=range(5, 10), keep=fraction)
        models = {f"{name}-{fraction:g}": partial(compiled, data, **way) for name, way in ways.items()}
        results |= run.compare(data, models, epochs=epochs)
        sizes.append(data.counts["train"])

    # Figures
    accuracies = {f"test_accuracy/{name}": result.metrics["test_accuracy"] for name, result in results.items()}
    errors = {}
    for way in ways:
        errors[way] = (sizes, [1 - value for name, value in accuracies.items() if f"/{way}-" in name])
    figure = curves(
        errors,
        x_label="training images",
        y_label="test error",
        log_x=True,
        log_y=True,
        title="Learned features need fewer images",
    )
    run.show("errors", figure)
    return run.finish(None, accuracies)


if __name__ == "__main__":
    tfdl.launch(main, Config)
