"""Tell solids apart by points on their surfaces.

Stage 2 (vision) - PointNet, Qi et al. 2016, arXiv:1612.00593
Run:     tfdl run classify_points
         tfdl run classify_points --data modelnet_chair_monitor
Expect:  test accuracy of 0.989 on solids, and of 0.986 on modelnet_chair_monitor after 5 minutes on two CPU cores; the
         first took 23, resumed once and beside many other programs (one run each, seed 0)
"""

from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import points
from tfdl.losses.classification import CrossEntropy
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a classifier of point clouds."""

    data: str = "solids"
    """solids, a file .npz, or the name of one in the data directory (modelnet_chair_monitor)"""
    variant: str = "classification"
    """row of PointNet's VARIANTS: tfdl show pointnet"""
    points: int = 256
    """points of each cloud"""
    batch_size: int = 32
    """clouds per update, over all devices"""
    learning_rate: float = 1e-3
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    jitter: float = 0.02
    """standard deviation of the noise that moves training points; the farthest is at a distance of 1"""
    turn: bool = True
    """turn training clouds about the vertical axis"""
    epochs: int = 12
    """passes over the training clouds"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data.rpartition('/')[2]}_pointnet")

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
        model.compile(keras.optimizers.Adam(learning_rate), CrossEntropy(), metrics=["accuracy"])

    # Train; afterwards the model has the weights of the best epoch
    run.fit(model, data, epochs=config.epochs)

    # Evaluate and export
    metrics = run.evaluate(model, data)
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
