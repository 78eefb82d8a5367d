"""Layers between clouds of points and grids: points grouped by voxels, features put into a grid, and boxes of anchors.

Source: Zhou & Tuzel 2018, arXiv:1711.06396 (VoxelNet), sections 2.1.1, 2.2 and 2.3.
Shapes: B clouds, P points, D numbers of a point, X Y Z cells along each axis, K voxels, T points of a voxel, A anchors.
"""

import itertools

import keras
import numpy as np
from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.ops.boxes_3d import decode
from tfdl.ops.voxels import group, to_grid


@serializable
class Voxels(layers.Layer):
    """Points (B, P, D) -> dict: points (B, K, T, D + 3), is_point (B, K, T) bool and cell (B, K) int32.

    Behind the numbers of a point stand its offsets x, y, z from the mean of its voxel's points, section 2.1.1.  It
    computes in float32, in which a coordinate of 70 m is exact to a hundredth of a millimeter.

    Args:
        low, cell, shape, voxels, per_voxel: as of `tfdl.ops.voxels.group`.
    """

    def __init__(self, low, cell, shape, voxels, per_voxel, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.low, self.cell, self.shape = tuple(low), tuple(cell), tuple(shape)
        self.voxels, self.per_voxel = voxels, per_voxel

    def call(self, points):
        options = dict(voxels=self.voxels, per_voxel=self.per_voxel)
        found = group(points, low=self.low, cell=self.cell, shape=self.shape, **options)
        here = ops.cast(found["is_point"], points.dtype)[..., None]  # (B, K, T, 1)
        places = found["points"][..., :3]
        mean = ops.sum(places, axis=2, keepdims=True) / ops.maximum(ops.sum(here, axis=2, keepdims=True), 1)
        return found | {"points": ops.concatenate([found["points"], (places - mean) * here], axis=-1)}

    def compute_output_spec(self, points):
        batch, _, width = points.shape
        shape = (batch, self.voxels, self.per_voxel)
        return {
            "points": keras.KerasTensor((*shape, width + 3), points.dtype),
            "is_point": keras.KerasTensor(shape, "bool"),
            "cell": keras.KerasTensor(shape[:2], "int32"),
        }


@serializable
class VoxelGrid(layers.Layer):
    """[features (B, K, C), cell (B, K)] -> the features in their cells, 0 in all others.  (B, X, Y, Z, C)"""

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def call(self, inputs):
        features, cell = inputs
        return to_grid(features, cell, self.shape)

    def compute_output_shape(self, input_shape):
        (batch, _, channels), _ = input_shape
        return (batch, *self.shape, channels)


@serializable
class AnchorBoxes3D(layers.Layer):
    """Offsets (B, A, 7) -> boxes (B, A, 7) in meters, see `boxes_3d`; in float32.

    In the middle of each cell of a map, row by row along x, stands one anchor for each yaw.

    Args:
        low: x, y of the map's lowest corner.
        cell: lengths of a cell of the map.
        shape: numbers of cells.
        size: length, width and height of the anchors.
        height: z of their centers.
        yaws: angles of the anchors of a cell.

    Attributes:
        anchors: (A, 7).
    """

    def __init__(self, low, cell, shape, size, height, yaws, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.low, self.cell, self.shape = tuple(low), tuple(cell), tuple(shape)
        self.size, self.height, self.yaws = tuple(size), height, tuple(yaws)
        middles = [at + (np.arange(count) + 0.5) * side for at, side, count in zip(self.low, self.cell, self.shape)]
        rows = [(x, y, height, *self.size, yaw) for x, y, yaw in itertools.product(*middles, self.yaws)]
        self.anchors = np.array(rows, "float32")

    def call(self, offsets):
        return decode(offsets, self.anchors)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
