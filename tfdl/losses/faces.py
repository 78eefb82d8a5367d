"""Loss of BlazeFace: which anchors are to find which face, how sure they are, and how wrong boxes and points are.

The paper trains as SSD does, Liu et al. 2016, arXiv:1512.02325, section 2.2, but its anchors have no sizes to compare
with a box.  Here an anchor is to find a face if it lies within CORE of the box's sides from its middle, or is the
nearest of all to it; of several faces it takes the one whose middle is the nearest, in sides.  With p the scores and
n the chosen anchors of the batch,

    L = 1 / (n + B) sum FL(p)  +  g / n sum over chosen anchors of mean huber((offset - target) / side)

FL is the focal loss, Lin et al. 2017, arXiv:1708.02002, eq. 5: most of the 896 anchors see no face; SSD leaves most of
these out.  Sides make large and small faces count alike.
Shapes: B pictures, M faces with padding, N anchors, P points.
"""

import keras
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.suppression import taken

CORE = 0.25  # of the sides
FAR = 1e9


def chosen_anchors(centers, boxes, labels):
    """(chosen (B, N) bool, face (B, N) int32): which anchors are to find a face, and which one.

    Args:
        centers: (N, 2) x, y of the anchors, see `ops.faces.anchors`.
        boxes: (B, M, 4) xyxy; labels: (B, M), -1 where padded.
    """
    is_face = ops.not_equal(labels, PADDING)[..., None]  # (B, M, 1)
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 1e-6)
    middle = (boxes[..., 2:] + boxes[..., :2]) / 2
    relative = ops.abs(centers - middle[:, :, None]) / sides[:, :, None]  # (B, M, N, 2)
    distance = ops.where(is_face, ops.max(relative, axis=-1), FAR)  # (B, M, N)
    nearest = ops.equal(distance, ops.min(distance, axis=-1, keepdims=True))
    may = ops.logical_and(is_face, ops.logical_or(distance <= CORE, nearest))
    distance = ops.where(may, distance, FAR)
    return ops.any(may, axis=1), ops.cast(ops.argmin(distance, axis=1), "int32")


def face_terms(outputs, truth, centers, *, gain=2.0):
    """The two parts of L as pairs (total, number), all ().

    Args:
        outputs: {"offsets": (B, N, 4 + 2 P), "scores": (B, N, 1) logits}.
        truth: dict of boxes (B, M, 4) xyxy, labels (B, M), and keypoints (B, M, P, 3) x, y, visible, all in pixels.
        centers: (N, 2).
        gain: g.
    """
    boxes, keypoints = ops.cast(truth["boxes"], "float32"), ops.cast(truth["keypoints"], "float32")
    chosen, face = chosen_anchors(centers, boxes, truth["labels"])
    is_chosen = ops.cast(chosen, "float32")
    logits = ops.cast(outputs["scores"], "float32")
    focal = keras.losses.binary_focal_crossentropy(
        is_chosen[..., None], logits, apply_class_balancing=True, from_logits=True
    )  # (B, N)
    pictures = ops.cast(ops.shape(focal)[0], "float32")

    x1, y1, x2, y2 = (part[..., 0] for part in ops.split(taken(boxes, face), 4, axis=-1))  # (B, N)
    places = taken(keypoints, face)  # (B, N, P, 3)
    to_box = ops.stack([(x1 + x2) / 2 - centers[:, 0], (y1 + y2) / 2 - centers[:, 1], x2 - x1, y2 - y1], axis=-1)
    count = places.shape[2]
    to_points = ops.reshape(places[..., :2] - centers[:, None], (-1, centers.shape[0], 2 * count))
    visible = ops.reshape(ops.repeat(places[..., 2], 2, axis=-1), (-1, centers.shape[0], 2 * count))
    target = ops.concatenate([to_box, to_points], axis=-1)
    counts = ops.concatenate([ops.ones_like(to_box), visible], axis=-1)
    side = ops.maximum(ops.maximum(x2 - x1, y2 - y1), 1.0)[..., None]
    wrong = huber((ops.cast(outputs["offsets"], "float32") - target) / side) * counts
    per_anchor = ops.sum(wrong, axis=-1) / ops.sum(counts, axis=-1)
    number = ops.sum(is_chosen)
    return (ops.sum(focal), number + pictures), (gain * ops.sum(per_anchor * is_chosen), number)


def huber(x, width=0.1):
    """|x| beyond `width`, a parabola within."""
    size = ops.abs(x)
    return ops.where(size < width, ops.square(x) / (2 * width), size - width / 2)
