"""Train an image classifier of the catalog on a data set, and export it for servers and phones.

Stage 1 (foundation) - MobileNetV2, Sandler et al. 2018, arXiv:1801.04381; other models: tfdl list --stage 2
Run:     tfdl run classify_images --data digits
         tfdl run resnet --data /path/to/photos --image-size 96
Expect:  test accuracy 0.984 on digits in a minute on two CPU cores (seeds 0 to 2: 0.983, 0.983, 0.986)
"""

from dataclasses import dataclass
from typing import Literal

import keras

import tfdl
from tfdl.data import augment, images
from tfdl.session.defaults import with_defaults
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train an image classifier."""

    data: str = "digits"
    """digits, a tensorflow_datasets name (mnist, cifar10 ...), or a folder with a sub-folder of images per class"""
    model: str = "mobilenet"
    """key of an image classifier: tfdl list --stage 2"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show MODEL"""
    weights: str = ""
    """weights to start from: a preset such as timm/resnet50.a1_in1k, a run folder, or a file; empty: random"""
    image_size: int | None = None
    """side of the model's square input in pixels"""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """how pictures of other shapes are made square: stretched, cropped, or padded with black"""
    skip_broken: bool = False
    """leave out files that cannot be decoded, and list them; otherwise the first one ends the run"""
    batch_size: int | None = None
    """images per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    weight_decay: float | None = None
    """decoupled from the gradient, as in AdamW"""
    augmentation: float | None = None
    """largest random shift, as a fraction of the image's side; 0 for none"""
    flip: bool = False
    """mirror training images at random, for photographs; not for digits and letters"""
    class_weights: bool = False
    """weight the loss of each class by the inverse of its frequency"""
    balanced: bool = False
    """draw each class equally often"""
    epochs: int | None = None
    """passes over the training images"""
    patience: int | None = None
    """stop after so many epochs without a lower validation loss; default: train to the end"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}")

    # Data
    augmentation = augment.random_shift(int(config.augmentation * config.image_size))
    if config.flip:
        augmentation = augment.chain(augmentation, augment.random_flip())
    data = images.load(
        config.data,
        image_size=config.image_size,
        batch_size=config.batch_size,
        resize=config.resize,
        augment=augmentation,
        balanced=config.balanced,
        skip_broken=config.skip_broken,
        run=run,
    )

    # Model
    with run.scope():
        model = tfdl.build(
            config.model,
            config.variant,
            image_shape=data.image_shape,
            num_classes=data.num_classes,
            weights=config.weights or None,
        )
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

    # Train; afterwards the model has the weights of the best epoch
    class_weight = data.class_weights() if config.class_weights else None
    run.fit(model, data, epochs=config.epochs, patience=config.patience, class_weight=class_weight)

    # Evaluate and export
    metrics = run.evaluate(model, data)
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
