"""Train a network that gives every pixel a class, and export it for servers and phones.

Stage 2 (vision) - U-Net, Ronneberger et al. 2015, arXiv:1505.04597; FCN, Long et al. 2014, arXiv:1411.4038;
DeepLabV3+, Chen et al. 2018, arXiv:1802.02611
Run:     tfdl run segment_images
         tfdl run segment_images --data oxford_pet_mini
         tfdl run segment_images --data camvid --image-size 96 128 --epochs 6
         tfdl run segment_images --data camvid --image-size 96 128 --model deeplab --epochs 6
         tfdl run segment_images --data folder:/path/to/images_and_masks --model fcn --variant 8s_resnet18
Expect:  on camvid, after 3 to 5 minutes on two CPU cores that were shared with other programs, a test mean IoU of 0.286
         with FCN (--model fcn, else as the third command), 0.308 with U-Net and 0.322 with DeepLabV3+, of which the
         int8 files lose less than 0.004 (one run each, seed 0); the target on oxford_pet_mini is 0.6
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.core.batches import IGNORE
from tfdl.data import mask_augment, segmentation
from tfdl.figures.masks import mask_grid
from tfdl.inference.segmentation_scores import evaluate
from tfdl.metrics.segmentation import MeanIoU, PixelAccuracy
from tfdl.session.defaults import SEGMENTERS, with_defaults
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a segmenter."""

    DEFAULTS: ClassVar = SEGMENTERS

    data: str = "shapes"
    """shapes; a tensorflow_datasets name (camvid, oxford_pet_mini ...); or folder:PATH with images/ and masks/"""
    model: Literal["unet", "fcn", "deeplab"] = "unet"
    """key of a segmenter"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show MODEL"""
    weights: str = ""
    """weights to start from: a run folder or a file; empty: random"""
    backbone_weights: str = ""
    """a classifier whose weights the backbone gets: a run folder, a file or a published name; empty: random"""
    image_size: tuple[int, int] = (96, 96)
    """height and width of the model's input in pixels, multiples of 32"""
    resize: Literal["stretch", "pad"] = "stretch"
    """how pictures of other shapes are brought to that size: stretched, or padded with black that counts nowhere"""
    batch_size: int | None = None
    """pictures per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    weight_decay: float | None = None
    """decoupled from the gradient, as in AdamW"""
    zoom: float = 0.3
    """training pictures are enlarged or shrunk by up to this part"""
    epochs: int | None = None
    """passes over the training pictures"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data.rpartition('/')[2]}_{config.model}")

    # Data
    data = segmentation.load(
        config.data,
        image_size=config.image_size,
        batch_size=config.batch_size,
        resize=config.resize,
        augment=mask_augment.chain(mask_augment.random_flip(), mask_augment.random_affine(config.zoom)),
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
            backbone_weights=config.backbone_weights or None,
        )
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(
            optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORE),
            metrics=[MeanIoU(data.num_classes), PixelAccuracy()],
        )

    # Train; afterwards the model has the weights of the epoch with the highest mean IoU
    run.fit(model, data, epochs=config.epochs, monitor="val_mean_iou", mode="max")

    # Evaluate and export
    metrics = run.evaluate(model, data)
    images, masks = (batch[:4].numpy() for batch in next(iter(data.test)))
    answers = model.predict_on_batch(images).argmax(-1)
    title = "the first test pictures; what is unknown has no color"
    run.show("predictions", mask_grid(images, [masks, answers], data.labels, title=title))
    report = run.export(model, data)
    if "model_int8.tflite" in report["artifacts"]:
        files = [tfdl.load(run.folder / "export", file=file) for file in ("model.tflite", "model_int8.tflite")]
        whole, small = (evaluate(file, data.test.as_numpy_iterator(), data.labels).metrics for file in files)
        metrics["int8_mean_iou_lost"] = whole["mean_iou"] - small["mean_iou"]
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
