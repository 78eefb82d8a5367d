"""Drawings of clouds: points in their colors, boxes where they are, and points behind others hidden."""

import numpy as np

from tfdl.core.batches import OUTSIDE
from tfdl.data.joined_solids import THINGS, thing
from tfdl.figures.clouds import FOUND, SIDE, class_clouds, cloud_picture, draw_box, rgb, scene_grid
from tfdl.figures.style import canvas


def test_points_have_the_colors_of_their_classes():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1.0]])
    image = cloud_picture(points, [0, 1, 2])
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
    found = {tuple(color) for color in image.reshape(-1, 3)}
    assert found == {(255, 255, 255), *(tuple(rgb(number)) for number in range(3))}


def test_near_points_hide_far_ones():
    direction = np.array([np.sin(np.radians(30)), np.cos(np.radians(30)), -np.tan(np.radians(25))])
    image = cloud_picture(np.stack([direction, -direction]), [0, 1])
    seen = {tuple(color) for color in image.reshape(-1, 3)}
    assert tuple(rgb(1)) in seen and tuple(rgb(0)) not in seen


def test_grids_have_a_panel_for_each_cloud():
    clouds, parts = zip(*(thing(np.random.default_rng(0), build) for build in THINGS))
    figure = class_clouds(np.stack(clouds), np.stack(parts), [str(i) for i in range(10)], columns=2, title="parts")
    assert len([axes for axes in figure.axes if axes.images]) == 4
    points = np.random.default_rng(0).uniform(0, 9, (2, 30, 4))
    points[1, 10:] = OUTSIDE
    boxes = np.array([[[5, 1, -1, 4, 2, 1.5, 0.3], [0] * 7], [[8, -1, -1, 4, 2, 1.5, 0], [0] * 7]], "float32")
    labels = np.array([[0, -1], [0, -1]])
    found = {"boxes": boxes, "scores": np.array([[0.9, 0], [0.1, 0]]), "labels": labels}
    figure = scene_grid(points, found, truth={"boxes": boxes, "labels": labels}, title="scenes")
    assert [len(axes.patches) for axes in figure.axes] == [2, 1], "the second is under the threshold"


def test_a_box_lies_where_it_is_seen_from_above():
    _, axes = canvas(width=2, height=2)
    draw_box(axes, [10, 2, 0, 4, 2, 1, np.pi / 2], FOUND)
    corners = axes.patches[0].get_corners()
    np.testing.assert_allclose([corners.min(0), corners.max(0)], [[-4, 9], [0, 11]], atol=1e-6)
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[-2, 10], [-4, 10]], atol=1e-6)
