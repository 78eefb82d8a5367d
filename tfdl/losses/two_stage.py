"""Losses of two-stage detectors: which anchors and regions learn, what they are to say, and how wrong they are.

Ren et al. 2015, arXiv:1506.01497, section 3.1.2.  An anchor is positive if its IoU with an object is 0.7 or more, or if
no anchor overlaps more with that object; negative if its IoU with every object is below 0.3; the others teach nothing.
Of both kinds n are drawn at random in each picture, at most half of them positive.  With the objectness p of an anchor,
its offsets t from the object, eq. 2, and S anchors drawn in the batch:

    L_regions = 1/S sum BCE(p, positive)  +  1/S sum over positives of smooth_L1(t - t*)                       eq. 1

The second network learns likewise from the proposals, and from the objects' own boxes, so that it has something to
learn as long as proposals are bad: positive from an IoU of 0.5 on, else of the class "no object", at most a quarter
positive (Girshick 2015, arXiv:1504.08083, section 2.3), with the cross entropy of all classes and the offsets of the
true one.  The masks of Mask R-CNN, He et al. 2017, arXiv:1703.06870, section 3, add over the positives

    L_mask = mean over points of BCE(mask of the true class, what the object covers)

so that classes do not compete.  Offsets of the second network are divided by (0.1, 0.1, 0.2, 0.2), and smooth L1 is
quadratic below beta = 1/9; both are torchvision's, as is one mean over the batch in place of the paper's mean over
pictures.  Every term is a sum and the number that it is divided by, so that both can be added over replicas.
Shapes: B batch, N objects with padding, A anchors or regions, S of them drawn, P S positives at most, C classes.
"""

import keras
import numpy as np
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.boxes import area, encode, pairwise_iou, sides
from tfdl.ops.suppression import taken

BETA = 1 / 9
NOTHING = 0  # the class "no object", before those of objects


def matched(boxes, true_boxes, true_labels, *, positive, negative, always=False):
    """Which boxes show an object, and which.

    Args:
        boxes: (A, 4) or (B, A, 4) xyxy.
        true_boxes: (B, N, 4); true_labels: (B, N), -1 where padded.
        positive, negative: least IoU of positives; IoU below which a box is negative.
        always: the boxes that overlap most with an object are positive, however little that is.

    Returns:
        object (B, A) int32, the row in N with the largest IoU; is_positive, is_negative (B, A) bool.
    """
    is_object = ops.not_equal(true_labels, PADDING)
    iou = pairwise_iou(true_boxes, boxes)  # (B, N, A)
    iou = ops.where(is_object[..., None], iou, -1.0)
    largest = ops.max(iou, axis=1)  # (B, A)
    is_positive = largest >= positive
    if always:
        best = ops.max(iou, axis=2, keepdims=True)
        is_positive = ops.logical_or(is_positive, ops.any(ops.logical_and(iou >= best, best > 0), axis=1))
    is_negative = ops.logical_and(largest < negative, ops.logical_not(is_positive))
    return ops.cast(ops.argmax(iou, axis=1), "int32"), is_positive, is_negative


def drawn(is_positive, is_negative, numbers, count, share):
    """S boxes at random: at most S * share positives, which come first, then negatives.

    Args:
        is_positive, is_negative: (B, A) bool.
        numbers: (A,) in [0, 1), random: those with the largest are drawn.
        count: S; share: of positives.

    Returns:
        rows (B, S) in A; is_positive (B, S); is_drawn (B, S), false where there are not enough.
    """
    count = min(count, is_positive.shape[1])
    most = max(1, int(count * share))
    ranks = ops.where(is_positive, numbers, -1.0)
    least = ops.top_k(ranks, most)[0][:, -1:]
    ranks = ops.where(ops.logical_and(is_positive, ranks >= least), 2.0 + numbers, -1.0)
    ranks = ops.where(is_negative, numbers, ranks)
    ranks, rows = ops.top_k(ranks, count)
    return rows, ranks >= 2.0, ranks >= 0.0


def smooth_l1(error, beta=BETA):
    """error^2 / (2 beta) below beta, |error| - beta / 2 above: Girshick 2015, eq. 3, with beta = 1."""
    size = ops.abs(error)
    return ops.where(size < beta, 0.5 * ops.square(error) / beta, size - 0.5 * beta)


def region_terms(objectness, offsets, anchors, true_boxes, true_labels, numbers, *, count=256):
    """The two terms of L_regions: ((sum, S), (sum, S)).

    Args:
        objectness: (B, A) logits; offsets: (B, A, 4) from `anchors` (A, 4).
        numbers: (A,), see `drawn`; count: n.
        Others as of `matched`.
    """
    owner, is_positive, is_negative = matched(anchors, true_boxes, true_labels, positive=0.7, negative=0.3, always=True)
    rows, is_positive, is_drawn = drawn(is_positive, is_negative, numbers, count, share=0.5)
    logits = ops.cast(taken(objectness, rows), "float32")
    crossed = binary_crossentropy(ops.cast(is_positive, "float32"), logits)
    targets = encode(*with_area(taken(true_boxes, taken(owner, rows)), ops.take(anchors, rows, axis=0), is_positive))
    distance = ops.sum(smooth_l1(ops.cast(taken(offsets, rows), "float32") - targets), axis=-1)
    number = ops.sum(ops.cast(is_drawn, "float32"))
    return (summed(crossed, is_drawn), number), (summed(distance, is_positive), number)


