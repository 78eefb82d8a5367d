"""Tell the parts of things apart: a class for each point of a cloud.

Stage 2 (vision) - PointNet, Qi et al. 2016, arXiv:1612.00593, section 4.2
Run:     tfdl run segment_points
         tfdl run segment_points --data /path/to/parts.npz
Expect:  test mean IoU of 0.891 of the ten parts of joined solids after 6 minutes on two CPU cores (one run, seed 0)
"""

from dataclasses import dataclass

import keras
import numpy as np

import tfdl
from tfdl.core.batches import PADDING
from tfdl.data import points
from tfdl.figures.clouds import class_clouds
from tfdl.metrics.segmentation import MeanIoU
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a network that says of each point which part it belongs to."""

    data: str = "joined"
    """joined, a file .npz with a label for each point, or the name of one in the data directory"""
    variant: str = "segmentation"
    """row of PointNet's VARIANTS: tfdl show pointnet"""
    points: int = 256
    """points of each cloud"""
    batch_size: int = 16
    """clouds per update, over all devices"""
    learning_rate: float = 1e-3
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    jitter: float = 0.01
    """standard deviation of the noise that moves training points; the farthest is at a distance of 1"""
    turn: bool = True
    """turn training clouds about the vertical axis"""
    epochs: int = 5
    """passes over the training clouds"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data.rpartition('/')[2].removesuffix('.npz')}_pointnet")

    # Data
    augmentations = [points.random_jitter(config.jitter)]
    if config.turn:
        augmentations.append(points.random_turn())
    data = points.load(
        config.data,
        points=config.points,
        batch_size=config.batch_size,
        augment=points.chain(*augmentations),
        run=run,
    )

    # Model
    with run.scope():
        model = tfdl.build("pointnet", config.variant, points=data.points, num_classes=data.num_classes)
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PADDING)
        model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=[MeanIoU(data.num_classes), "accuracy"])

    # Train; afterwards the model has the weights of the best epoch
    run.fit(model, data, epochs=config.epochs, monitor="val_mean_iou", mode="max")

    # Evaluate and export
    metrics = run.evaluate(model, data)
    clouds, parts = next(iter(data.test))
    found = np.argmax(model.predict_on_batch(clouds), axis=-1)
    title = "test clouds: the true parts above, what the network says below"
    shown = np.concatenate([clouds[:4]] * 2), np.concatenate([parts[:4], found[:4]])
    run.show("predictions", class_clouds(*shown, data.labels, title=title))
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
