"""Boxes in space: how much two of them overlap, and how networks encode them.

A box is x, y, z, l, w, h, yaw: its center, its length, width and height, all in meters, and the angle by which it is
turned about the vertical axis, in radians from x towards y.  As in KITTI's LiDAR, x is forward, y left, z up; the
length lies along x where the yaw is 0.  Boxes stand upright, so that two of them share

    volume = ground * height        ground: the area of two turned rectangles' intersection, seen from above

and the ground is exact.  In the frame of the second rectangle, which is [-a, a] x [-b, b] there, Green's theorem makes
it a sum over the four edges of the first, counterclockwise:

    ground = - sum over edges of the integral of clip(y, -b, b) dx over the part of the edge with -a <= x <= a

An edge is straight, so the integral is the length of that part times the mean of a clipped linear function.  Nothing is
sorted and no case is told apart, so that rectangles with common sides, and ones that are nearly equal, are right too.

Offsets from anchors: Zhou & Tuzel 2018, arXiv:1711.06396 (VoxelNet), eq. 1.
Shapes: ... any axes, N and M boxes, 7 the numbers of a box.
"""

import math

import numpy as np
from keras import ops

from tfdl.ops.boxes import LARGEST_GROWTH, divide

NUMBERS = ("x", "y", "z", "l", "w", "h", "yaw")
CORNERS = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)], "float32") / 2  # of a unit square, counterclockwise
SMALLEST = 1e-12  # of a length by which is divided


def ground_corners(boxes):
    """The four corners of boxes (..., 7) seen from above, counterclockwise.  -> (..., 4, 2) x, y"""
    boxes = ops.convert_to_tensor(boxes)
    return turned(CORNERS * boxes[..., None, 3:5], boxes[..., 6, None]) + boxes[..., None, :2]


def corners(boxes):
    """The eight corners of boxes (..., 7): the four of the floor, then those above them.  -> (..., 8, 3)"""
    boxes = ops.convert_to_tensor(boxes)
    ground = ground_corners(boxes)
    levels = [boxes[..., None, 2:3] + sign * boxes[..., None, 5:6] / 2 for sign in (-1, 1)]
    floors = [ops.concatenate([ground, ops.broadcast_to(z, (*ground.shape[:-1], 1))], axis=-1) for z in levels]
    return ops.concatenate(floors, axis=-2)


def overlaps(first, second):
    """How much boxes (..., 7) overlap with boxes of the same shape, or of one that broadcasts.

    Returns:
        (bev, volume): IoU seen from above ("bird's-eye view"), and IoU of the volumes.  -> (...), (...) in [0, 1]
        Boxes without length, width or height have an IoU of 0.
    """
    first, second = ops.convert_to_tensor(first), ops.convert_to_tensor(second)
    ground = shared_ground(first, second)
    areas = [ops.maximum(boxes[..., 3], 0) * ops.maximum(boxes[..., 4], 0) for boxes in (first, second)]
    low = [boxes[..., 2] - boxes[..., 5] / 2 for boxes in (first, second)]
    high = [boxes[..., 2] + boxes[..., 5] / 2 for boxes in (first, second)]
    shared = ground * ops.maximum(ops.minimum(*high) - ops.maximum(*low), 0)
    volumes = [area * ops.maximum(boxes[..., 5], 0) for area, boxes in zip(areas, (first, second))]
    return divide(ground, sum(areas) - ground), divide(shared, sum(volumes) - shared)


def pairwise_bev_iou(first, second):
    """IoU from above of each box of `first` (..., N, 7) with each of `second` (..., M, 7).  -> (..., N, M)"""
    first, second = ops.convert_to_tensor(first), ops.convert_to_tensor(second)
    return overlaps(first[..., :, None, :], second[..., None, :, :])[0]