def drawn_regions(proposals, true_boxes, true_labels, numbers, *, count=512, share=0.25):
    """The regions that the second network learns from; no gradient passes.

    Args:
        proposals: (B, R, 4), without area where padded.
        numbers: (R + N,), see `drawn`; count: n.
        Others as of `matched`.

    Returns:
        dict: boxes (B, S, 4); labels (B, S), 0 for no object, 1 more than the object's otherwise, -1 where nothing was
        drawn; object (B, S), its row in N; and true_boxes (B, S, 4).
    """
    boxes = ops.stop_gradient(ops.concatenate([proposals, ops.cast(true_boxes, "float32")], axis=1))
    is_region = area(boxes) > 0
    owner, is_positive, is_negative = matched(boxes, true_boxes, true_labels, positive=0.5, negative=0.5)
    is_negative = ops.logical_and(is_negative, is_region)
    rows, is_positive, is_drawn = drawn(is_positive, is_negative, numbers, count, share)
    owner = taken(owner, rows)
    labels = ops.where(is_positive, taken(true_labels, owner) + 1, NOTHING)
    return {
        "boxes": taken(boxes, rows),
        "labels": ops.where(is_drawn, labels, PADDING),
        "object": owner,
        "true_boxes": taken(true_boxes, owner),
    }


def class_terms(logits, offsets, regions, scales):
    """The terms of class and box of the second network: ((sum, S), (sum, S)).

    Args:
        logits: (B, S, 1 + C); offsets: (B, S, 1 + C, 4).
        regions: of `drawn_regions`; scales: of the offsets, see `encode`.
    """
    labels = regions["labels"]
    is_drawn, is_positive = labels >= 0, labels > NOTHING
    one_hot = ops.one_hot(ops.maximum(labels, 0), logits.shape[-1], dtype="float32")  # (B, S, 1 + C)
    crossed = -ops.sum(one_hot * ops.log_softmax(ops.cast(logits, "float32")), axis=-1)
    found = ops.einsum("bscd,bsc->bsd", ops.cast(offsets, "float32"), one_hot)
    targets = encode(*with_area(regions["true_boxes"], regions["boxes"], is_positive), scales)
    distance = ops.sum(smooth_l1(found - targets), axis=-1)
    number = ops.sum(ops.cast(is_drawn, "float32"))
    return (summed(crossed, is_drawn), number), (summed(distance, is_positive), number)


def mask_term(masks, regions, instances):
    """L_mask as (sum, number of points).

    Args:
        masks: (B, S, M, M, 1 + C) logits.
        regions: of `drawn_regions`, or those of its rows that can be positive.
        instances: (B, H, W) int32, the row of the object that each pixel shows.
    """
    is_positive = regions["labels"] > NOTHING
    one_hot = ops.one_hot(ops.maximum(regions["labels"], 0), masks.shape[-1], dtype="float32")
    logits = ops.einsum("bshwc,bsc->bshw", ops.cast(masks, "float32"), one_hot)
    targets = covered(instances, regions["boxes"], regions["object"], masks.shape[-2])
    crossed = ops.mean(binary_crossentropy(targets, logits), axis=(-2, -1))  # (B, S)
    return summed(crossed, is_positive), ops.sum(ops.cast(is_positive, "float32"))


def covered(instances, boxes, objects, points):
    """What objects cover of boxes: 1 where the pixel in the middle of a bin shows the object, else 0.

    Args:
        instances: (B, H, W) int32; boxes: (B, S, 4) xyxy in pixels; objects: (B, S).
        points: M, bins along a side.

    Returns:
        (B, S, M, M) float32.
    """
    _, height, width = instances.shape
    part = (np.arange(points, dtype="float32") + 0.5) / points
    x1, y1, x2, y2 = (side[..., None] for side in sides(ops.cast(boxes, "float32")))  # (B, S, 1)
    x = ops.clip(ops.floor(x1 + (x2 - x1) * part), 0, width - 1)  # (B, S, M)
    y = ops.clip(ops.floor(y1 + (y2 - y1) * part), 0, height - 1)
    place = ops.cast(y[..., :, None] * width + x[..., None, :], "int32")  # (B, S, M, M)
    count = boxes.shape[1] * points * points
    shown = taken(ops.reshape(instances, (-1, height * width)), ops.reshape(place, (-1, count)))
    shown = ops.reshape(shown, (-1, boxes.shape[1], points, points))
    return ops.cast(ops.equal(shown, ops.cast(objects, shown.dtype)[..., None, None]), "float32")


# Parts


def with_area(true_boxes, boxes, is_positive):
    """Both boxes, or a box of one pixel where there is nothing to learn: `encode` needs an area."""
    unit = np.array([0, 0, 1, 1], "float32")
    is_positive = is_positive[..., None]
    return ops.where(is_positive, true_boxes, unit), ops.where(is_positive, boxes, unit)


def binary_crossentropy(targets, logits):
    """Of each number."""
    return keras.losses.binary_crossentropy(targets[..., None], logits[..., None], from_logits=True)


def summed(values, chosen):
    return ops.sum(ops.where(chosen, values, 0.0))
