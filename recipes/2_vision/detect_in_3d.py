"""Train a detector to find cars in the points of a LiDAR, and export it.

Stage 2 (vision) - VoxelNet, Zhou & Tuzel 2018, arXiv:1711.06396
Run:     tfdl run detect_in_3d
         tfdl run detect_in_3d --epochs 8 --classification 0.5
         tfdl run detect_in_3d --data kitti:000002 --variant small_far --points 20000 --batch-size 1
Expect:  average precision from above on the test scenes, one run each with seed 0 on two CPU cores: 0.867 at an IoU of
         0.5 and 0.599 at KITTI's 0.7 after 2.5 minutes; by the second command 0.929 and 0.765 after 4; on the frame of
         KITTI, learned by heart, 1.0 in space after 3 minutes of the third command with the flags of the second
"""

from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import scenes_3d
from tfdl.data.scene_augment import chain, random_mirror, random_objects, random_scale, random_turn, within
from tfdl.figures.clouds import scene_grid
from tfdl.figures.detections import precision_recall
from tfdl.learners.supervised.voxel_detector import VoxelDetector
from tfdl.metrics.detection_3d import average_precision_3d
from tfdl.models.three_d.voxelnet import VARIANTS
from tfdl.train.detection_scores import PrecisionIn3D
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a detector of cars in clouds of points."""

    data: str = "scenes"
    """scenes; kitti, the frames with cars in the data directory; or kitti:FRAME, one of them"""
    variant: str = "small"
    """row of VoxelNet's VARIANTS: tfdl show voxelnet"""
    points: int = 4096
    """points of each cloud"""
    batch_size: int = 2
    """clouds per update, over all devices"""
    learning_rate: float = 3e-3
    """AdamW's peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    weight_decay: float = 0.01
    """decoupled from the gradient, as in AdamW"""
    positive: float = 0.5
    """IoU from above over which an anchor is to find an object; the paper's 0.6 is for cells of half the side"""
    negative: float = 0.35
    """and under which it is to find nothing; the paper's is 0.45"""
    classification: float = 1.0
    """share of the paper's weights of the classification, 1.5 and 1; a small one helps boxes in short trainings"""
    augment: bool = False
    """move single cars, and mirror, scale and turn whole clouds: for long trainings, or few clouds"""
    epochs: int = 4
    """passes over the training clouds"""
    evaluate_every: int = 2
    """epochs between two computations of the average precision that picks the best epoch"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data.replace(':', '_')}_voxelnet")

    # Data; whatever is outside of the network's grid is not to be found
    grid = VARIANTS[config.variant]
    augmentations = [random_objects(), random_mirror(), random_scale(), random_turn()] if config.augment else []
    data = scenes_3d.load(
        config.data,
        points=config.points,
        batch_size=config.batch_size,
        augment=chain(*augmentations, within(grid.low, grid.high)),
        run=run,
    )

    # Model
    with run.scope():
        network = tfdl.build("voxelnet", config.variant, points=config.points)
        model = VoxelDetector(
            network,
            positive=config.positive,
            negative=config.negative,
            alpha=1.5 * config.classification,
            beta=config.classification,
        )
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay, global_clipnorm=10.0))

    # Train; afterwards the model has the weights of the epoch that found the most
    scores = PrecisionIn3D(data, every=config.evaluate_every)
    run.fit(model, data, epochs=config.epochs, monitor="val_bev_ap", mode="max", callbacks=[scores])

    # Evaluate and export
    metrics = run.evaluate(model, data)
    precision = average_precision_3d(model, data.test)
    metrics |= {f"test_{name}": value for name, value in precision.result().items()}
    curves = {name: precision.curve(kind) for name, kind in (("from above", "bev"), ("in space", "3d"))}
    run.show("precision_recall", precision_recall(curves, title="test clouds, IoU of 0.7 or more"))
    points, truth = next(iter(data.test.unbatch().batch(8)))
    title = "test clouds from above; true boxes are dashed, ignored ones dotted"
    run.show("predictions", scene_grid(points, model.detect(points), truth=truth, title=title))
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
