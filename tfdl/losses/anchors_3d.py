"""Loss of a detector in space: which anchors are to find an object, and how wrong what they say is.

An anchor is positive if no other overlaps more with some object, or if its IoU with an object, seen from above, is
above 0.6; it is negative if its IoU with every object is below 0.45; the others are left alone (section 3.1), and with
them those that overlap as much with an object that is to be ignored.

    L = alpha / N_pos sum over positive anchors of BCE(p, 1) + beta / N_neg sum over negative anchors of BCE(p, 0)
        + 1 / N_pos sum over positive anchors of SmoothL1(u, u*)                                         eq. 2

with the residuals u* of eq. 1, alpha = 1.5 and beta = 1.  Positive and negative anchors each have a mean of their own,
since there are hundreds of the latter for one of the former.

Paper: Zhou & Tuzel 2018, arXiv:1711.06396 (VoxelNet), sections 2.2 and 3.1.
Shapes: B batch, N objects with padding, A anchors.
"""

import keras
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.boxes_3d import encode, pairwise_bev_iou
from tfdl.ops.suppression import taken

POSITIVE, NEGATIVE = 0.6, 0.45  # of cars


def assign(anchors, true_boxes, true_labels, ignored=None, *, positive=POSITIVE, negative=NEGATIVE):
    """Which anchors are to find which object.

    Args:
        anchors: (A, 7).
        true_boxes: (B, N, 7); true_labels: (B, N), -1 where padded.
        ignored: (B, N) bool, objects that are neither to be found nor to be taken for nothing; None for none.
        positive, negative: thresholds of the IoU.

    Returns:
        dict: positive (B, A) and negative (B, A), bool; boxes (B, A, 7) of the object that an anchor is to find,
        without a meaning where it is not positive.
    """
    is_object = ops.not_equal(true_labels, PADDING)  # (B, N)
    iou = ops.where(is_object[..., None], pairwise_bev_iou(true_boxes, anchors), 0.0)  # (B, N, A)
    is_free = ops.max(iou, axis=1) < negative  # of every object
    if ignored is not None:
        iou = ops.where(ignored[..., None], 0.0, iou)
    most = ops.max(iou, axis=-1, keepdims=True)
    is_best = ops.logical_and(ops.equal(iou, most), most > 0)  # of its object
    # An anchor that is the best of an object finds that one, even if it overlaps more with another
    claims = iou + ops.cast(is_best, iou.dtype)
    owner = ops.argmax(claims, axis=1)  # (B, A)
    largest = ops.max(iou, axis=1)
    is_positive = ops.logical_or(ops.any(is_best, axis=1), largest > positive)
    is_negative = ops.logical_and(is_free, ops.logical_not(is_positive))
    return {
        "positive": is_positive,
        "negative": is_negative,
        "boxes": taken(ops.cast(true_boxes, "float32"), owner),
    }


def anchor_terms(outputs, target, anchors, *, alpha=1.5, beta=1.0):
    """The two terms of L, (numerator, number of what it is divided by), each summed over the batch.

    Args:
        outputs: dict of scores (B, A, 1), logits, and offsets (B, A, 7).
        target: from `assign`.
        anchors: (A, 7).
    """
    logits = ops.cast(outputs["scores"], "float32")  # (B, A, 1)
    offsets = ops.cast(outputs["offsets"], "float32")
    positive, negative = (ops.cast(target[name], "float32") for name in ("positive", "negative"))
    found, empty = (
        keras.losses.binary_crossentropy(goal(logits), logits, from_logits=True)
        for goal in (ops.ones_like, ops.zeros_like)
    )  # (B, A)
    # Where nothing is to be found, the anchor itself stands for the object: its logarithms are finite
    boxes = ops.where(target["positive"][..., None], target["boxes"], anchors)
    wrong = ops.sum(smooth_l1(offsets - encode(boxes, anchors)), axis=-1)
    return [
        (ops.sum(positive * (alpha * found + wrong)), ops.sum(positive)),
        (beta * ops.sum(negative * empty), ops.sum(negative)),
    ]


def smooth_l1(differences):
    """Half the square below 1, the distance less 1/2 above: Girshick 2015, arXiv:1504.08083, eq. 3."""
    size = ops.abs(differences)
    return ops.where(size < 1.0, 0.5 * ops.square(differences), size - 0.5)