def shared_ground(first, second):
    """Area that boxes (..., 7) share, seen from above; the equation of the module.  -> (...)"""
    start = turned(ground_corners(first) - second[..., None, :2], -second[..., 6, None])  # (..., 4, 2) in its frame
    half = ops.maximum(second[..., 3:5], 0) / 2
    a, b = half[..., 0:1], half[..., 1:2]
    x0, y0 = start[..., 0], start[..., 1]  # (..., 4)
    x1, y1 = (ops.roll(values, -1, axis=-1) for values in (x0, y0))
    left, right = ops.clip(x0, -a, a), ops.clip(x1, -a, a)
    slope = (y1 - y0) / nonzero(x1 - x0)
    lower, upper = (y0 + slope * (x - x0) for x in (left, right))
    return ops.maximum(ops.sum((left - right) * mean_of_clipped(lower, upper, b), axis=-1), 0)


def mean_of_clipped(start, end, limit):
    """The mean of clip(y, -limit, limit) while y goes straight from `start` to `end`; all of shapes that broadcast."""
    low, high = ops.minimum(start, end), ops.maximum(start, end)
    length = ops.maximum(high - low, SMALLEST)
    below, above = (ops.clip(part / length, 0, 1) for part in (-limit - low, high - limit))  # parts outside
    inside = (ops.clip(low, -limit, limit) + ops.clip(high, -limit, limit)) / 2
    return limit * (above - below) + (1 - above - below) * inside


def contains(boxes, points):
    """Which points (..., P, 3) lie in which boxes (..., N, 7).  -> (..., N, P) bool"""
    boxes, points = ops.convert_to_tensor(boxes), ops.convert_to_tensor(points)
    offset = points[..., None, :, :3] - boxes[..., :, None, :3]  # (..., N, P, 3)
    flat = ops.abs(turned(offset[..., :2], -boxes[..., 6, None]))
    is_level = ops.abs(offset[..., 2]) <= boxes[..., 5, None] / 2
    return ops.logical_and(ops.all(flat <= boxes[..., None, 3:5] / 2, axis=-1), is_level)


# What networks put out


def encode(boxes, anchors):
    """Offsets of boxes (..., 7) from anchors (..., 7), eq. 1 of VoxelNet.  -> (..., 7)

    ((x - x_a) / d_a, (y - y_a) / d_a, (z - z_a) / h_a, log l / l_a, log w / w_a, log h / h_a, yaw - yaw_a), where d_a
    is the diagonal of the anchor's floor.  A box that is turned by half a turn covers the same place: of the two
    differences of the yaws that describe it, this is the one in [-pi/2, pi/2).
    """
    boxes, anchors = ops.convert_to_tensor(boxes), ops.convert_to_tensor(anchors)
    places = (boxes[..., :3] - anchors[..., :3]) / measures(anchors)
    return ops.concatenate(
        [places, ops.log(boxes[..., 3:6] / anchors[..., 3:6]), half_turn(boxes[..., 6:] - anchors[..., 6:])], axis=-1
    )


def decode(offsets, anchors):
    """The inverse of `encode`, up to half a turn; sizes are at most 62.5 times the anchor's."""
    offsets, anchors = ops.convert_to_tensor(offsets), ops.convert_to_tensor(anchors)
    places = anchors[..., :3] + offsets[..., :3] * measures(anchors)
    sizes = anchors[..., 3:6] * ops.exp(ops.minimum(offsets[..., 3:6], LARGEST_GROWTH))
    return ops.concatenate([places, sizes, anchors[..., 6:] + offsets[..., 6:]], axis=-1)


def half_turn(angles):
    """Angles modulo pi, in [-pi/2, pi/2)."""
    return angles - math.pi * ops.floor(angles / math.pi + 0.5)


# Parts


def turned(points, angles):
    """Points (..., P, 2) turned about 0 by angles (...), or (..., 1)."""
    cosine, sine = ops.cos(angles), ops.sin(angles)
    x, y = points[..., 0], points[..., 1]
    return ops.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def measures(anchors):
    """(d_a, d_a, h_a) of anchors (..., 7), by which centers are measured.  -> (..., 3)"""
    diagonal = ops.sqrt(ops.square(anchors[..., 3:4]) + ops.square(anchors[..., 4:5]))
    return ops.concatenate([diagonal, diagonal, anchors[..., 5:6]], axis=-1)


def nonzero(values):
    """The values, those nearly 0 replaced: what is divided by them is 0 there anyway."""
    return ops.where(ops.abs(values) < SMALLEST, SMALLEST, values)
