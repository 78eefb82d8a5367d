"""Non-maximum suppression: of boxes that show the same object, only the one with the highest score remains.

Greedy: boxes are taken from the highest score down, and each is left out if it overlaps with one that was kept.  With
s_ji = 1 where box j has a higher score than i, the same class, and an IoU with i above the threshold:

    kept_i = 1 unless some j has kept_j = 1 and s_ji = 1                                               (*)

Matrix NMS, Wang et al. 2020, arXiv:2003.10152 (SOLOv2), eqs. 3 to 5, lowers scores instead of leaving boxes out, in one
step without a loop:

    decay_i = min over j with s_ji' = 1 of f(IoU_ji) / f(max over k of IoU_kj)      f(x) = 1 - x, or exp(-x^2 / sigma)

where s' has no threshold.

Blended: boxes that greedy suppression leaves out are averaged into the one that they overlap with, weighted by their
scores, Bazarevsky et al. 2019, arXiv:1907.05047 (BlazeFace), section 4.1.

All shapes are static: results are padded with labels of -1.
Shapes: B images, N boxes, C classes, K candidates, D detections.
"""

import math

from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.boxes import pairwise_iou

CANDIDATES = 1000  # pairs of box and class that enter; the others have lower scores


def non_max_suppression(
    boxes,
    scores,
    *,
    iou_threshold=0.5,
    score_threshold=0.05,
    max_detections=100,
    candidates=CANDIDATES,
    class_aware=True,
    pairwise=pairwise_iou,
    rounds=None,
):
    """The greedy rule above, for each image of a batch.

    Args:
        boxes: (B, N, 4) xyxy, or what `pairwise` takes.
        scores: (B, N, C) in [0, 1].  A box may stay for several classes.
        iou_threshold: boxes that overlap more than this show the same object.
        score_threshold: pairs of box and class with a lower score are left out.
        max_detections: D.
        candidates: only so many pairs with the highest scores enter.
        class_aware: boxes of different classes leave each other alone.
        pairwise: function of two sets of boxes that gives each pair's IoU; of turned boxes
            `boxes_3d.pairwise_bev_iou`.
        rounds: see `kept_greedily`.

    Returns:
        dict: boxes (B, D, 4), scores (B, D) from the highest down, labels (B, D) int32, and index (B, D) int32, the row
        in N; 0, 0, -1 and -1 where padded.

    Raises:
        ValueError: a number out of its range.
    """
    check(iou_threshold, score_threshold, max_detections, candidates)
    found = best(boxes, scores, candidates)
    overlapping = pairwise(found["boxes"], found["boxes"]) > iou_threshold  # (B, K, K)
    before = ordered_pairs(found["labels"], class_aware)
    is_good = found["scores"] >= score_threshold
    kept = ops.logical_and(kept_greedily(ops.logical_and(overlapping, before), rounds), is_good)
    return detections(found, ops.where(kept, found["scores"], -1.0), max_detections)


def matrix_nms(
    boxes,
    scores,
    *,
    sigma=None,
    score_threshold=0.05,
    max_detections=100,
    candidates=CANDIDATES,
    class_aware=True,
):
    """Matrix NMS on boxes; arguments and result as of `non_max_suppression`, with the lowered scores.

    Args:
        sigma: of the Gaussian f, 0.5 in the paper's code; None is the linear one.
        score_threshold: for the lowered scores.
    """
    check(0.5, score_threshold, max_detections, candidates)
    if sigma is not None and not sigma > 0:
        raise ValueError(f"sigma is {sigma}; give a number above 0, or None for the linear decay.")
    found = best(boxes, scores, candidates)
    iou = pairwise_iou(found["boxes"], found["boxes"])
    lowered = found["scores"] * decay(iou, ordered_pairs(found["labels"], class_aware), sigma)
    lowered = ops.where(lowered >= score_threshold, lowered, -1.0)
    order = ops.argsort(-lowered, axis=-1)
    found = {name: taken(values, order) for name, values in found.items()}
    return detections(found, taken(lowered, order), max_detections)


