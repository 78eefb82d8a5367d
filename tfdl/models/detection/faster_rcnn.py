"""Faster R-CNN: one network proposes regions that may hold an object, another says which, and corrects its box.

Papers: Ren et al. 2015, arXiv:1506.01497, section 3.1 (region proposals); with a feature pyramid: Lin et al. 2016,
arXiv:1612.03144, section 4.  Sizes and conventions are those of torchvision's `fasterrcnn_resnet50_fpn`.

    images -> ResNet -> pyramid P2 ... P5, and P6, which is P5 with every second point
    each level -> objectness and offsets of three anchors a point -> the R best boxes, suppressed level by level
    proposals -> RoIAlign from P2 ... P5 -> two dense layers -> class, and a box for each class

Shapes: B batch, H W height and width of the picture, A anchors, R proposals, C classes, D detections.
"""

import keras
import numpy as np
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.core.serial import serializable
from tfdl.layers.feature_pyramid import feature_pyramid
from tfdl.layers.pixels import image_input
from tfdl.models.backbones import freeze
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.convnets.resnet import ResNetConfig, resnet
from tfdl.ops.boxes import area, clip, decode, lengths
from tfdl.ops.roi_align import roi_align
from tfdl.ops.suppression import non_max_suppression, taken

STRIDES = (4, 8, 16, 32)  # of P2 to P5
RATIOS = (0.5, 1.0, 2.0)  # height over width of an anchor
SCALES = (0.1, 0.2)  # of the second network's offsets
NOTHING = 0  # output of the class "no object", before those of the others


@config
class FasterRCNNConfig:
    """One network."""

    backbone: ResNetConfig
    channels: int = 256  # of the pyramid
    inner: int = 1024  # of the two dense layers
    anchors: tuple[float, ...] = (32.0, 64.0, 128.0, 256.0, 512.0)  # sides in pixels, of P2 to P6
    candidates: int = 1000  # of each level, before suppression
    proposals: int = 1000  # R
    iou_threshold: float = 0.7  # of proposals that show the same
    pretrained: bool = True  # the backbone's norms, stem and first stage stay as they are; False: all of it learns
    # Of the two dense layers, for training from scratch: He et al. 2018, arXiv:1811.08883, section 3
    norm: bool = False

    def __post_init__(self):
        if min(self.channels, self.inner, self.candidates, self.proposals) < 1 or len(self.anchors) != 5:
            raise ValueError(
                f"faster_rcnn needs positive sizes and five anchors: {self.channels} channels, {self.inner} inner, "
                f"{self.candidates} candidates, {self.proposals} proposals, anchors {self.anchors}."
            )


VARIANTS = {
    "nano": FasterRCNNConfig(  # ours, for tests
        backbone=RESNETS["nano"],
        channels=8,
        inner=16,
        anchors=(8.0, 16.0, 32.0, 64.0, 128.0),
        candidates=40,
        proposals=12,
        pretrained=False,
    ),
    "small_images": FasterRCNNConfig(  # ours, for pictures of about 100 pixels and two CPU cores
        backbone=RESNETS["18_quarter"],
        channels=48,
        inner=256,
        anchors=(12.0, 24.0, 48.0, 72.0, 96.0),
        candidates=200,
        proposals=64,
        pretrained=False,
        norm=True,
    ),
    "r50_fpn": FasterRCNNConfig(backbone=RESNETS["50"]),
}
CANONICAL = {"small_images": dict(image_shape=(96, 96, 3), num_classes=4)}


def faster_rcnn(
    variant="r50_fpn", *, image_shape=(800, 800, 3), num_classes=90, normalize="imagenet", name="faster_rcnn"
):
    """Images (B, H, W, C) in [0, 1] -> a dict of what both networks say, or with None the pyramid's maps.

    objectness (B, A) logits and anchor_offsets (B, A, 4) from `anchors_of`; proposals (B, R, 4) xyxy in pixels, zeros
    where there are fewer; logits (B, R, 1 + num_classes), the first for "no object"; box_offsets (B, R, 1 +
    num_classes, 4) from the proposals; and found_boxes (B, D, 4), found_scores (B, D) and found_labels (B, D), -1 where
    padded, from `detections_of`.  90 classes are COCO's category ids minus 1.
    `variant` is a row of VARIANTS or a FasterRCNNConfig.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant, or a side that is not a multiple of 32.
    """
    c = choose_variant(variant, VARIANTS, model="faster_rcnn")
    images, outputs, maps = regions(c, image_shape, num_classes, normalize)
    if num_classes is None:
        return keras.Model(images, {f"stride{2**i}": x for i, x in enumerate(maps, 2)}, name=name)
    return keras.Model(images, outputs, name=name)


