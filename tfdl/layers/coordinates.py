"""Coordinates as channels: a convolution, which treats all places alike, can then tell where it is.

Source: Liu et al. 2018, arXiv:1807.03247 (CoordConv), section 3.
Shapes: B batch, H W height and width, C channels.
"""

import numpy as np
from keras import layers, ops

from tfdl.core.serial import serializable


@serializable
class Coordinates(layers.Layer):
    """(B, H, W, C) -> (B, H, W, C + 2): after the channels come x and y of each point, from -1 to 1."""

    def build(self, input_shape):
        _, height, width, _ = input_shape
        rows, columns = (np.linspace(-1.0, 1.0, side, dtype="float32") for side in (height, width))
        self.table = np.stack(np.meshgrid(columns, rows), axis=-1)[None]  # (1, H, W, 2)

    def call(self, x):
        places = ops.cast(self.table, x.dtype) + ops.zeros_like(x[..., :1])
        return ops.concatenate([x, places], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 2)