def best_classes(boxes, scores, *, score_threshold=0.05, max_detections=100):
    """Each box with its best class, without suppression: for networks that find every object once.

    Arguments and result as of `non_max_suppression`.
    """
    check(0.5, score_threshold, max_detections, 1)
    best_scores, labels = ops.max(scores, axis=-1), ops.argmax(scores, axis=-1)  # (B, N)
    order = ops.argsort(-best_scores, axis=-1)
    found = {"boxes": taken(boxes, order), "labels": taken(labels, order), "index": order}
    best_scores = taken(best_scores, order)
    return detections(found, ops.where(best_scores >= score_threshold, best_scores, -1.0), max_detections)


def blended_suppression(
    values, scores, *, iou_threshold=0.3, score_threshold=0.5, max_detections=100, candidates=CANDIDATES
):
    """Greedy suppression in which a box that is left out is averaged into the first box that it overlaps with.

    Args:
        values: (B, N, V), of each box its corners xyxy and any other numbers, such as key points.
        scores: (B, N) in [0, 1]; the weights.
        Others as of `non_max_suppression`.

    Returns:
        dict: values (B, D, V), averages; scores (B, D), the mean score of the boxes that were averaged; and labels
        (B, D) int32, 0, or -1 where padded.
    """
    check(iou_threshold, score_threshold, max_detections, candidates)
    found = best(values, scores[..., None], candidates)
    is_good = found["scores"] >= score_threshold  # (B, K)
    overlapping = pairwise_iou(found["boxes"][..., :4], found["boxes"][..., :4]) > iou_threshold
    overlapping = ops.logical_and(overlapping, is_good[:, None, :])
    place = ops.arange(overlapping.shape[1])
    itself = ops.equal(place[:, None], place)
    kept = kept_greedily(ops.logical_and(overlapping, place[:, None] < place))
    kept = ops.logical_and(kept, is_good)
    claims = ops.logical_or(itself, ops.logical_and(overlapping, place[:, None] < place))
    claims = ops.cast(ops.logical_and(claims, kept[:, :, None]), "int32")  # (B, K, K): the row kept, and the column its
    owned = ops.logical_and(ops.equal(claims, 1), ops.equal(ops.cumsum(claims, axis=1), 1))  # by the first that claims
    owned = ops.cast(owned, scores.dtype)
    weights = owned * found["scores"][:, None, :]
    total = ops.maximum(ops.sum(weights, axis=-1), 1e-9)  # (B, K)
    averages = ops.matmul(weights, found["boxes"]) / total[..., None]
    means = total / ops.maximum(ops.sum(owned, axis=-1), 1.0)
    rank = ops.where(kept, found["scores"], -1.0)
    order = ops.argsort(-rank, axis=-1)
    rows = {"boxes": averages, "scores": means, "labels": found["labels"], "index": found["index"]}
    rows = detections({name: taken(x, order) for name, x in rows.items()}, taken(rank, order), max_detections)
    means = taken(ops.pad(means, [(0, 0), (0, 1)]), order)
    count = min(max_detections, means.shape[1])
    scores = ops.pad(means[:, :count], [(0, 0), (0, max_detections - count)])
    scores = ops.where(rows["labels"] >= 0, scores, 0.0)
    return {"values": rows["boxes"], "scores": scores, "labels": rows["labels"]}


# Parts


def best(boxes, scores, candidates):
    """The pairs of box and class with the highest scores.

    Returns:
        dict: boxes (B, K, 4), scores (B, K) from the highest down, labels (B, K), index (B, K) of the box.
    """
    found = best_pairs(scores, candidates)
    return {"boxes": taken(boxes, found["index"]), **found}


