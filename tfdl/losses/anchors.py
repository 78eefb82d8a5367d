"""Loss of a detector with anchors: which anchors are to find an object, and how wrong what they say is.

By the ratio rule an anchor fits an object if neither side is more than RATIO times as long as the other's:

    max(w / a_w, a_w / w, h / a_h, a_h / h) < 4

It is then to find the object in the cell of the object's center and in the two cells next to it that are nearest.
With the n_l pairs of object and cell on map l, which has C_l cells and anchors in a picture,

    L = sum over l of  g_box / n_l sum (1 - CIoU)  +  g_class / n_l sum mean_c BCE(class, 1 or 0)
                       + g_object b_l / C_l sum BCE(objectness, CIoU, at least 0; 0 where nothing is to be found)

The gains and the weights b_l of the maps are YOLOv5's; source: Jocher et al. 2020, software, as described by Terven et
al. 2023, arXiv:2304.00501, section 12.
Shapes: B batch, N objects with padding, A boxes of all maps, K = 5 cells at most of each object, C classes.
"""

import keras
import numpy as np
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.boxes import from_corners, overlap, sides
from tfdl.ops.suppression import taken

RATIO = 4.0
BALANCE = (4.0, 1.0, 0.4)  # b_l of the strides 8, 16, 32: the small objects are many
STEPS = np.array([(0, 0), (-1, 0), (0, -1), (1, 0), (0, 1)], "float32")  # x, y from the cell of the center


def fitting_anchors(true_boxes, true_labels, map_shape, stride, anchors):
    """Which anchors of which cells of one map are to find which object.

    Args:
        true_boxes: (B, N, 4) xyxy in pixels; true_labels: (B, N), -1 where padded.
        map_shape: rows and columns of the map.
        anchors: (M, 2) width and height in pixels.

    Returns:
        (index, is_pair): (B, N, M, K) int32, the place among the map's boxes, cell by cell, the anchors of a cell one
        after the other; and bool, whether the object is to be found there.
    """
    rows, columns = map_shape
    count = len(anchors)
    center_x, center_y, width, height = (x[..., None] for x in sides(from_corners(true_boxes, "cxcywh")))
    anchors = np.array(anchors, "float32")
    ratios = [ops.maximum(side, 1e-6) / anchors[:, i] for i, side in enumerate((width, height))]  # (B, N, M)
    worst = ops.maximum(*(ops.maximum(ratio, 1.0 / ratio) for ratio in ratios))
    fits = ops.logical_and(worst < RATIO, ops.not_equal(true_labels, PADDING)[..., None])  # (B, N, M)

    x, y = center_x / stride, center_y / stride  # (B, N, 1) in cells
    left, top = ops.floor(x), ops.floor(y)
    near_left, near_top = x - left < 0.5, y - top < 0.5
    nearest = ops.concatenate(
        [ops.ones_like(near_left), near_left, near_top, ops.logical_not(near_left), ops.logical_not(near_top)], -1
    )  # (B, N, K)
    column, row = left + STEPS[:, 0], top + STEPS[:, 1]  # (B, N, K)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    cell = ops.cast(ops.clip(row, 0, rows - 1) * columns + ops.clip(column, 0, columns - 1), "int32")
    index = cell[:, :, None] * count + np.arange(count, dtype="int32")[:, None]  # (B, N, M, K)
    return index, ops.logical_and(fits[..., None], ops.logical_and(nearest, inside)[:, :, None])


def anchor_terms(outputs, true_boxes, true_labels, grids, *, gains=(0.05, 0.5, 1.0)):
    """The terms of L: a list of (numerator, number of what it is divided by), each summed over the batch.

    Args:
        outputs: dict of boxes (B, A, 4), objectness (B, A, 1) and classes (B, A, C), logits.
        grids: of each map: (rows, columns), stride, and anchors ((w, h), ...).
        gains: g_box, g_class, g_object.
    """
    box_gain, class_gain, object_gain = gains
    outputs = {name: ops.cast(outputs[name], "float32") for name in ("boxes", "objectness", "classes")}
    classes = outputs["classes"].shape[-1]
    batch = ops.shape(true_labels)[0]
    terms, start = [], 0
    for balance, (map_shape, stride, anchors) in zip(BALANCE, grids):
        size = map_shape[0] * map_shape[1] * len(anchors)
        own = {name: x[:, start : start + size] for name, x in outputs.items()}
        start += size
        index, is_pair = fitting_anchors(true_boxes, true_labels, map_shape, stride, anchors)
        slots = index.shape[1] * index.shape[2] * index.shape[3]
        index, is_pair = ops.reshape(index, (-1, slots)), ops.reshape(is_pair, (-1, slots))  # (B, P)
        weight = ops.cast(is_pair, "float32")
        copies = slots // true_labels.shape[1]
        objects = ops.repeat(true_boxes, copies, axis=1)  # (B, P, 4)
        ciou = overlap(taken(own["boxes"], index), objects, "ciou")  # (B, P)
        one_hot = ops.one_hot(ops.repeat(ops.maximum(true_labels, 0), copies, axis=1), classes, dtype="float32")
        crossed = keras.losses.binary_crossentropy(one_hot, taken(own["classes"], index), from_logits=True)
        number = ops.sum(weight)
        terms.append((ops.sum(weight * (box_gain * (1.0 - ciou) + class_gain * crossed)), number))

        target = ops.stop_gradient(ops.where(is_pair, ops.maximum(ciou, 0.0), 0.0))
        target = largest_at(index, target, size)  # (B, size)
        found = keras.losses.binary_crossentropy(target[..., None], own["objectness"], from_logits=True)
        terms.append((object_gain * balance * ops.sum(found), ops.cast(batch, "float32") * size))
    return terms


def largest_at(index, values, size):
    """The largest of the values (B, P), 0 or more, that go to each place.  -> (B, size)"""
    batch = ops.shape(index)[0]
    places = index + size * ops.arange(batch, dtype="int32")[:, None]
    flat = ops.segment_max(ops.reshape(values, (-1,)), ops.reshape(places, (-1,)), num_segments=batch * size)
    return ops.maximum(ops.reshape(flat, (-1, size)), 0.0)
