"""Boxes: their formats, how much two of them overlap, and how networks encode them.

A box is x1, y1, x2, y2 ("xyxy"): its upper left and lower right corner in pixels, x to the right and y downwards, so
that its width is x2 - x1.  `convert` changes to and from the other formats:

| format     | numbers                          | who uses it                              |
|------------|----------------------------------|------------------------------------------|
| xyxy       | left, top, right, bottom         | Pascal VOC, torchvision, this library    |
| yxyx       | top, left, bottom, right         | TensorFlow                               |
| xywh       | left, top, width, height         | COCO                                     |
| cxcywh     | center x, center y, width, height| anchors, DETR                            |
| rel_FORMAT | the same in parts of the image   | rel_yxyx: tfds; rel_cxcywh: YOLO's files |

Overlaps: IoU; GIoU, Rezatofighi et al. 2019, arXiv:1902.09630, Algorithm 1; DIoU and CIoU, Zheng et al. 2019,
arXiv:1911.08287, eqs. 6, 8 to 11.  Offsets from anchors: Ren et al. 2015, arXiv:1506.01497, eq. 2.  Distances from
points: Tian et al. 2019, arXiv:1904.01355, eq. 1.
Shapes: ... any axes, N and M boxes, 4 the numbers of a box.
"""

import math

import numpy as np
from keras import ops

FORMATS = ("xyxy", "yxyx", "xywh", "cxcywh")
OVERLAPS = ("iou", "giou", "diou", "ciou")
SMALLEST = 1e-7  # of a height under which an aspect ratio has no meaning; its gradient stays finite
LARGEST_GROWTH = math.log(1000 / 16)  # a box is at most so many times its anchor; as Detectron's bbox_transform_clip


def convert(boxes, source, target, *, image_shape=None):
    """Boxes (..., 4) of the format `source` in the format `target`.  -> (..., 4) float

    Args:
        source, target: one of `FORMATS`, or one with "rel_" in front.
        image_shape: (height, width, ...) in pixels, numbers or tensors; needed between pixels and parts of the image.

    Raises:
        ValueError: an unknown format, or `image_shape` is needed and missing.
    """
    for name in (source, target):
        if name.removeprefix("rel_") not in FORMATS:
            raise ValueError(f"There is no box format {name!r}; choose one of {', '.join(FORMATS)}, or rel_ and one.")
    boxes = to_corners(boxes, source.removeprefix("rel_"))
    was_relative, becomes_relative = source.startswith("rel_"), target.startswith("rel_")
    if was_relative != becomes_relative:
        if image_shape is None:
            raise ValueError(f"Boxes change from {source} to {target}; give the image_shape (height, width).")
        height, width = (ops.cast(side, boxes.dtype) for side in image_shape[:2])
        size = ops.stack([width, height, width, height])
        boxes = boxes * size if was_relative else boxes / size
    return from_corners(boxes, target.removeprefix("rel_"))


def to_corners(boxes, name):
    """Any of `FORMATS` -> xyxy.  (..., 4) -> (..., 4)"""
    boxes = ops.convert_to_tensor(boxes)
    a, b, c, d = sides(boxes)
    if name == "xyxy":
        return boxes
    if name == "yxyx":
        return stacked(b, a, d, c)
    if name == "xywh":
        return stacked(a, b, a + c, b + d)
    return stacked(a - c / 2, b - d / 2, a + c / 2, b + d / 2)


