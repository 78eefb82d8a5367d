"""Speed of our detectors against other libraries' on this machine, as ratios: above 1 ours is faster.

    python tools/bench_detection.py                          all that is installed (8 minutes on two cores)
    python tools/bench_detection.py --rows step suppression  some rows
    python tools/bench_detection.py --busy                   while other programs run too
    python tools/bench_detection.py --quick                  a look: small pictures, few pairs, nothing kept

Ours and theirs run in turns, and each pair gives a ratio, so that a slow moment of the machine hits both.  Median and
quartiles of the ratios are printed and kept in results/bench_detection.json, seconds never.

    step          a training step of YOLOv8n, of ours by the step of a `tfdl.Run`, against keras-cv's YOLOV8Detector
    two_stage     a training step of Faster R-CNN with ResNet-50, of ours as above, against torchvision's in eager mode,
                  where it is installed with its compiled operators: 1,000 regions proposed, 512 learned from, the stem,
                  the first stage and all norms frozen, in both
    phone         YOLOv8n's TFLite file at 320 pixels on one thread, without suppression, against keras-cv's network
    suppression   8 x 2,100 boxes of 20 classes to 100 detections, as our detectors do it, against keras-cv's layer
    alignment     features of 8 x 100 boxes, one sample in a bin, against TensorFlow's kernel `crop_and_resize`:
                  keras-cv's aligner fails under Keras 3.15 (its `take` has no axis)
    pipeline      YOLOv8n's training steps over reading their batches, with mosaic: above 1 no step waits

keras-cv's smallest YOLOv8 has our widths and depths and 13 % more weights: its heads are wider.  Its suppression knows
one class for each box, ours any number.
"""

import argparse
import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tfdl
from tfdl.core.files import read_json, write_json
from tfdl.core.provenance import commit
from tfdl.data import detection
from tfdl.data.detection_augment import chain, random_affine, random_color, random_flip, random_mosaic
from tfdl.learners.supervised.detector import Detector
from tfdl.learners.supervised.two_stage_detector import TwoStageDetector
from tfdl.ops.roi_align import roi_align
from tfdl.ops.suppression import non_max_suppression
from tfdl.train.step import exact

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # whence the other tools are imported
from tools.bench_vision import (  # noqa: E402 (after the path)
    Setting,
    called,
    document,
    invoker,
    on_one_thread,
    paired,
    ratio_row,
    surroundings,
    tflite_files,
)

RESULTS = ROOT / "results" / "bench_detection.json"
TITLE = "Speed of our detectors over others': medians and quartiles of paired ratios"
KEYS = ("measure", "against", "batch", "image")
CLASSES = 20
BATCH = 8
TWO_STAGE_BATCH = 2  # as torchvision's own training has it for each device
BOXES, DETECTIONS = 2100, 100  # of YOLOv8 at 320 pixels
STRIDE, CHANNELS, BINS = 8, 64, 7
SEVERAL = 8  # batches


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="default: all")
    parser.add_argument("--image-size", type=int, default=320, help="side in pixels, a multiple of 32; default: 320")
    parser.add_argument("--busy", action="store_true", help="one thread, and its CPU seconds in place of wall time")
    parser.add_argument("--quick", action="store_true", help="64 pixels, few pairs; nothing is written")
    args = parser.parse_args(argv)
    if args.image_size < 64 or args.image_size % 32:
        parser.error(f"--image-size must be a multiple of 32 and at least 64, not {args.image_size}")
    setting = Setting(64, (2,), 0.0) if args.quick else Setting(args.image_size, (BATCH,), seconds=20.0)
    if args.busy:
        setting = on_one_thread(setting)
    circumstances, rows = surroundings(args.busy, ()), []
    for name in args.rows:
        if name == "two_stage" and not has_torchvision():
            print("torchvision with its operators is not installed (extra `parity`): nothing is compared with it.")
            continue
        row = compared(name, setting)
        print(line(row), flush=True)
        rows.append(row | {"commit": commit()})
        if not args.quick:
            before = read_json(RESULTS) if RESULTS.is_file() else {}
            write_json(RESULTS, document(TITLE, KEYS, rows, circumstances, before))
    return 0


