"""Fit a network that has seen other images to a few photographs: its classifier alone, all of it, or layer by layer.

Stage 2 (vision) - Howard and Ruder 2018, arXiv:1801.06146, section 3.2; Yosinski et al. 2014, arXiv:1411.1792
Run:     tfdl run fine_tune
         tfdl run fine_tune --data /path/to/photos --model resnet --variant 50 --source timm/resnet50.a1_in1k
Expect:  test accuracy 0.763 tuned, 0.739 with layer-wise learning rates, 0.645 the classifier alone, 0.699 from scratch
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import augment, images
from tfdl.figures.curves import curves
from tfdl.interop.weights import is_weights
from tfdl.losses.classification import CrossEntropy
from tfdl.train.fine_tuning import discriminative_rates, freeze


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fine-tune an image classifier."""

    data: str = "clothing_small"
    """a tensorflow_datasets name, or a folder with a sub-folder of images per class"""
    source: str = "cifar10"
    """where the features come from: a set of images to learn first, a preset such as timm/resnet50.a1_in1k, a run
    folder, or a file of weights"""
    model: str = "vgg"
    """key of an image classifier: tfdl list --stage 2"""
    variant: str = "small_images"
    """row of the model's VARIANTS: tfdl show MODEL"""
    image_size: int = 32
    """side in pixels"""
    batch_size: int = 32
    """images per update"""
    learning_rate: float = 1e-3
    """Adam's"""
    layer_factor: float = 2.6
    """in the variant `graded` each layer learns so many times as slowly as the one behind it"""
    first_epochs: int = 5
    """passes over the source set, if `source` is one"""
    epochs: int = 20
    """passes over the photographs"""
    patience: int | None = None
    """stop after so many epochs without a higher validation accuracy; default: train to the end"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_{config.model}_fine_tuned")
    load = partial(
        images.load,
        image_size=config.image_size,
        batch_size=config.batch_size,
        augment=augment.random_flip(),
        run=run,
    )

    def compiled(data, weights=None, frozen=False, factor=1.0):
        model = tfdl.build(config.model, config.variant, image_shape=data.image_shape, num_classes=data.num_classes)
        if weights is not None:
            tfdl.load_weights(model, weights, skip_head=True)
        if frozen:
            freeze(model)
        model.compile(keras.optimizers.Adam(config.learning_rate), CrossEntropy(), metrics=["accuracy"])
        return discriminative_rates(model, factor=factor)

    # Features: published ones, or those of a first training
    weights = config.source
    if not is_weights(weights):
        source_data = load(config.source)
        run.compare(source_data, {"first": partial(compiled, source_data)}, epochs=config.first_epochs)
        weights = run.folder / "variants" / "first"

    # Train
    data = load(config.data)
    models = {
        "frozen": partial(compiled, data, weights, frozen=True),
        "tuned": partial(compiled, data, weights),
        "graded": partial(compiled, data, weights, factor=config.layer_factor),
        "scratch": partial(compiled, data),
    }
    results = run.compare(data, models, epochs=config.epochs, monitor="val_accuracy", patience=config.patience)

    # Figures
    series = {name: result.series("val_accuracy") for name, result in results.items()}
    run.show(
        "validation",
        curves(series, x_label="epoch", y_label="validation accuracy", title="Fine-tuning against training anew"),
    )
    return run.finish(
        None, {f"test_accuracy/{name}": result.metrics["test_accuracy"] for name, result in results.items()}
    )


if __name__ == "__main__":
    tfdl.launch(main, Config)
