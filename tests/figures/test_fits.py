"""Fits draw the points in every panel, and refuse what is no picture."""

import numpy as np
import pytest

from tfdl.figures.fits import fits

POINTS = np.array([[0.0, 1.0], [1.0, 3.0], [2.0, 2.0]])
LINE = (np.array([0.0, 2.0]), np.array([1.0, 3.0]))


def test_every_panel_shows_the_points_and_its_own_curves():
    figure = fits(POINTS, {"one": {"line": LINE}, "two": {"flat": ([0, 2], [2, 2])}}, x_label="x", y_label="y")
    for axes, name in zip(figure.axes, ("line", "flat")):
        curve, dots = axes.get_lines()
        assert curve.get_label() == name
        np.testing.assert_array_equal(dots.get_xydata(), POINTS)
    assert figure.axes[0].get_title() == "one"
    assert sorted(text.get_text() for text in figure.legends[0].get_texts()) == ["data", "flat", "line"]


def test_curves_may_leave_the_picture():
    figure = fits(POINTS, {"wild": {"line": ([0, 2], [-50, 50])}}, x_label="x", y_label="y", y_range=(0, 4))
    assert figure.axes[0].get_ylim() == (0, 4)


@pytest.mark.parametrize(
    ("points", "panels", "words"),
    [
        (POINTS.T, {"one": {"line": LINE}}, "(2, 3)"),
        (POINTS[:0], {"one": {"line": LINE}}, "(0, 2)"),
        (POINTS, {}, "no curves"),
        (POINTS, {"one": {}}, "no curves"),
    ],
)
def test_what_cannot_be_drawn_is_refused(points, panels, words):
    with pytest.raises(ValueError) as error:
        fits(points, panels, x_label="x", y_label="y")
    assert words in str(error.value)
