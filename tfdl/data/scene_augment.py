"""Augmentation of clouds with boxes, after which each box still holds the points that it held.

The three of Zhou & Tuzel 2018, arXiv:1711.06396 (VoxelNet), section 3.2:

1. Each object is turned and moved with the points in it; it stays where it was if it would then touch another.
2. All is enlarged or shrunk.
3. All is turned about the vertical axis through the sensor.

Shapes: B clouds, P points, D numbers of a point, N objects with padding.
"""

import numpy as np
import tensorflow as tf

from tfdl.core.batches import OUTSIDE, PADDING
from tfdl.ops.boxes_3d import contains, pairwise_bev_iou, turned

MARGIN = 0.1  # meters by which a box is larger where it takes its points along: they scatter about the surface


def chain(*augmentations):
    """Applies augmentations one after the other, each with its own seed."""

    def augment(points, boxes, labels, seed):
        for stage, augmentation in enumerate(augmentations):
            part = tf.random.experimental.stateless_fold_in(seed, stage)
            points, boxes, labels = augmentation(points, boxes, labels, part)
        return points, boxes, labels

    return augment


def random_objects(turn=np.pi / 10, shift=1.0):
    """Turns each object by up to `turn` and moves it by a normal distribution of the deviation `shift`, in meters."""
    if not (turn >= 0 and shift >= 0):
        raise ValueError(f"random_objects got turn={turn} and shift={shift}; give 0 or more of each.")

    def augment(points, boxes, labels, seed):
        shape = tf.shape(labels)
        seeds = [tf.random.experimental.stateless_fold_in(seed, number) for number in range(2)]
        angle = tf.random.stateless_uniform(shape, seeds[0], -turn, turn)  # (B, N)
        move = shift * tf.random.stateless_normal((shape[0], shape[1], 3), seeds[1])
        moved = tf.concat([boxes[..., :3] + move, boxes[..., 3:6], boxes[..., 6:] + angle[..., None]], axis=-1)
        is_object = labels != PADDING
        # Free: where it touches no other object, neither where that was nor where that would be
        other = ~tf.eye(shape[1], dtype=tf.bool) & is_object[:, None, :]
        touched = (pairwise_bev_iou(moved, boxes) > 0) | (pairwise_bev_iou(moved, moved) > 0)
        is_free = is_object & ~tf.reduce_any(touched & other, axis=-1)  # (B, N)

        larger = tf.concat([boxes[..., :3], boxes[..., 3:6] + MARGIN, boxes[..., 6:]], axis=-1)
        inside = contains(larger, points) & is_free[..., None]  # (B, N, P)
        owner = tf.argmax(tf.cast(inside, tf.int32), axis=1)  # (B, P)
        center, offset, by = (tf.gather(values, owner, batch_dims=1) for values in (boxes[..., :3], move, angle))
        around = turned(points[..., :2] - center[..., :2], by) + center[..., :2]
        new = tf.concat([around, points[..., 2:3]], axis=-1) + offset
        is_inside = tf.reduce_any(inside, axis=1)[..., None]
        points = tf.concat([tf.where(is_inside, new, points[..., :3]), points[..., 3:]], axis=-1)
        return points, tf.where(is_free[..., None], moved, boxes), labels

    return augment


def random_scale(part=0.05):
    """Multiplies all places and sizes by a number in [1 - part, 1 + part]."""
    if not 0 <= part < 1:
        raise ValueError(f"random_scale got part={part}; give 0 or more, and less than 1.")

    def augment(points, boxes, labels, seed):
        factor = tf.random.stateless_uniform((tf.shape(points)[0], 1, 1), seed, 1 - part, 1 + part)
        places = tf.where(points[..., :1] >= OUTSIDE, points[..., :3], points[..., :3] * factor)
        boxes = tf.concat([boxes[..., :6] * factor, boxes[..., 6:]], axis=-1)
        return tf.concat([places, points[..., 3:]], axis=-1), boxes, labels

    return augment


def random_turn(turn=np.pi / 4):
    """Turns all about the vertical axis through the sensor by up to `turn`."""
    if not turn >= 0:
        raise ValueError(f"random_turn got turn={turn}; give 0 or more.")

    def augment(points, boxes, labels, seed):
        angle = tf.random.stateless_uniform((tf.shape(points)[0], 1), seed, -turn, turn)
        places = tf.where(points[..., :1] >= OUTSIDE, points[..., :2], turned(points[..., :2], angle))
        points = tf.concat([places, points[..., 2:]], axis=-1)
        yaw = tf.where(labels != PADDING, boxes[..., 6] + angle, 0.0)
        return points, tf.concat([turned(boxes[..., :2], angle), boxes[..., 2:6], yaw[..., None]], axis=-1), labels

    return augment


def random_mirror():
    """Mirrors every second cloud from left to right; not in the paper."""

    def augment(points, boxes, labels, seed):
        sign = tf.where(tf.random.stateless_uniform((tf.shape(points)[0], 1, 1), seed) < 0.5, -1.0, 1.0)
        sides = tf.where(points[..., :1] >= OUTSIDE, points[..., 1:2], sign * points[..., 1:2])
        points = tf.concat([points[..., :1], sides, points[..., 2:]], axis=-1)
        boxes = tf.concat([boxes[..., :1], sign * boxes[..., 1:2], boxes[..., 2:6], sign * boxes[..., 6:]], axis=-1)
        return points, boxes, labels

    return augment


def within(low, high):
    """Leaves out objects whose center is outside of x, y from `low` to `high`: a network has no anchor there."""

    def augment(points, boxes, labels, seed):
        inside = tf.reduce_all((boxes[..., :2] >= low[:2]) & (boxes[..., :2] < high[:2]), axis=-1)
        return points, tf.where(inside[..., None], boxes, 0.0), tf.where(inside, labels, PADDING)

    return augment
