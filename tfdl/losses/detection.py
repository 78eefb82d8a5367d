"""Losses of one-stage detectors: which points are to find an object, and how wrong what they say is.

Task-aligned assignment, Feng et al. 2021, arXiv:2108.07755 (TOOD), section 3.2: a point with the score s for an
object's class and a box that overlaps the object by the IoU u fits it as well as

    t = s^alpha u^beta                                                                               eq. 7

The k best points inside each object are to find it; a point that fits several takes the one with which its box
overlaps most.  The target of its score is t, scaled so that the best point of each object has that object's largest u.
With targets q, which sum to S over the batch, and n = S + B:

    L = g_class / n sum BCE(score, q)  +  1/n sum over chosen points of q (g_box (1 - CIoU) + g_distance DFL)

YOLOv8 divides by S alone, or by 1 if that is less.  The one for each picture lets those without objects teach too,
wherever they are in the batch, and hardly counts beside the dozens that S has for a picture with objects.

DFL, Li et al. 2020, arXiv:2006.04388, eq. 6: a distance y between the bins i and i + 1 has the loss
-(i + 1 - y) log P_i - (y - i) log P_(i + 1).  Gains, alpha, beta and k are those of YOLOv8 as described by Terven et
al. 2023, arXiv:2304.00501, section 16.
Shapes: B batch, N objects with padding, A points, C classes, K bins.
"""

import keras
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.boxes import overlap, pairwise_iou, to_distances
from tfdl.ops.suppression import taken

SMALLEST = 1e-9


def task_aligned(scores, boxes, points, true_boxes, true_labels, *, alpha=0.5, beta=6.0, nearest=10):
    """Which points are to find which object.

    Args:
        scores: (B, A, C) in [0, 1]; boxes: (B, A, 4) xyxy, what the network says; no gradient passes.
        points: (A, 2) x, y.
        true_boxes: (B, N, 4); true_labels: (B, N), -1 where padded.
        alpha, beta: exponents of eq. 7.
        nearest: k, points for each object.

    Returns:
        dict: chosen (B, A) bool; boxes (B, A, 4) of the object that the point is to find; scores (B, A, C), the targets
        q: 0 for points that find nothing.
    """
    scores, boxes = ops.stop_gradient(scores), ops.stop_gradient(boxes)
    classes, count = scores.shape[-1], points.shape[0]
    is_object = ops.not_equal(true_labels, PADDING)  # (B, N)
    one_hot = ops.one_hot(ops.maximum(true_labels, 0), classes, dtype="float32")  # (B, N, C)
    of_class = ops.einsum("bnc,bac->bna", one_hot, scores)
    iou = pairwise_iou(true_boxes, boxes)  # (B, N, A)
    is_inside = ops.min(to_distances(true_boxes[:, :, None], points), axis=-1) > SMALLEST
    may = ops.cast(ops.logical_and(is_inside, is_object[..., None]), "float32")
    fit = may * ops.power(of_class, alpha) * ops.power(iou, beta)  # eq. 7; (B, N, A)
    kth = ops.top_k(fit, min(nearest, count))[0][..., -1:]
    chosen = ops.logical_and(fit >= kth, fit > SMALLEST)

    # A point finds one object: of several, that with the largest IoU
    claims = ops.where(chosen, iou, -1.0)
    best = ops.argmax(claims, axis=1)  # (B, A)
    chosen = ops.logical_and(chosen, ops.equal(ops.arange(claims.shape[1])[:, None], best[:, None]))
    fit, iou = ops.where(chosen, fit, 0.0), ops.where(chosen, iou, 0.0)
    largest = ops.max(iou, axis=-1, keepdims=True) / ops.maximum(ops.max(fit, axis=-1, keepdims=True), SMALLEST)
    target = ops.max(fit * largest, axis=1)  # (B, A)
    found = ops.any(chosen, axis=1)
    return {
        "chosen": found,
        "boxes": taken(ops.cast(true_boxes, "float32"), best),
        "scores": ops.where(found[..., None], target[..., None] * taken(one_hot, best), 0.0),
    }


def distribution_focal_loss(distances, logits):
    """DFL of distances (...) in [0, K - 1] for the logits (..., K) of K bins.  -> (...)

    Distances out of range count as the nearest that is in it.
    """
    bins = logits.shape[-1]
    distances = ops.clip(distances, 0.0, bins - 1.001)
    lower = ops.floor(distances)
    part = distances - lower
    log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    place = ops.cast(lower, "int32")
    weights = (1.0 - part)[..., None] * ops.one_hot(place, bins) + part[..., None] * ops.one_hot(place + 1, bins)
    return -ops.sum(weights * log_p, axis=-1)


def detection_terms(outputs, target, points, strides, *, gains=(7.5, 0.5, 1.5)):
    """The numerator of L, and n.

    Args:
        outputs: dict of boxes (B, A, 4), scores (B, A, C) logits, and distances (B, A, 4 K) logits.
        target: from `task_aligned`.
        points: (A, 2); strides: (A, 1).
        gains: g_box, g_class, g_distance.

    Returns:
        (total, number): both (), sums over the batch, so that L = total / number.
    """
    box_gain, class_gain, distance_gain = gains
    logits = ops.cast(outputs["scores"], "float32")
    crossed = keras.losses.binary_crossentropy(target["scores"], logits, from_logits=True) * logits.shape[-1]
    weights = ops.sum(target["scores"], axis=-1)  # (B, A); 0 where nothing is to be found
    ciou = overlap(ops.cast(outputs["boxes"], "float32"), target["boxes"], "ciou")
    sides = to_distances(target["boxes"], points) / strides  # (B, A, 4)
    bins = outputs["distances"].shape[-1] // 4
    spread = distribution_focal_loss(sides, ops.reshape(outputs["distances"], (-1, points.shape[0], 4, bins)))
    per_point = box_gain * (1.0 - ciou) + distance_gain * ops.mean(spread, axis=-1)
    per_point = ops.where(target["chosen"], per_point, 0.0)
    number = ops.sum(weights) + ops.cast(ops.shape(weights)[0], "float32")
    return class_gain * ops.sum(crossed) + ops.sum(weights * per_point), number