def best_pairs(scores, candidates):
    """The same without boxes."""
    _, count, classes = scores.shape
    flat = ops.reshape(scores, (-1, count * classes))  # (B, N C)
    values, places = ops.top_k(flat, min(candidates, count * classes))
    return {"scores": values, "labels": places % classes, "index": places // classes}


def taken(values, index):
    """Rows of each image: (B, N, ...) at (B, K) -> (B, K, ...)."""
    for _ in values.shape[2:]:
        index = index[..., None]
    return ops.take_along_axis(values, index, axis=1)


def ordered_pairs(labels, class_aware):
    """(B, K, K) bool: whether the row stands before the column, and, if `class_aware`, has the same label."""
    place = ops.arange(labels.shape[1])
    before = (place[:, None] < place[None, :])[None]
    if not class_aware:
        return before
    return ops.logical_and(before, ops.equal(labels[:, :, None], labels[:, None, :]))


def kept_greedily(suppresses, rounds=None):
    """The solution of (*).  (B, K, K) bool, false on and below the diagonal -> (B, K) bool.

    Starts with all kept and applies (*) to all boxes at once until nothing changes.  Box 0 is right from the start, and
    a box is right one step after all boxes before it; so there is exactly one fixed point, that of the loop over boxes,
    and it is found in as many steps as the longest chain has, mostly three to six.

    `rounds`: just so many steps instead, without a loop, which some converters of graphs do not take.
    """
    kept = ops.ones_like(suppresses[:, 0], dtype="bool")

    def goes_on(kept, changed):
        return changed

    def step(kept, changed):
        new = ops.logical_not(ops.any(ops.logical_and(suppresses, kept[:, :, None]), axis=1))
        return new, ops.any(ops.not_equal(new, kept))

    if rounds is None:
        return ops.while_loop(goes_on, step, (kept, ops.convert_to_tensor(True)))[0]
    for _ in range(rounds):
        kept, _ = step(kept, None)
    return kept


def decay(iou, before, sigma):
    """Factor of each score, eqs. 3 and 4 of SOLOv2.  (B, K, K), (B, K, K) -> (B, K)"""
    iou = ops.where(before, iou, 0.0)
    largest = ops.max(iou, axis=1)[:, :, None]  # (B, K, 1) of each box with those before it
    if sigma is None:
        factors = (1.0 - iou) / ops.maximum(1.0 - largest, 1e-7)
    else:
        factors = ops.exp((ops.square(largest) - ops.square(iou)) / sigma)
    return ops.min(ops.where(before, factors, 1.0), axis=1)


def detections(found, scores, count):
    """The first `count` candidates whose new score is not negative, padded; `found` must be sorted by `scores`."""
    missing = max(0, count - scores.shape[1])
    values, places = ops.top_k(scores, min(count, scores.shape[1]))
    is_there = values >= 0
    rows = {
        "boxes": ops.where(is_there[..., None], taken(found["boxes"], places), 0.0),
        "scores": ops.where(is_there, values, 0.0),
        "labels": ops.where(is_there, ops.cast(taken(found["labels"], places), "int32"), PADDING),
        "index": ops.where(is_there, ops.cast(taken(found["index"], places), "int32"), -1),
    }
    fill = {"boxes": 0.0, "scores": 0.0, "labels": PADDING, "index": -1}
    return {
        name: ops.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (len(x.shape) - 2), constant_values=fill[name])
        if missing
        else x
        for name, x in rows.items()
    }


def check(iou_threshold, score_threshold, max_detections, candidates):
    for name, value in (("iou_threshold", iou_threshold), ("score_threshold", score_threshold)):
        if not (0.0 <= value <= 1.0 and math.isfinite(value)):
            raise ValueError(f"{name} is {value}; give a number in [0, 1].")
    for name, value in (("max_detections", max_detections), ("candidates", candidates)):
        if value < 1:
            raise ValueError(f"{name} is {value}; give 1 or more.")
