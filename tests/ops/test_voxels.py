"""Voxels: groups are those of a loop over the points, padding and overflow are left out, grids put features back."""

import numpy as np
import tensorflow as tf

from tfdl.core.batches import OUTSIDE
from tfdl.ops.voxels import group, to_grid

GRID = dict(low=(0.0, -2.0, -1.0), cell=(0.5, 1.0, 2.0), shape=(4, 5, 2))


def by_loop(cloud, voxels, per_voxel):
    """{cell: its points}, of one cloud, point after point."""
    cells = {}
    for point in cloud:
        place = np.floor((point[:3] - GRID["low"]) / GRID["cell"]).astype(int)
        if (place >= 0).all() and (place < GRID["shape"]).all():
            number = (place[0] * GRID["shape"][1] + place[1]) * GRID["shape"][2] + place[2]
            cells.setdefault(int(number), []).append(point)
    return {number: cells[number][:per_voxel] for number in sorted(cells)[:voxels]}


def clouds(batch=3, count=250, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-0.5, -2.5, -2.0, 0], [2.5, 3.5, 4.0, 1], (batch, count, 4)).astype("float32")
    points[1, 20:, :3] = OUTSIDE
    points[2] = OUTSIDE
    return points


def test_groups_are_those_of_a_loop():
    points = clouds()
    for voxels, per_voxel in ((40, 3), (9, 2)):
        grouped = {k: np.array(v) for k, v in group(points, voxels=voxels, per_voxel=per_voxel, **GRID).items()}
        assert grouped["points"].shape == (3, voxels, per_voxel, 4)
        for row, cloud in enumerate(points):
            expected = by_loop(cloud, voxels, per_voxel)
            here = grouped["cell"][row] < 40
            assert grouped["cell"][row, here].tolist() == list(expected)
            assert (grouped["cell"][row, ~here] == 40).all() and not grouped["is_point"][row, ~here].any()
            for voxel, inside in enumerate(expected.values()):
                assert grouped["is_point"][row, voxel].tolist() == [i < len(inside) for i in range(per_voxel)]
                np.testing.assert_array_equal(grouped["points"][row, voxel, : len(inside)], inside)
                assert (grouped["points"][row, voxel, len(inside) :] == 0).all()
    whole = by_loop(points[0], 40, 250)
    assert len(whole) > 25 and max(map(len, whole.values())) > 4 and not by_loop(points[2], 40, 3)


def test_shapes_are_static_in_a_graph():
    traced = tf.function(lambda x: group(x, voxels=9, per_voxel=2, **GRID), autograph=False)
    made = traced.get_concrete_function(tf.TensorSpec((None, 70, 4)))
    shapes = {name: tuple(x.shape) for name, x in made.structured_outputs.items()}
    assert shapes == {"points": (None, 9, 2, 4), "is_point": (None, 9, 2), "cell": (None, 9)}


def test_grid_has_the_features_at_their_cells():
    features = np.random.default_rng(0).normal(size=(2, 3, 6)).astype("float32")
    cell = np.array([[0, 7, 40], [39, 40, 40]], "int32")
    grid = np.array(to_grid(features, cell, GRID["shape"]))
    assert grid.shape == (2, 4, 5, 2, 6)
    flat = grid.reshape(2, 40, 6)
    np.testing.assert_array_equal(flat[0, [0, 7]], features[0, :2])
    np.testing.assert_array_equal(flat[1, 39], features[1, 0])
    assert np.count_nonzero(flat.any(-1)) == 3
