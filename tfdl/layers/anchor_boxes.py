"""Boxes from offsets to anchors, as YOLOv5 decodes them.

With the offsets t of a cell whose upper left corner is (c_x, c_y), in cells of `stride` pixels, and an anchor of
a_w x a_h pixels,

    x = stride (2 s(t_x) - 1/2 + c_x)      w = a_w (2 s(t_w))^2           s the sigmoid; y and h likewise

so that a center reaches half a cell beyond its cell, and a box is up to four times as large as its anchor.

Source: Jocher et al. 2020, software; the equations stand in Terven et al. 2023, arXiv:2304.00501, section 12.
Shapes: B batch, A = 3 HW/s^2 boxes of each map, cell by cell, the anchors of a cell one after the other.
"""

import numpy as np
from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.ops.boxes import grid_points, to_corners


@serializable
class AnchorBoxes(layers.Layer):
    """Offsets (B, A, 4) -> boxes (B, A, 4) xyxy in pixels, in float32.

    Args:
        image_shape: (height, width, ...) of the pictures.
        strides: of the feature maps.
        anchors: width and height in pixels of the anchors of each map, ((w, h), ...) for each stride.
    """

    def __init__(self, image_shape, strides, anchors, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.image_shape, self.strides = tuple(image_shape), tuple(strides)
        self.anchors = tuple(tuple(tuple(pair) for pair in pairs) for pairs in anchors)
        corners, steps, sizes = [], [], []
        for stride, pairs in zip(self.strides, self.anchors):
            points, _ = grid_points(image_shape, (stride,))  # (HW/s^2, 2)
            corners.append(np.repeat(points - stride / 2, len(pairs), axis=0))
            sizes.append(np.tile(np.array(pairs, "float32"), (len(points), 1)))
            steps.append(np.full((len(points) * len(pairs), 1), stride, "float32"))
        self.corners, self.steps, self.sizes = map(np.concatenate, (corners, steps, sizes))  # (A, 2), (A, 1), (A, 2)

    def call(self, offsets):
        share = ops.sigmoid(offsets)
        corners, steps, sizes = map(ops.convert_to_tensor, (self.corners, self.steps, self.sizes))
        centers = corners + steps * (2.0 * share[..., :2] - 0.5)
        sizes = sizes * ops.square(2.0 * share[..., 2:])
        return to_corners(ops.concatenate([centers, sizes], axis=-1), "cxcywh")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