def from_corners(boxes, name):
    """The inverse of `to_corners`."""
    x1, y1, x2, y2 = sides(boxes)
    if name == "xyxy":
        return boxes
    if name == "yxyx":
        return stacked(y1, x1, y2, x2)
    if name == "xywh":
        return stacked(x1, y1, x2 - x1, y2 - y1)
    return stacked((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)


def clip(boxes, image_shape):
    """Boxes (..., 4) xyxy moved to the image's border where they leave it; `image_shape` is (height, width, ...)."""
    height, width = image_shape[:2]
    x1, y1, x2, y2 = sides(ops.convert_to_tensor(boxes))
    return stacked(ops.clip(x1, 0, width), ops.clip(y1, 0, height), ops.clip(x2, 0, width), ops.clip(y2, 0, height))


def area(boxes):
    """Of boxes (..., 4) xyxy; 0 for a box whose right side is left of its left.  -> (...)"""
    width, height = lengths(boxes)
    return width * height


# Overlaps


def overlap(first, second, kind="iou"):
    """How much boxes (..., 4) xyxy overlap with boxes of the same shape, or of one that broadcasts.  -> (...)

    "iou" is from 0 to 1; the others subtract from it, for a gradient where boxes do not touch:
    "giou" the part of the box around both that neither covers, "diou" the squared distance of the centers over that
    box's squared diagonal, "ciou" also the difference of the aspect ratios.  Boxes without area have an IoU of 0, and
    every gradient is finite.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in OVERLAPS:
        raise ValueError(f"There is no overlap {kind!r}; choose one of {', '.join(OVERLAPS)}.")
    first, second = ops.convert_to_tensor(first), ops.convert_to_tensor(second)
    intersection = area(shared(first, second))
    union = area(first) + area(second) - intersection
    iou = divide(intersection, union)
    if kind == "iou":
        return iou
    x1, y1, x2, y2 = (
        corner(*pair)
        for corner, pair in zip((ops.minimum, ops.minimum, ops.maximum, ops.maximum), zip(sides(first), sides(second)))
    )  # the smallest box around both
    if kind == "giou":
        around = (x2 - x1) * (y2 - y1)
        return iou - divide(around - union, around)
    distance = sum(ops.square((a1 + a2 - b1 - b2) / 2) for (a1, a2), (b1, b2) in spans(first, second))
    diou = iou - divide(distance, ops.square(x2 - x1) + ops.square(y2 - y1))  # eq. 7
    if kind == "diou":
        return diou
    angles = [ops.arctan2(width, ops.maximum(height, SMALLEST)) for width, height in map(lengths, (first, second))]
    v = 4 / math.pi**2 * ops.square(angles[0] - angles[1])  # eq. 9
    alpha = ops.stop_gradient(divide(v, 1.0 - iou + v))  # eq. 11; a weight, not a part of the loss
    return diou - alpha * v  # eq. 10


def pairwise_iou(first, second):
    """IoU of each box of `first` (..., N, 4) with each of `second` (..., M, 4).  -> (..., N, M)"""
    first, second = ops.convert_to_tensor(first), ops.convert_to_tensor(second)
    return overlap(first[..., :, None, :], second[..., None, :, :])


# What networks put out


def encode(boxes, anchors, scales=(1.0, 1.0)):
    """Offsets of boxes (..., 4) xyxy from anchors (..., 4) xyxy, eq. 2 of Faster R-CNN.  -> (..., 4)

    ((x - x_a) / w_a, (y - y_a) / h_a) / scales[0], (log w / w_a, log h / h_a) / scales[1], of centers and sizes.
    Boxes and anchors must have an area; `scales` make the numbers about as large as each other (0.1 and 0.2 in SSD).
    """
    x, y, w, h = sides(from_corners(ops.convert_to_tensor(boxes), "cxcywh"))
    x_a, y_a, w_a, h_a = sides(from_corners(ops.convert_to_tensor(anchors), "cxcywh"))
    place, size = scales
    return stacked((x - x_a) / w_a / place, (y - y_a) / h_a / place, ops.log(w / w_a) / size, ops.log(h / h_a) / size)


def decode(offsets, anchors, scales=(1.0, 1.0)):
    """The inverse of `encode`; sizes are at most 62.5 times the anchor's, which keeps the exponential finite."""
    t_x, t_y, t_w, t_h = sides(ops.convert_to_tensor(offsets))
    x_a, y_a, w_a, h_a = sides(from_corners(ops.convert_to_tensor(anchors), "cxcywh"))
    place, size = scales
    w = w_a * ops.exp(ops.minimum(t_w * size, LARGEST_GROWTH))
    h = h_a * ops.exp(ops.minimum(t_h * size, LARGEST_GROWTH))
    return to_corners(stacked(x_a + t_x * place * w_a, y_a + t_y * place * h_a, w, h), "cxcywh")


def to_distances(boxes, points):
    """Distances of the left, top, right and bottom side of boxes (..., 4) xyxy from points (..., 2) x, y.  -> (..., 4)

    All are positive exactly if the point lies inside.
    """
    x1, y1, x2, y2 = sides(ops.convert_to_tensor(boxes))
    x, y = points[..., 0], points[..., 1]
    return stacked(x - x1, y - y1, x2 - x, y2 - y)


def from_distances(distances, points):
    """The inverse of `to_distances`."""
    left, top, right, bottom = sides(ops.convert_to_tensor(distances))
    x, y = points[..., 0], points[..., 1]
    return stacked(x - left, y - top, x + right, y + bottom)


def grid_points(image_shape, strides):
    """Centers of the cells of feature maps, and the stride of each: NumPy (N, 2) x, y in pixels, and (N, 1).

    The maps come in the order of `strides`, each row by row; a map of stride s has ceil(H / s) x ceil(W / s) cells.
    """
    points, steps = [], []
    for stride in strides:
        rows, columns = (-(-side // stride) for side in image_shape[:2])
        y, x = np.mgrid[:rows, :columns]
        points.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        steps.append(np.full((rows * columns, 1), stride))
    return np.concatenate(points).astype("float32"), np.concatenate(steps).astype("float32")


# Parts


def sides(boxes):
    """(..., 4) -> its four numbers (...)."""
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def stacked(*numbers):
    """The inverse of `sides`."""
    return ops.stack(numbers, axis=-1)


def lengths(boxes):
    """Width and height of boxes xyxy, 0 or more.  -> (...), (...)"""
    x1, y1, x2, y2 = sides(boxes)
    return ops.maximum(x2 - x1, 0), ops.maximum(y2 - y1, 0)


def shared(first, second):
    """The box that two boxes have in common; without area if there is none."""
    a, b = sides(first), sides(second)
    return stacked(*(ops.maximum(p, q) for p, q in zip(a[:2], b[:2])), *map(ops.minimum, a[2:], b[2:]))


def spans(first, second):
    """((left, right) of both boxes) and ((top, bottom) of both)."""
    a, b = sides(first), sides(second)
    return (((a[0], a[2]), (b[0], b[2])), ((a[1], a[3]), (b[1], b[3])))


def divide(numerator, denominator):
    """The quotient, or 0 where the denominator isn't positive; also of its gradient."""
    is_positive = denominator > 0
    return ops.where(is_positive, numerator / ops.where(is_positive, denominator, 1), 0)
