"""RoIAlign: the features inside of a box as a small map of fixed size, without rounding to cells.

A box is cut into P x P bins, each bin has S x S samples at regular places, a sample is interpolated bilinearly between
the four nearest points of the map, and a bin is the mean of its samples: He et al. 2017, arXiv:1703.06870 (Mask R-CNN),
section 3.  From a pyramid each box is read at the level that suits its size: Lin et al. 2016, arXiv:1612.03144 (FPN),
eq. 1:

    k = floor(4 + log2(sqrt(w h) / 224)),     of stride 2^k

Point (i, j) of a map of stride s stands for the pixel (s j, s i), and boxes are at least one point wide: the
conventions of torchvision's `roi_align` with aligned=False, with which its detectors were trained.
Shapes: B batch, R boxes, H W C height, width and channels of a map, P bins and S samples along a side.
"""

import math

import numpy as np
from keras import ops

from tfdl.ops.boxes import area, sides

CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4  # eq. 1


def roi_align(maps, boxes, strides, *, bins=7, samples=2):
    """Features of boxes.

    Args:
        maps: list of (B, H, W, C), with fixed H and W, from the largest to the smallest.
        boxes: (B, R, 4) xyxy in pixels of the picture; no gradient passes to them.
        strides: of the maps, powers of 2, each twice the one before.
        bins: P; samples: S.

    Returns:
        (B, R, P, P, C)

    Raises:
        ValueError: another number of strides than maps, or strides that do not double.
    """
    levels = [round(math.log2(stride)) for stride in strides]
    if len(maps) != len(strides) or levels != list(range(levels[0], levels[0] + len(levels))):
        raise ValueError(f"There are {len(maps)} maps and the strides {tuple(strides)}; give one each, doubling.")
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    level = levels_of(boxes, levels[0], levels[-1]) - levels[0]  # (B, R)
    heights, widths = (np.array([x.shape[axis] for x in maps], "int32") for axis in (1, 2))
    starts = np.concatenate([[0], np.cumsum(heights * widths)]).astype("int32")  # of each map among all points
    channels, total = maps[0].shape[-1], int(starts[-1])
    points = ops.concatenate([ops.reshape(x, (-1, x.shape[1] * x.shape[2], channels)) for x in maps], axis=1)
    points = ops.reshape(points, (-1, channels))  # (B total, C)

    stride = ops.take(np.array(strides, "float32"), level)[..., None]
    x1, y1, x2, y2 = (side / stride for side in sides(boxes[..., None, :]))  # (B, R, 1)
    height, width = (ops.take(counts, level)[..., None] for counts in (heights, widths))
    y_low, y_high, y_part = neighbors(y1, y2, height, bins * samples)  # (B, R, P S)
    x_low, x_high, x_part = neighbors(x1, x2, width, bins * samples)

    batch = ops.arange(ops.shape(boxes)[0])[:, None, None, None] * total
    first = batch + ops.take(starts[:-1], level)[..., None, None]  # (B, R, 1, 1)

    def read(y, x):
        """(B, R, P S), (B, R, P S) -> (B, R, P S, P S, C)"""
        return ops.take(points, first + y[..., :, None] * width[..., None] + x[..., None, :], axis=0)

    y_part, x_part = (ops.cast(part, points.dtype) for part in (y_part[..., :, None, None], x_part[..., None, :, None]))
    above = read(y_low, x_low) * (1.0 - x_part) + read(y_low, x_high) * x_part
    below = read(y_high, x_low) * (1.0 - x_part) + read(y_high, x_high) * x_part
    found = above * (1.0 - y_part) + below * y_part
    # The mean of each bin, first over its rows, then over its columns: phones reduce few axes at a time
    found = ops.mean(ops.reshape(found, (-1, samples, bins * samples * channels)), axis=1)
    found = ops.mean(ops.reshape(found, (-1, samples, channels)), axis=1)
    return ops.reshape(found, (-1, boxes.shape[1], bins, bins, channels))


def levels_of(boxes, lowest, highest):
    """Eq. 1, kept in the pyramid.  (..., 4) xyxy -> (...) int32"""
    side = ops.sqrt(ops.maximum(area(boxes), 1e-12))
    level = ops.floor(CANONICAL_LEVEL + ops.log2(side / CANONICAL_SIDE) + 1e-6)
    return ops.cast(ops.clip(level, lowest, highest), "int32")


def neighbors(first, last, count, samples):
    """The two nearest points of each sample along one side of a box, and how far it is from the lower to the upper one.

    Args:
        first, last: sides of the box in points of its map, (B, R, 1).
        count: points of the map, (B, R, 1) int32; samples outside count as at its border.
        samples: along the whole side.

    Returns:
        lower, upper: (B, R, samples) int32; part: (B, R, samples) in [0, 1).
    """
    length = ops.maximum(last - first, 1.0)
    place = first + length * ((np.arange(samples, dtype="float32") + 0.5) / samples)
    place = ops.clip(place, 0.0, ops.cast(count - 1, "float32"))
    lower = ops.cast(ops.floor(place), "int32")
    return lower, ops.minimum(lower + 1, count - 1), place - ops.cast(lower, "float32")
