"""Positions: attention alone sees a set, so each token is told where it stands.

Papers: Dosovitskiy et al. 2020, arXiv:2010.11929 (ViT), section 3.1, eq. 1, and section 3.2 on other resolutions;
distances: Raffel et al. 2019, arXiv:1910.10683 (T5), section 2.1.
Shapes: B batch, N tokens, D width, T queries, S keys, h heads.
"""

import math

import numpy as np
from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.layers.transformer import fresh_normal
from tfdl.ops.positions import buckets


def resize_grid(table, grid):
    """Vectors learned on a square grid -> the same field on another, bicubic.  (s s, D) -> (rows columns, D), NumPy.

    A grid that shrinks averages over what each new point covers (antialiasing), as in timm.  A table whose length is
    no square comes back as it is.
    """
    side = math.isqrt(len(table))
    if side * side != len(table):
        return table
    field = np.asarray(table, "float32").reshape(1, side, side, -1)
    options = dict(interpolation="bicubic", antialias=True, data_format="channels_last")
    return ops.convert_to_numpy(ops.image.resize(field, grid, **options)).reshape(math.prod(grid), -1)


@serializable
class ClassToken(layers.Layer):
    """Puts one learned token before the others, from which the image's class is read.  (B, N, D) -> (B, 1 + N, D)."""

    def build(self, shape):
        self.token = self.add_weight(name="token", shape=(1, 1, shape[-1]), initializer=fresh_normal())

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)


@serializable
class GridPositions(layers.Layer):
    """Adds a learned vector to each token of a grid, and to the `extra` tokens before it.  (B, N, D) -> same.

    Args:
        grid: rows and columns of the patches; N = extra + rows * columns.
        extra: tokens without a place in the grid: the class token.

    Raises:
        ValueError: another number of tokens comes.
    """

    def __init__(self, grid, extra=1, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.extra = extra

    def build(self, shape):
        count = self.extra + math.prod(self.grid)
        if shape[1] != count:
            raise ValueError(f"A grid of {self.grid} and {self.extra} more are {count} positions, not {shape[1]}.")
        self.table = self.add_weight(name="table", shape=(1, count, shape[-1]), initializer=fresh_normal())

    def call(self, x):
        return x + self.table

    def resized(self, table):
        """A table (1, extra + s s, D) of a square grid as this grid's; ViT's way to another resolution, section 3.2."""
        extra, places = np.split(np.asarray(table)[0], [self.extra])
        return np.concatenate([extra, resize_grid(places, self.grid)])[None]


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
            name="table", shape=(self.buckets, self.heads), initializer=fresh_normal(), autocast=False
        )

    def call(self, queries, keys):
        places = buckets(queries, keys, self.buckets, self.largest, causal=self.causal)  # (T, S)
        return ops.transpose(ops.take(self.table, places, axis=0), (2, 0, 1))
