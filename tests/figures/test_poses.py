"""Drawn poses: points and lines where they belong, hidden ones left out, and a bar for each point."""

import numpy as np
import pytest

from tfdl.figures.poses import draw_pose, error_bars, pose_grid, pose_picture
from tfdl.figures.style import canvas, png

LINES = ((0, 1), (1, 2))
POINTS = np.array([[5, 6, 0.9], [20, 10, 0.8], [25, 25, 0.05]])


def test_points_and_lines_that_are_seen_are_drawn():
    figure, axes = canvas()
    draw_pose(axes, POINTS, LINES, threshold=0.1, size=5)
    lines, dots = axes.collections
    assert len(lines.get_segments()) == 1
    np.testing.assert_array_equal(lines.get_segments()[0], POINTS[:2, :2])
    np.testing.assert_array_equal(dots.get_offsets(), POINTS[:2, :2])


def test_figures_become_pictures():
    images = np.random.default_rng(0).random((3, 32, 40, 3))
    truth = np.repeat([[[5, 5, 1], [20, 12, 0], [25, 25, 1]]], 3, 0)
    for figure in (
        pose_picture(images[0], POINTS, LINES),
        pose_grid(images, np.repeat(POINTS[None], 3, 0), LINES, truth=truth, title="a title"),
        error_bars(np.array([0.1, np.nan, 0.2]), np.array([1.0, np.nan, 0.5]), ("a", "b", "c"), threshold=0.2),
    ):
        assert png(figure, dpi=40).startswith(b"\x89PNG")


def test_names_and_errors_must_be_as_many():
    with pytest.raises(ValueError, match="2 errors, 2 shares and 1 names"):
        error_bars(np.zeros(2), np.zeros(2), ("a",), threshold=0.2)