def regions(c, image_shape, num_classes, normalize):
    """The input, the outputs of `faster_rcnn` and the maps P2 to P6; Mask R-CNN adds to them."""
    check_num_classes(num_classes)
    image_input(image_shape)
    if any(side is None or side % STRIDES[-1] for side in image_shape[:2]):
        raise ValueError(f"image_shape is {tuple(image_shape)}; faster_rcnn needs sides that are multiples of 32.")
    backbone = resnet(c.backbone, image_shape=image_shape, num_classes=None, normalize=normalize)
    if c.pretrained:
        freeze(backbone)
    images = backbone.input
    maps = feature_pyramid([backbone.output[f"stride{s}"] for s in STRIDES], c.channels)
    maps.append(layers.MaxPooling2D(1, 2, name="pyramid_last")(maps[-1]))
    if num_classes is None:
        return images, {}, maps

    # Region proposals: one head for all levels
    conv = layers.Conv2D(
        c.channels, 3, padding="same", activation="relu", kernel_initializer=small_normal(), name="rpn_conv"
    )
    options = dict(kernel_initializer=small_normal(), dtype="float32")
    of_object = layers.Conv2D(len(RATIOS), 1, name="rpn_objectness", **options)
    of_offsets = layers.Conv2D(4 * len(RATIOS), 1, name="rpn_offsets", **options)
    hidden = [conv(x) for x in maps]
    objectness = ops.concatenate([ops.reshape(of_object(x), (-1, cells(x) * len(RATIOS))) for x in hidden], axis=1)
    offsets = ops.concatenate([ops.reshape(of_offsets(x), (-1, cells(x) * len(RATIOS), 4)) for x in hidden], axis=1)
    grids = tuple(tuple(x.shape[1:3]) for x in maps)
    proposals = Proposals(
        tuple(image_shape[:2]), grids, c.anchors, c.candidates, c.proposals, c.iou_threshold, name="proposals"
    )(objectness, offsets)

    # What is in them
    x = RoIAlign(STRIDES, bins=7, name="roi_align")(maps[:-1], proposals)  # (B, R, 7, 7, C)
    x = layers.Reshape((c.proposals, 49 * c.channels), name="roi_flat")(x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(c.inner, name=name)(x)
        x = layers.LayerNormalization(name=f"{name}_norm")(x) if c.norm else x
        x = layers.ReLU(name=f"{name}_relu")(x)
    logits = layers.Dense(1 + num_classes, dtype="float32", name="logits")(x)
    box_offsets = layers.Dense(4 * (1 + num_classes), dtype="float32", name="box_offsets")(x)
    box_offsets = layers.Reshape((c.proposals, 1 + num_classes, 4), dtype="float32", name="box_rows")(box_offsets)
    found = Detections(tuple(image_shape[:2]), name="detections")(logits, box_offsets, proposals)
    outputs = {
        "objectness": objectness,
        "anchor_offsets": offsets,
        "proposals": proposals,
        "logits": logits,
        "box_offsets": box_offsets,
        **{f"found_{name}": found[name] for name in ("boxes", "scores", "labels")},
    }
    return images, outputs, maps


def small_normal():
    return keras.initializers.RandomNormal(stddev=0.01)  # section 3.1.3


def cells(x):
    return x.shape[1] * x.shape[2]


def anchors_of(image_shape, grids, sizes):
    """The anchors of every point of every level, (A, 4) xyxy, NumPy: level by level, row by row, ratio by ratio.

    As torchvision makes them: in whole pixels around the upper left corner of each cell.

    Args:
        image_shape: (height, width, ...); grids: (rows, columns) of each level; sizes: side of a square one in pixels.
    """
    found = []
    for (rows, columns), size in zip(grids, sizes):
        heights = np.sqrt(np.array(RATIOS)) * size
        half = np.round(np.stack([-size / np.sqrt(RATIOS), -heights, size / np.sqrt(RATIOS), heights], -1) / 2)
        y, x = np.mgrid[:rows, :columns]
        corner = np.stack([x * (image_shape[1] // columns), y * (image_shape[0] // rows)] * 2, -1)  # (rows, columns, 4)
        found.append((corner[:, :, None] + half).reshape(-1, 4))
    return np.concatenate(found).astype("float32")


def detections_of(logits, box_offsets, proposals, image_shape, *, score_threshold=0.05, iou_threshold=0.5, count=100):
    """What the second network finds: pairs of proposal and class, suppressed class by class.

    Args:
        logits: (B, R, 1 + C); box_offsets: (B, R, 1 + C, 4); proposals: (B, R, 4).
        image_shape: (height, width, ...), at whose border boxes are cut.
        score_threshold, iou_threshold: see `non_max_suppression`.
        count: D.

    Returns:
        dict: boxes (B, D, 4) xyxy, scores (B, D), labels (B, D), -1 where padded, as of `non_max_suppression`.
    """
    _, regions_, classes = logits.shape
    scores = ops.softmax(ops.cast(logits, "float32"))[..., NOTHING + 1 :]  # (B, R, C)
    boxes = clip(decode(box_offsets[..., NOTHING + 1 :, :], proposals[..., None, :], SCALES), image_shape)
    smallest = ops.minimum(*lengths(boxes))
    is_real = ops.logical_and(smallest >= 1e-2, area(proposals)[..., None] > 0)
    pairs = regions_ * (classes - 1)
    scores = ops.reshape(ops.where(is_real, scores, -1.0), (-1, pairs, 1))
    # Boxes of different classes are moved apart, so that they do not suppress each other
    apart = 2.0 * max(image_shape[:2]) * ops.arange(classes - 1, dtype="float32")[:, None]
    found = non_max_suppression(
        ops.reshape(boxes + apart, (-1, pairs, 4)),
        scores,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_detections=count,
    )
    place = ops.maximum(found["index"], 0)
    is_there = found["index"] >= 0
    return {
        "boxes": ops.where(is_there[..., None], taken(ops.reshape(boxes, (-1, pairs, 4)), place), 0.0),
        "scores": found["scores"],
        "labels": ops.where(is_there, place % (classes - 1), -1),
    }


# Layers without weights, which a saved model rebuilds


@serializable
class Proposals(layers.Layer):
    """Objectness (B, A) logits, offsets (B, A, 4) -> the best boxes (B, R, 4) xyxy, zeros where padded.

    No gradient passes: both networks learn from their own losses.

    Args:
        image_shape, grids, sizes: see `anchors_of`.
        candidates: of each level, with the highest objectness.
        count: R.
        iou_threshold: above which boxes of one level suppress each other.
    """

    def __init__(self, image_shape, grids, sizes, candidates, count, iou_threshold, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.image_shape, self.count = tuple(image_shape), count
        self.candidates, self.iou_threshold = candidates, iou_threshold
        self.level_sizes = [rows * columns * len(RATIOS) for rows, columns in grids]
        self.anchors = anchors_of(image_shape, grids, sizes)

    def call(self, objectness, offsets):
        scores = ops.sigmoid(ops.stop_gradient(objectness))
        boxes = clip(decode(ops.stop_gradient(offsets), self.anchors), self.image_shape)
        scores = ops.where(ops.minimum(*lengths(boxes)) >= 1e-3, scores, -1.0)
        found, start = [], 0
        for size in self.level_sizes:
            level = slice(start, start + size)
            start += size
            found.append(
                non_max_suppression(
                    boxes[:, level],
                    scores[:, level, None],
                    iou_threshold=self.iou_threshold,
                    score_threshold=0.0,
                    max_detections=min(self.count, self.candidates, size),
                    candidates=self.candidates,
                )
            )
        boxes, scores, labels = (ops.concatenate([x[name] for x in found], axis=1) for name in FOUND)
        scores = ops.where(labels >= 0, scores, -1.0)
        if missing := max(0, self.count - scores.shape[1]):
            boxes = ops.pad(boxes, ((0, 0), (0, missing), (0, 0)))
            scores = ops.pad(scores, ((0, 0), (0, missing)), constant_values=-1.0)
        _, best = ops.top_k(scores, self.count)
        return taken(boxes, best)

    def compute_output_shape(self, objectness_shape, offsets_shape):
        return (objectness_shape[0], self.count, 4)


FOUND = ("boxes", "scores", "labels")


@serializable
class Detections(layers.Layer):
    """Logits, box_offsets and proposals -> dict of boxes, scores and labels: see `detections_of`.

    Args:
        image_shape: (height, width) of the pictures.
        count: D.
    """

    def __init__(self, image_shape, count=100, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.image_shape, self.count = tuple(image_shape), count

    def call(self, logits, box_offsets, proposals):
        return detections_of(logits, box_offsets, proposals, self.image_shape, count=self.count)

    def compute_output_spec(self, logits, box_offsets, proposals):
        rows = (logits.shape[0], self.count)
        kinds = {"boxes": ((*rows, 4), "float32"), "scores": (rows, "float32"), "labels": (rows, "int32")}
        return {name: keras.KerasTensor(shape, dtype, name=name) for name, (shape, dtype) in kinds.items()}


@serializable
class RoIAlign(layers.Layer):
    """Maps (B, H, W, C), boxes (B, R, 4) -> (B, R, P, P, C): see `tfdl.ops.roi_align`.

    Args:
        strides: of the maps.
        bins: P.
    """

    def __init__(self, strides, bins, **kwargs):
        super().__init__(autocast=False, **kwargs)  # boxes stay float32
        self.strides, self.bins = tuple(strides), bins

    def call(self, maps, boxes):
        return roi_align(maps, boxes, self.strides, bins=self.bins)

    def compute_output_shape(self, maps_shape, boxes_shape):
        return (*boxes_shape[:2], self.bins, self.bins, maps_shape[0][-1])
