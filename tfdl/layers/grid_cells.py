"""Cells of several grids over a picture, each of which is to find the object in whose middle it lies.

Source: Wang et al. 2019, arXiv:1912.04488 (SOLO), sections 3.1 to 3.4.
Shapes: B batch, L levels, S cells of a level's rows and columns, G = sum of S^2 cells of all levels, C channels,
D detections, h w of the first level's masks.
"""

import keras
from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.ops.mask_suppression import grid_objects


@serializable
class GridCells(layers.Layer):
    """L maps (B, S, S, C) -> (B, G, C): level by level, row by row.

    Args:
        grids: S of each level.
        scales: of each level the smallest and the largest object that it is to find, in pixels.
    """

    def __init__(self, grids, scales, **kwargs):
        super().__init__(**kwargs)
        self.grids, self.scales = tuple(grids), tuple(map(tuple, scales))

    def call(self, maps):
        rows = [ops.reshape(x, (-1, side * side, x.shape[-1])) for side, x in zip(self.grids, maps)]
        return ops.concatenate(rows, axis=1)

    def compute_output_shape(self, shapes):
        return (shapes[0][0], sum(side * side for side in self.grids), shapes[0][-1])


@serializable
class GridObjects(layers.Layer):
    """Scores and mask logits -> dict of boxes, scores, labels and masks: see `grid_objects`.

    Args:
        stride: of the first level's masks.
        candidates: K.
        count: D.
    """

    def __init__(self, stride, candidates, count=100, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.stride, self.candidates, self.count = stride, candidates, count

    def call(self, scores, levels):
        return grid_objects(scores, levels, self.stride, candidates=self.candidates, max_detections=self.count)

    def compute_output_spec(self, scores, levels):
        rows = (scores.shape[0], self.count)
        masks = (*rows, *levels[0][0].shape[1:3])
        shapes = {"boxes": (*rows, 4), "scores": rows, "labels": rows, "masks": masks}
        kinds = {name: "int32" if name == "labels" else "float32" for name in shapes}
        return {name: keras.KerasTensor(shape, kinds[name], name=name) for name, shape in shapes.items()}
