"""Fine-tune a pretrained network on a few photographs: the classifier only, all layers, or layer-wise learning rates.

Stage 2 (vision) - Howard and Ruder 2018, arXiv:1801.06146, section 3.2; Yosinski et al. 2014, arXiv:1411.1792
Run:     tfdl run fine_tune
         tfdl run fine_tune --data /path/to/photos --model resnet --variant 50 --source timm/resnet50.a1_in1k
Expect:  test accuracy 0.731 tuned, 0.712 with layer-wise learning rates, 0.661 the classifier alone, 0.677 from scratch
"""

from dataclasses import dataclass
from functools import partial

import keras

import tfdl
from tfdl.data import augment, images
from tfdl.figures.curves import curves
from tfdl.interop.weights import is_weights
from tfdl.losses.classification import CrossEntropy
from tfdl.train.fine_tuning import freeze, set_layer_wise_learning_rates


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fine-tune an image classifier."""

    data: str = "clothing_small"
    """a tensorflow_datasets name, or a folder with a sub-folder of images per class"""
    source: str = "cifar10"
    """source of the features: a data set to train on first, a preset such as timm/resnet50.a1_in1k, a run folder, or a
    file of weights"""
    model: str = "vgg"
    """key of an image classifier: tfdl list --stage 2"""
    variant: str = "small_images"
    """row of the model's VARIANTS: tfdl show MODEL"""
    image_size: int = 32
    """side of the images in pixels"""
    batch_size: int = 32
    """images per update"""
    learning_rate: float = 1e-3
    """of Adam"""
    layer_factor: float = 2.6
    """in the variant `layer_wise`, the ratio of the learning rates of successive groups of layers"""
    first_epochs: int = 5
    """passes over the source data, if `source` is a data set"""
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
        return set_layer_wise_learning_rates(model, factor=factor)

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
        "layer_wise": partial(compiled, data, weights, factor=config.layer_factor),
        "scratch": partial(compiled, data),
    }
    results = run.compare(data, models, epochs=config.epochs, monitor="val_accuracy", patience=config.patience)

    # Figures
    series = {name: result.series("val_accuracy") for name, result in results.items()}
    run.show(
        "validation",
        curves(series, x_label="epoch", y_label="validation accuracy", title="Fine-tuning and training from scratch"),
    )
    return run.finish(
        None, {f"test_accuracy/{name}": result.metrics["test_accuracy"] for name, result in results.items()}
    )


if __name__ == "__main__":
    tfdl.launch(main, Config)
