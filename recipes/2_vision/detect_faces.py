"""Train BlazeFace to find faces with six points on each, and export it for servers and phones.

Stage 2 (vision) - BlazeFace, Bazarevsky et al. 2019, arXiv:1907.05047
Run:     tfdl run detect_faces
         tfdl run detect_faces --data figures --variant nano
Expect:  test mAP50 of 0.879 on the faces of face_keypoints68 after 1.5 minutes on two CPU cores (one run, seed 0)
"""

import dataclasses
from dataclasses import dataclass

import keras

import tfdl
from tfdl.data import faces
from tfdl.data.augment import random_brightness
from tfdl.data.keypoint_augment import chain, of_pixels, random_affine, random_flip
from tfdl.figures.detections import detection_grid, precision_recall
from tfdl.learners.supervised.face_detector import FaceDetector
from tfdl.metrics.detection import mean_average_precision
from tfdl.models.pose.blaze_face import VARIANTS
from tfdl.train.detection_scores import DetectionScores
from tfdl.train.schedules import after_warm_up, cosine


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a detector of faces."""

    data: str = "face_keypoints68"
    """face_keypoints68; figures, drawn here; or coco:FILE with key points of people"""
    variant: str = "small"
    """row of BlazeFace's VARIANTS: tfdl show blaze_face"""
    image_size: int = 96
    """side of the model's square input in pixels, a multiple of 16"""
    batch_size: int = 16
    """pictures per update, over all devices"""
    learning_rate: float = 3e-3
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    weight_decay: float = 0.01
    """decoupled from the gradient, as in AdamW"""
    epochs: int = 8
    """passes over the training pictures"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name=f"{config.data}_blaze_face")

    # Data
    def augment(body):
        return chain(
            random_affine(0.2, shift=0.05, turn=10.0), random_flip(body.mirror), of_pixels(random_brightness(0.2))
        )

    data = faces.load(config.data, image_size=config.image_size, batch_size=config.batch_size, augment=augment, run=run)

    # Model
    with run.scope():
        network = tfdl.build(
            "blaze_face",
            dataclasses.replace(VARIANTS[config.variant], points=len(data.points)),
            image_shape=data.image_shape,
        )
        model = FaceDetector(network)
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay))

    # Train; afterwards the model has the weights of the epoch that found the most
    scores = DetectionScores(data, every=2)
    run.fit(model, data, epochs=config.epochs, monitor="val_map50", mode="max", callbacks=[scores])

    # Evaluate and export
    metrics = run.evaluate(model, data)
    precision = mean_average_precision(model, data.test, data.labels)
    metrics |= {f"test_{name}": value for name, value in precision.result().items()}
    run.show("precision_recall", precision_recall(precision.curves(), title="test pictures, IoU of 0.5 or more"))
    images, truth = next(iter(data.test))
    images = images[:8]
    title = "the first test pictures; true boxes are white"
    run.show("predictions", detection_grid(images, model.detect(images), data.labels, truth=truth, title=title))
    run.export(model, data)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
