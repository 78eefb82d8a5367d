"""Position embeddings: attention ignores the order of tokens, so each token gets a vector that encodes its position.

Papers: Dosovitskiy et al. 2020, arXiv:2010.11929 (ViT), section 3.1, eq. 1, and section 3.2 on other resolutions;
distances: Raffel et al. 2019, arXiv:1910.10683 (T5), section 2.1.
Shapes: B batch, N tokens, D width, T queries, S keys, h heads.
"""

import math

import numpy as np
from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.layers.transformer import truncated_normal
from tfdl.ops.positions import buckets


def resize_grid(table, grid):
    """Resizes vectors learned on a square grid to another grid, bicubically.  (s s, D) -> (rows columns, D), NumPy.

    A smaller grid is antialiased: each new point averages over the area it covers, as in timm.  A table whose length is
    not a square number is returned unchanged.
    """
    side = math.isqrt(len(table))
    if side * side != len(table):
        return table
    field = np.asarray(table, "float32").reshape(1, side, side, -1)
    options = dict(interpolation="bicubic", antialias=True, data_format="channels_last")
    return ops.convert_to_numpy(ops.image.resize(field, grid, **options)).reshape(math.prod(grid), -1)


@serializable
class ClassToken(layers.Layer):
    """Prepends one learned token, from which the class is predicted.  (B, N, D) -> (B, 1 + N, D)."""

    def build(self, shape):
        self.token = self.add_weight(name="token", shape=(1, 1, shape[-1]), initializer=truncated_normal())

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)


@serializable
class GridPositions(layers.Layer):
    """Adds a learned vector to each token of a grid, and to the `extra` tokens before it.  (B, N, D) -> same.

    Args:
        grid: rows and columns of the patches; N = extra + rows * columns.
        extra: number of tokens outside the grid: the class token.

    Raises:
        ValueError: the input has another number of tokens.
    """

    def __init__(self, grid, extra=1, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.extra = extra

    def build(self, shape):
        count = self.extra + math.prod(self.grid)
        if shape[1] != count:
            raise ValueError(
                f"A grid of {self.grid} and {self.extra} extra make {count} positions, but the input has {shape[1]}."
            )
        self.table = self.add_weight(name="table", shape=(1, count, shape[-1]), initializer=truncated_normal())

    def call(self, x):
        return x + self.table

    def resized(self, table):
        """A table (1, extra + s s, D) for a square grid, resized to this grid: ViT's change of resolution, 3.2."""
        extra, vectors = np.split(np.asarray(table)[0], [self.extra])
        return np.concatenate([extra, resize_grid(vectors, self.grid)])[None]


@serializable
class DistanceBias(layers.Layer):
    """A learned number for each head and bucket of distances, added to the scores of attention; T5, section 2.1.

    Positions of queries (T,) and of keys (S,) int32 -> (h, T, S) float32.

    Args:
        heads: h.
        buckets, largest, causal: see `tfdl.ops.positions.buckets`.
    """

    def __init__(self, heads, buckets=32, largest=128, causal=False, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.buckets = buckets
        self.largest = largest
        self.causal = causal

    def build(self, shape):
        self.table = self.add_weight(  # float32 as the scores that it is added to
            name="table", shape=(self.buckets, self.heads), initializer=truncated_normal(), autocast=False
        )

    def call(self, queries, keys):
        places = buckets(queries, keys, self.buckets, self.largest, causal=self.causal)  # (T, S)
        return ops.transpose(ops.take(self.table, places, axis=0), (2, 0, 1))