def line(row):
    """One row for people."""
    target = "" if row["ratio"] >= row["target"] else f"  below {row['target']:g}"
    ratio = f"{row['ratio']:5.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['pairs']:2d}"
    what = f"{row['measure']:<14}batch {row['batch']:<4}{row['image']:>4} px"
    return f"{what}  against {row['against']:<16}{ratio}{target}"


def compared(name, setting):
    """One row."""
    pair, against, batch = ROWS[name](setting)
    facts = {"measure": name, "against": against, "batch": batch, "image": setting.side}
    return ratio_row(facts, 1.0, paired(*pair, setting))


# Rows: a setting -> the calls of ours and theirs, whose theirs is, and pictures in a call


def steps(setting):
    (batch,) = setting.batches
    images, truth = pictures(batch, setting.side)
    theirs = yolo_of_keras_cv(setting.side)
    theirs.compile(optimizer=optimizer(), classification_loss="binary_crossentropy", box_loss="ciou", jit_compile=False)
    theirs.optimizer.build(theirs.trainable_variables)
    their_truth = {"boxes": truth["boxes"], "classes": tf.cast(truth["labels"], tf.float32)}
    their_step = tf.function(lambda x, y: theirs.train_step((x, y))["loss"])
    ours = our_step(Detector(yolo(setting.side)), images, truth)
    return (ours, called(their_step, images, their_truth)), "keras-cv", batch


def two_stage(setting):
    import torch

    images, truth = pictures(TWO_STAGE_BATCH, setting.side)
    network = tfdl.build("faster_rcnn", "r50_fpn", image_shape=(setting.side, setting.side, 3), num_classes=CLASSES)
    theirs = faster_rcnn_of_torchvision(setting.side)
    parameters = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
    updates = torch.optim.AdamW(parameters, 1e-4)
    channels_first = list(torch.from_numpy(images.numpy().transpose(0, 3, 1, 2).copy()))
    targets = [
        {"boxes": torch.from_numpy(boxes), "labels": 1 + torch.from_numpy(labels).long()}
        for boxes, labels in zip(truth["boxes"].numpy(), truth["labels"].numpy())
    ]

    def their_step():
        updates.zero_grad()
        loss = sum(theirs(channels_first, targets).values())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        updates.step()
        return loss.item()

    ours = our_step(TwoStageDetector(network), images, truth)
    return (ours, their_step), f"torchvision {version('torchvision')}", TWO_STAGE_BATCH


def phone(setting):
    ours = tflite_files(yolo(setting.side), own=True)["float"]
    backbone_and_heads = yolo_of_keras_cv(setting.side)
    image = keras.Input((setting.side, setting.side, 3))
    theirs = tflite_files(keras.Model(image, backbone_and_heads(image)), own=False)["float"]
    return (invoker(ours), invoker(theirs)), "keras-cv", 1


def suppression(setting):
    import keras_cv

    (batch,) = setting.batches
    random = np.random.default_rng(0)
    corner = random.uniform(0, 280, (batch, BOXES, 2))
    boxes = tf.constant(np.concatenate([corner, corner + random.uniform(5, 80, (batch, BOXES, 2))], -1), tf.float32)
    scores = tf.constant(random.beta(1, 8, (batch, BOXES, CLASSES)), tf.float32)
    layer = keras_cv.layers.NonMaxSuppression(
        "xyxy", from_logits=False, iou_threshold=0.7, confidence_threshold=0.25, max_detections=DETECTIONS
    )
    limits = {"iou_threshold": 0.7, "score_threshold": 0.25, "max_detections": DETECTIONS, "candidates": 300}
    ours = tf.function(lambda boxes, scores: non_max_suppression(boxes, scores, **limits)["boxes"])
    theirs = tf.function(lambda boxes, scores: layer(boxes, scores)["boxes"])
    return (called(ours, boxes, scores), called(theirs, boxes, scores)), "keras-cv", batch


