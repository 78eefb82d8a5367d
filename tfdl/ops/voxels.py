"""Voxels: the points of a cloud grouped by the cells of a grid.

Each point lies in one cell; of each of the first K cells with points, in the order of the grid, the first T points are
kept, in the order in which they come.  Given in random order, they are a random sample, as Zhou & Tuzel 2018,
arXiv:1711.06396 (VoxelNet), section 2.1.1 ("random sampling") draw it.  All shapes are static and nothing loops: points
are sorted by cell, and the place of a point behind the first one of its cell is its rank.
Shapes: B clouds, P points, D numbers of a point, X Y Z cells along each axis, K voxels, T points of a voxel.
"""

import math

from keras import ops


def group(points, *, low, cell, shape, voxels, per_voxel):
    """The points of each voxel.

    Args:
        points: (B, P, D), x, y, z first; those outside of the grid count for nothing, `core.batches.OUTSIDE` for one.
        low: x, y, z of the grid's lowest corner.
        cell: lengths of a cell along each axis.
        shape: X, Y, Z, numbers of cells.
        voxels: K; further cells with points, which lie at the far end of the first axis, are left out.
        per_voxel: T.

    Returns:
        dict: points (B, K, T, D), 0 where there is none; is_point (B, K, T) bool; and cell (B, K) int32, the voxel's
        place in the flattened grid, X Y Z where there is no voxel.
    """
    count, width = points.shape[1], points.shape[2]
    cells = math.prod(shape)
    batch = ops.shape(points)[0]
    place = cell_of(points, low, cell, shape)  # (B, P), `cells` outside
    order = ops.argsort(place, axis=-1)  # stable: points of a cell stay in order
    place = ops.take_along_axis(place, order, axis=1)
    points = ops.take_along_axis(points, order[..., None], axis=1)

    previous = ops.pad(place[:, :-1], [(0, 0), (1, 0)], constant_values=-1)
    is_first = ops.cast(ops.not_equal(place, previous), "int32")
    voxel = ops.cumsum(is_first, axis=1) - 1  # (B, P), 0, 0, 0, 1, 1, 2 ...
    rows = ops.arange(batch, dtype="int32")[:, None]
    position = ops.broadcast_to(ops.arange(count, dtype="int32"), ops.shape(place))
    # Every voxel has one first point: a sum is that point's position
    starts = scattered(is_first * position, rows * count + voxel, batch * count)
    rank = position - ops.take(starts, rows * count + voxel, axis=0)  # (B, P), 0, 1, 2, 0, 1, 0 ...

    is_kept = ops.logical_and(ops.logical_and(place < cells, rank < per_voxel), voxel < voxels)
    slot = rows * voxels * per_voxel + voxel * per_voxel + rank
    nowhere = batch * voxels * per_voxel
    slot = ops.where(is_kept, slot, nowhere)
    kept = ops.concatenate([points, ops.ones_like(points[..., :1])], axis=-1)
    kept = scattered(ops.where(is_kept[..., None], kept, 0), slot, nowhere + 1)[:-1]
    kept = ops.reshape(kept, (-1, voxels, per_voxel, width + 1))

    is_voxel = ops.logical_and(ops.equal(is_first, 1), ops.logical_and(place < cells, voxel < voxels))
    of_voxel = ops.where(is_voxel, rows * voxels + voxel, batch * voxels)
    # Counted from the end of the grid, so that 0, where nothing is scattered to, means no voxel
    from_end = scattered(ops.where(is_voxel, cells - place, 0), of_voxel, batch * voxels + 1)[:-1]
    return {
        "points": kept[..., :width],
        "is_point": kept[..., width] > 0.5,
        "cell": cells - ops.reshape(from_end, (-1, voxels)),
    }


def cell_of(points, low, cell, shape):
    """The place (B, P) int32 of each point's cell in the flattened grid (X, Y, Z), or X Y Z outside of it."""
    scaled = [(points[..., axis] - low[axis]) / cell[axis] for axis in range(3)]
    inside = [ops.logical_and(s >= 0, s < side) for s, side in zip(scaled, shape)]
    inside = ops.logical_and(ops.logical_and(inside[0], inside[1]), inside[2])
    x, y, z = (ops.cast(ops.floor(ops.clip(s, 0, side - 1)), "int32") for s, side in zip(scaled, shape))
    return ops.where(inside, (x * shape[1] + y) * shape[2] + z, math.prod(shape))


def to_grid(features, cell, shape):
    """Features (B, K, C) of voxels at `cell` (B, K) as a dense grid, 0 in other cells.  -> (B, X, Y, Z, C)"""
    cells, channels = math.prod(shape), features.shape[-1]
    batch = ops.shape(features)[0]
    rows = ops.arange(batch, dtype="int32")[:, None] * (cells + 1)  # the last cell of each is for what is no voxel
    grid = ops.reshape(scattered(features, rows + cell, batch * (cells + 1)), (-1, cells + 1, channels))
    return ops.reshape(grid[:, :cells], (-1, *shape, channels))


def scattered(values, places, size):
    """Sums of the values (B, P, ...) that go to each place (B, P).  -> (size, ...)"""
    rest = tuple(values.shape[2:])
    return ops.scatter(ops.reshape(places, (-1, 1)), ops.reshape(values, (-1, *rest)), (size, *rest))
