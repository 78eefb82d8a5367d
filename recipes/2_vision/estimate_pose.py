"""Train a network to find the key points of a face or a body, and export it for servers and phones.

Stage 2 (vision) - HRNet, Sun et al. 2019, arXiv:1902.09212; BlazePose, Bazarevsky et al. 2020, arXiv:2006.10204
Run:     tfdl run estimate_pose
         tfdl run estimate_pose --model blaze_pose
         tfdl run estimate_pose --data figures
         tfdl run estimate_pose --data coco:/path/to/person_keypoints.json --image-size 256 192 --variant w32
Expect:  on the test faces, PCK@0.2, normalized mean error and minutes on two CPU cores (one run each, seed 0): HRNet
         0.948, 0.085 and 3, BlazePose 0.978, 0.072 and 4; their int8 files have the same PCK to 0.001
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.data import keypoints
from tfdl.data.augment import random_brightness, random_contrast
from tfdl.data.keypoint_augment import chain, of_pixels, random_affine, random_flip
from tfdl.figures.poses import error_bars, pose_grid
from tfdl.inference import pose_scores
from tfdl.learners.supervised.landmark_estimator import LandmarkEstimator
from tfdl.learners.supervised.pose_estimator import PoseEstimator
from tfdl.metrics.keypoints import point_errors
from tfdl.session.defaults import POSE_ESTIMATORS, with_defaults
from tfdl.train.keypoint_scores import KeypointScores
from tfdl.train.schedules import after_warm_up, cosine

LEARNERS = {"hrnet": PoseEstimator, "blaze_pose": LandmarkEstimator}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train an estimator of key points."""

    DEFAULTS: ClassVar = POSE_ESTIMATORS

    data: str = "face_keypoints68"
    """face_keypoints68; figures, drawn here; or coco:FILE with key points of people, each of whom is cut out"""
    model: Literal["hrnet", "blaze_pose"] = "hrnet"
    """hrnet puts out heat maps, blaze_pose coordinates"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show MODEL"""
    weights: str = ""
    """weights to start from: a run folder or a file; empty: random"""
    image_size: tuple[int, int] | None = None
    """height and width of the model's input in pixels, multiples of 32"""
    sigma: float = 1.5
    """of the Gaussian around each point, in cells of a heat map, which have 4 x 4 pixels"""
    batch_size: int | None = None
    """pictures per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    weight_decay: float | None = None
    """decoupled from the gradient, as in AdamW"""
    zoom: float = 0.1
    """training pictures are enlarged or shrunk by up to this part"""
    turn: float = 10.0
    """training pictures are turned by up to so many degrees"""
    flip: bool = True
    """mirror training pictures at random; left and right points change places"""
    epochs: int | None = None
    """passes over the training pictures"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data.rpartition('/')[2]}_{config.model}")

    # Data
    def augment(body):
        steps = [random_affine(config.zoom, shift=0.05, turn=config.turn)]
        steps += [of_pixels(random_brightness(0.2)), of_pixels(random_contrast(0.3))]
        return chain(*steps, random_flip(body.mirror)) if config.flip else chain(*steps)

    data = keypoints.load(
        config.data,
        image_size=config.image_size,
        batch_size=config.batch_size,
        augment=augment,
        run=run,
    )

    # Model
    with run.scope():
        network = tfdl.build(
            config.model,
            config.variant,
            image_shape=data.image_shape,
            keypoints=len(data.body.names),
            weights=config.weights or None,
        )
        model = LEARNERS[config.model](network, sigma=config.sigma)
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay))

    # Train; afterwards the model has the weights of the epoch with the smallest error
    run.fit(model, data, epochs=config.epochs, monitor="val_nme", mode="min", callbacks=[KeypointScores(data)])

    # Evaluate and export
    metrics = run.evaluate(model, data)
    errors = point_errors(model, data.test, data.body.ends)
    metrics |= {f"test_{name}": value for name, value in errors.result().items()}
    run.show("errors", error_bars(*errors.per_point(), data.body.names, threshold=errors.threshold))
    images, truth = next(iter(data.test))
    images, truth = images[:8], truth["keypoints"][:8, 0]
    title = "the first test pictures; true points are white"
    run.show("predictions", pose_grid(images, model.estimate(images), data.body.lines, truth=truth, title=title))
    report = run.export(model, data)
    if "model_int8.tflite" in report["artifacts"]:
        phone = tfdl.load(run.folder / "export", file="model_int8.tflite")
        scores = pose_scores.evaluate(phone, data.test.as_numpy_iterator(), data.body)
        metrics |= {f"int8_{name}": value for name, value in scores.metrics.items()}
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