def alignment(setting):
    (batch,) = setting.batches
    random = np.random.default_rng(0)
    side = setting.side // STRIDE
    features = tf.constant(random.normal(size=(batch, side, side, CHANNELS)), tf.float32)
    corner = random.uniform(0, setting.side / 2, (batch, DETECTIONS, 2))
    size = random.uniform(8, setting.side / 2, (batch, DETECTIONS, 2))
    boxes = tf.constant(np.concatenate([corner, corner + size], -1), tf.float32)
    of_image = tf.repeat(tf.range(batch), DETECTIONS)
    ours = tf.function(lambda features, boxes: roi_align([features], boxes, [STRIDE], bins=BINS, samples=1))

    def crops(features, boxes):
        yxyx = tf.reshape(tf.gather(boxes, [1, 0, 3, 2], axis=-1), (-1, 4)) / setting.side
        return tf.image.crop_and_resize(features, yxyx, of_image, (BINS, BINS))

    pair = called(ours, features, boxes), called(tf.function(crops), features, boxes)
    return pair, "crop_and_resize", batch


def pipeline(setting):
    (batch,) = setting.batches
    augment = chain(random_mosaic(1.0), random_affine(0.3, shift=0.1), random_color(), random_flip())
    data = detection.load("shapes", image_size=setting.side, batch_size=batch, augment=augment)
    batches = data.train.take(SEVERAL)
    step = our_step(Detector(yolo(setting.side)), *pictures(batch, setting.side))

    def read():  # anew each time, so that nothing is read while a step is measured
        for _ in batches:
            pass

    return (read, lambda: [step() for _ in range(SEVERAL)]), "its step", batch


ROWS = {
    "step": steps,
    "two_stage": two_stage,
    "phone": phone,
    "suppression": suppression,
    "alignment": alignment,
    "pipeline": pipeline,
}


# Networks


def yolo(side):
    return tfdl.build("yolo_v8", "n", image_shape=(side, side, 3), num_classes=CLASSES)


def yolo_of_keras_cv(side):
    """keras-cv's detector with the backbone of its preset yolo_v8_xs_backbone, which would be downloaded."""
    from keras_cv.models import YOLOV8Backbone, YOLOV8Detector

    backbone = YOLOV8Backbone(
        stackwise_channels=[32, 64, 128, 256],
        stackwise_depth=[1, 2, 2, 1],
        include_rescaling=False,
        activation="swish",
        input_shape=(side, side, 3),
    )
    return YOLOV8Detector(num_classes=CLASSES, bounding_box_format="xyxy", backbone=backbone, fpn_depth=1)


def optimizer():
    return keras.optimizers.AdamW(1e-4, global_clipnorm=10.0)


def has_torchvision():
    """Whether it is installed, and its compiled operators fit the PyTorch beside it."""
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision")):
        return False
    try:
        import torchvision
    except RuntimeError:  # "operator torchvision::nms does not exist"
        return False
    return torchvision.extension._has_ops()


def faster_rcnn_of_torchvision(side):
    """Their `fasterrcnn_resnet50_fpn` as it is trained from published weights, with as many regions as ours."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.misc import FrozenBatchNorm2d

    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=3
    )
    regions = dict(rpn_pre_nms_top_n_train=1000, rpn_post_nms_top_n_train=1000)
    return FasterRCNN(backbone, num_classes=1 + CLASSES, min_size=side, max_size=side, **regions).train()


def our_step(model, images, truth):
    """A call for a training step of a learner."""
    model.compile(optimizer())
    model = exact(model)
    model.optimizer.build(model.trainable_variables)
    return called(tf.function(lambda x, y: model.train_step((x, y))["loss"]), images, truth)


def pictures(batch, side):
    """Images (batch, side, side, 3) and their truth: four boxes in each."""
    random = np.random.default_rng(0)
    corner = random.uniform(0, side / 2, (batch, 4, 2))
    boxes = np.concatenate([corner, corner + random.uniform(side / 8, side / 2, (batch, 4, 2))], -1)
    labels = random.integers(CLASSES, size=(batch, 4))
    return tf.constant(random.random((batch, side, side, 3)), tf.float32), {
        "boxes": tf.constant(boxes, tf.float32),
        "labels": tf.constant(labels, tf.int32),
    }


if __name__ == "__main__":
    sys.exit(main())
