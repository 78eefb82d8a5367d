"""Losses of key points: on heat maps, on the offsets from their cells, and on coordinates.

Each is a sum over the visible points of the batch, and their number, so that its mean can be taken over all replicas
and micro-batches.  With the maps H* of `ops.heatmaps.encode`:

    heat maps    sum over visible points of mean over cells of (H - H*)^2     Sun et al. 2019, arXiv:1902.09212, sec. 3
    offsets      sum over cells nearer than R to a visible point of |o - (u - i)| / R, i the cell and u the point, in
                 cells                                              Papandreou et al. 2017, arXiv:1701.01779, sec. 3.2.1
    coordinates  sum over visible points of |x - x*| / W + |y - y*| / H
    visibility   sum over all points of the binary cross-entropy

Heat maps and offsets together teach the features of BlazePose, coordinates its regression: Bazarevsky et al. 2020,
arXiv:2006.10204, section 2.4.  The paper names no distance for coordinates; the absolute one is not ruled by the few
points that nobody can see.
Shapes: B pictures, h w sides of a map, K key points.
"""

import numpy as np
from keras import ops

from tfdl.ops.heatmaps import encode


def heatmap_terms(heatmaps, keypoints, *, stride, sigma):
    """(total, number): both (), of maps (B, h, w, K) for key points (B, K, 3) x, y in pixels, visible."""
    target = encode(keypoints, heatmaps.shape[1:3], stride=stride, sigma=sigma)
    wrong = ops.mean(ops.square(ops.cast(heatmaps, "float32") - target), axis=(1, 2))  # (B, K)
    visible = ops.cast(keypoints[..., 2] > 0, "float32")
    return ops.sum(wrong * visible), ops.sum(visible)


def offset_terms(offsets, keypoints, *, stride, radius):
    """(total, number of cells): both (), of offsets (B, h, w, 2 K), x of all points and then y, in cells.

    Args:
        radius: R, in cells.
    """
    height, width = offsets.shape[1:3]
    x, y = ops.split(ops.cast(offsets, "float32"), 2, axis=-1)  # (B, h, w, K)
    centers = ops.cast(keypoints[..., :2], "float32")[:, None, None] / stride - 0.5  # (B, 1, 1, K, 2)
    to_x = centers[..., 0] - np.arange(width, dtype="float32")[None, None, :, None]  # (B, 1, w, K)
    to_y = centers[..., 1] - np.arange(height, dtype="float32")[None, :, None, None]  # (B, h, 1, K)
    is_near = ops.square(to_x) + ops.square(to_y) < radius**2
    is_near = ops.cast(ops.logical_and(is_near, keypoints[:, None, None, :, 2] > 0), "float32")
    wrong = (ops.abs(x - to_x) + ops.abs(y - to_y)) / radius
    return ops.sum(wrong * is_near), ops.sum(is_near)


def coordinate_terms(found, keypoints, size):
    """(total, number): both (), of coordinates (B, K, 2) x, y in pixels of pictures of `size` (height, width)."""
    height, width = size
    wrong = ops.abs(ops.cast(found, "float32") - keypoints[..., :2]) / np.array([width, height], "float32")
    visible = ops.cast(keypoints[..., 2] > 0, "float32")
    return ops.sum(ops.sum(wrong, axis=-1) * visible), ops.sum(visible)


def visibility_terms(logits, keypoints):
    """(total, number of all points): both (), of logits (B, K)."""
    logits, visible = ops.cast(logits, "float32"), ops.cast(keypoints[..., 2] > 0, "float32")
    crossed = ops.softplus(logits) - visible * logits
    return ops.sum(crossed), ops.sum(ops.ones_like(crossed))
