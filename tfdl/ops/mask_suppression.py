"""Masks of the cells of grids -> the objects of a picture: SOLO's inference with matrix suppression.

Wang et al. 2019, arXiv:1912.04488, section 3.4, and 2020, arXiv:2003.10152 (SOLOv2), section 3.3:

1. Of all pairs of cell and class, the K with the highest probability p are looked at, if p is above a threshold.
2. A mask is where its probability m is above 1/2.  Its score is p times the mean m there: p alone says nothing about
   how sure the mask is.
3. Scores fall where a better mask of the same class shows much the same, see `suppression.decay`.
4. The D best remain.

Shapes are static and there is no loop, so that phones run it too.
Shapes: B pictures, L levels, S cells of a level's rows and columns, G cells of all levels, C classes, K candidates, D
detections, h w of the finest masks.
"""

import math

from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.boxes import area
from tfdl.ops.suppression import best_pairs, decay, detections, taken

MASK = 0.5  # probability above which a pixel is of the object
SIGMA = 0.5  # of the Gaussian decay, Fig. 4 of SOLOv2
SMALLEST = 1e-6  # of a denominator


def grid_objects(
    scores, factors, stride, *, score_threshold=0.1, lowered_threshold=0.05, max_detections=100, candidates=500
):
    """The four steps above.

    Args:
        scores: (B, G, C) logits.
        factors: of each level a list: [masks (B, h', w', S^2)], or rows and columns, both (B, h', w', S), logits; the
            first level's have the size (h, w), and the others are enlarged to it.
        stride: pixels of the picture in one of the first level's masks.
        score_threshold: for p.
        lowered_threshold: for the scores after step 3.
        max_detections, candidates: D and K.

    Returns:
        dict: boxes (B, D, 4) xyxy in pixels, scores (B, D) from the highest down, labels (B, D) int32, and masks
        (B, D, h, w) of probabilities; 0, 0, -1 and 0 where padded.
    """
    found = best_pairs(ops.sigmoid(ops.cast(scores, "float32")), candidates)
    masks = masks_of(factors, found["index"])  # (B, K, h, w)
    inside = ops.cast(masks > MASK, "float32")
    pixels = ops.sum(inside, axis=(2, 3))  # (B, K)
    sureness = ops.sum(masks * inside, axis=(2, 3)) / ops.maximum(pixels, 1.0)
    is_good = ops.logical_and(found["scores"] > score_threshold, pixels > 0)
    sure = ops.where(is_good, found["scores"] * sureness, 0.0)
    lowered = lowered_scores(inside, sure, found["labels"])
    lowered = ops.where(ops.logical_and(is_good, lowered >= lowered_threshold), lowered, -1.0)

    rows = {"boxes": boxes_of(masks, stride), "labels": found["labels"], "index": ops.zeros_like(found["index"])}
    rows["index"] += ops.arange(lowered.shape[1], dtype=rows["index"].dtype)
    rows = detections(rows, lowered, max_detections)
    place = rows.pop("index")  # among the candidates
    is_there = (place >= 0)[..., None, None]
    return rows | {"masks": ops.where(is_there, taken(masks, ops.maximum(place, 0)), 0.0)}


def with_masks(found, size):
    """Objects of `grid_objects` with masks of the picture's `size` (height, width), and the boxes around these."""
    masks = resized(found["masks"], size)
    boxes = boxes_of(masks)
    is_seen = area(boxes) > 0  # a faint mask of one point may be nowhere above 1/2 once it is enlarged
    return {**found, "boxes": boxes, "labels": ops.where(is_seen, found["labels"], PADDING), "masks": masks}


def levels_of(outputs):
    """The mask logits of each level as `grid_objects` takes them: [masks], or [rows, columns]."""
    levels = []
    while f"masks{len(levels)}" in outputs:
        levels.append([outputs[f"masks{len(levels)}"]])
    while f"rows{len(levels)}" in outputs:
        levels.append([outputs[f"{part}{len(levels)}"] for part in ("rows", "columns")])
    return levels


def masks_of(factors, index):
    """Probabilities of the masks of cells, numbered through all levels: (B, K) -> (B, K, h, w)."""
    height, width = factors[0][0].shape[1:3]
    start, found = 0, None
    for level in factors:
        channels = level[0].shape[-1]
        is_plain = len(level) == 1
        side = math.isqrt(channels) if is_plain else channels
        own = ops.clip(index - start, 0, side * side - 1)
        parts = [own] if is_plain else [own // side, own % side]
        masks = 1.0
        for logits, part in zip(level, parts):
            x = taken(ops.transpose(logits, (0, 3, 1, 2)), part)  # (B, K, h', w')
            masks = masks * ops.sigmoid(resized(ops.cast(x, "float32"), (height, width)))
        is_here = ops.logical_and(index >= start, index < start + side * side)[..., None, None]
        found = masks if found is None else ops.where(is_here, masks, found)
        start += side * side
    return found


def resized(masks, size):
    """(B, K, h', w') -> (B, K, h, w), bilinear."""
    if tuple(masks.shape[2:]) == tuple(size):
        return masks
    x = ops.image.resize(ops.transpose(masks, (0, 2, 3, 1)), size, interpolation="bilinear")
    return ops.transpose(x, (0, 3, 1, 2))


def lowered_scores(masks, scores, labels, sigma=SIGMA):
    """Matrix suppression.  Masks (B, K, h, w) of 0 and 1, scores (B, K), labels (B, K) -> (B, K)."""
    count = masks.shape[1]
    flat = ops.reshape(masks, (-1, count, masks.shape[2] * masks.shape[3]))
    common = ops.matmul(flat, ops.transpose(flat, (0, 2, 1)))  # (B, K, K)
    pixels = ops.sum(flat, axis=-1)
    iou = common / ops.maximum(pixels[:, :, None] + pixels[:, None] - common, SMALLEST)
    place = ops.arange(count)
    earlier = ops.logical_and(ops.equal(scores[:, :, None], scores[:, None]), place[:, None] < place)
    before = ops.logical_or(scores[:, :, None] > scores[:, None], earlier)  # the row has the higher score
    same = ops.equal(labels[:, :, None], labels[:, None])
    return scores * decay(iou, ops.logical_and(before, same), sigma)


def boxes_of(masks, stride=1):
    """The smallest boxes around masks.  (B, D, h, w) of probabilities -> (B, D, 4) xyxy; zeros where there is none."""
    ends = []
    for axis in (3, 2):
        size = masks.shape[axis]
        is_in = ops.max(masks, axis=5 - axis) > MASK  # (B, D, w) or (B, D, h)
        place = ops.arange(size, dtype="float32")
        first = ops.min(ops.where(is_in, place, float(size)), axis=-1)
        last = ops.max(ops.where(is_in, place + 1.0, 0.0), axis=-1)
        ends.append((ops.minimum(first, last), last))
    (x1, x2), (y1, y2) = ends
    return stride * ops.stack([x1, y1, x2, y2], axis=-1)
