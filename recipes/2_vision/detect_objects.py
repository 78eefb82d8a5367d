"""Train a detector to find objects in pictures, and export it for servers and phones.

Stage 2 (vision) - YOLOv8 and YOLOv5, Jocher et al., software, as described by Terven et al. 2023, arXiv:2304.00501;
DETR, Carion et al. 2020, arXiv:2005.12872; Faster R-CNN, Ren et al. 2015, arXiv:1506.01497; and, which find masks too,
Mask R-CNN, He et al. 2017, arXiv:1703.06870, and SOLO, Wang et al. 2019, arXiv:1912.04488
Run:     tfdl run detect_objects
         tfdl run detect_objects --model yolo_v5
         tfdl run detect_objects --model detr
         tfdl run detect_objects --model faster_rcnn
         tfdl run detect_objects --model mask_rcnn
         tfdl run detect_objects --model solo --evaluate-every 5
         tfdl run detect_objects --data bccd --image-size 320 --batch-size 8 --epochs 24 --evaluate-every 6
         tfdl run detect_objects --data coco:/path/to/annotations.json --image-size 320
Expect:  test mAP50 of 0.869 on shapes after 5 minutes on two CPU cores; 0.865 on bccd by the last but one after 25,
         half of the time shared with other programs and resumed once; on shapes, shared too, 0.881 with Faster R-CNN
         after 5, and for masks 0.833 with Mask R-CNN after 8 and 0.601 with SOLO after 9 (one run each, seed 0)
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import keras

import tfdl
from tfdl.data import detection
from tfdl.data.anchors import anchors_of
from tfdl.data.detection_augment import chain, random_affine, random_color, random_flip, random_mosaic
from tfdl.figures.detections import detection_grid, precision_recall
from tfdl.inference.detection_scores import evaluate
from tfdl.learners.supervised.anchor_detector import AnchorDetector
from tfdl.learners.supervised.detector import Detector
from tfdl.learners.supervised.grid_segmenter import GridSegmenter
from tfdl.learners.supervised.set_detector import SetDetector
from tfdl.learners.supervised.two_stage_detector import TwoStageDetector
from tfdl.metrics.detection import mean_average_precision
from tfdl.session.defaults import DETECTORS, with_defaults
from tfdl.train.detection_scores import DetectionScores
from tfdl.train.schedules import after_warm_up, cosine

LEARNERS = {
    "yolo_v8": Detector,
    "yolo_v5": AnchorDetector,
    "detr": SetDetector,
    "faster_rcnn": TwoStageDetector,
    "mask_rcnn": TwoStageDetector,
    "solo": GridSegmenter,
}
WITH_MASKS = ("mask_rcnn", "solo")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a detector."""

    DEFAULTS: ClassVar = DETECTORS

    data: str = "shapes"
    """shapes; a tensorflow_datasets name (bccd, raccoon ...); or coco:FILE, voc:FOLDER, yolo:FOLDER, labelme:FOLDER"""
    model: Literal["yolo_v8", "yolo_v5", "detr", "faster_rcnn", "mask_rcnn", "solo"] = "yolo_v8"
    """key of a detector"""
    variant: str | None = None
    """row of the model's VARIANTS: tfdl show MODEL"""
    weights: str = ""
    """weights to start from: a run folder or a file; empty: random"""
    backbone_weights: str = ""
    """a classifier whose weights the backbone gets: a run folder, a file or a published name; empty: random"""
    image_size: int = 96
    """side of the model's square input in pixels, a multiple of 32"""
    skip_broken: bool = False
    """leave out pictures that cannot be decoded, and list them; otherwise the first one ends the run"""
    batch_size: int | None = None
    """pictures per update, over all devices"""
    learning_rate: float | None = None
    """peak of a linear warm-up over a tenth of the updates, followed by a cosine"""
    weight_decay: float | None = None
    """decoupled from the gradient, as in AdamW"""
    mosaic: float | None = None
    """probability that a training picture is put together from four"""
    zoom: float | None = None
    """training pictures are enlarged or shrunk by up to this part"""
    regions: int | None = None
    """of two-stage detectors: regions of each picture that the second network learns from"""
    flip: bool = True
    """mirror training pictures at random"""
    epochs: int | None = None
    """passes over the training pictures"""
    evaluate_every: int = 2
    """epochs between two computations of the mean average precision that picks the best epoch"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    config = with_defaults(config)
    run = config.run.start(config, name=f"{config.data}_{config.model}")

    # Data
    augmentations = [random_mosaic(config.mosaic), random_affine(config.zoom, shift=0.1), random_color()]
    if config.flip:
        augmentations.append(random_flip())
    data = detection.load(
        config.data,
        image_size=config.image_size,
        batch_size=config.batch_size,
        augment=chain(*augmentations),
        skip_broken=config.skip_broken,
        masks=config.model in WITH_MASKS,
        run=run,
    )

    # Model; YOLOv5's anchors have the sizes of the objects in these pictures
    options = {"anchors": anchors_of(data)} if config.model == "yolo_v5" else {}
    with run.scope():
        network = tfdl.build(
            config.model,
            config.variant,
            image_shape=data.image_shape,
            num_classes=data.num_classes,
            weights=config.weights or None,
            backbone_weights=config.backbone_weights or None,
            **options,
        )
        learner = LEARNERS[config.model]
        model = learner(network, regions=config.regions) if learner is TwoStageDetector else learner(network)
        learning_rate = after_warm_up(cosine, config.learning_rate, run.updates(data, config.epochs))
        model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay, global_clipnorm=10.0))

    # Train; afterwards the model has the weights of the epoch that found the most
    scores = DetectionScores(data, every=config.evaluate_every)
    monitor = "val_mask_map50" if config.model in WITH_MASKS else "val_map50"
    run.fit(model, data, epochs=config.epochs, monitor=monitor, mode="max", callbacks=[scores])

    # Evaluate and export
    metrics = run.evaluate(model, data)
    precision = mean_average_precision(model, data.test, data.labels)
    metrics |= {f"test_{name}": value for name, value in precision.result().items()}
    curves = precision.curves()
    if curves:
        run.show("precision_recall", precision_recall(curves, title="test pictures, IoU of 0.5 or more"))
    images, truth = next(iter(data.test))
    images = images[:8]
    title = "the first test pictures; true boxes are white"
    run.show("predictions", detection_grid(images, model.detect(images), data.labels, truth=truth, title=title))
    report = run.export(model, data)
    if "detector_int8.tflite" in report.get("detectors", {}):
        files = [tfdl.load(run.folder / "export", file=file) for file in ("detector.tflite", "detector_int8.tflite")]
        whole, small = (evaluate(file, data.test.as_numpy_iterator(), data.labels).metrics for file in files)
        metrics["int8_map50_lost"] = whole.get("map50", 0.0) - small.get("map50", 0.0)
    return run.finish(model, metrics)


if __name__ == "__main__":
    tfdl.launch(main, Config)
