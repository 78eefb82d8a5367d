"""The map of a surface shows the paths, the minima and the logarithmic levels that it was given."""

import numpy as np
import pytest

from tfdl.figures.style import png
from tfdl.figures.surfaces import heights, surface

RANGES = dict(x_range=(-2.0, 3.0), y_range=(-1.0, 2.0))


def bowl(x, y):
    return (x - 1) ** 2 + 10 * y**2 + 7


def test_map_has_axes_paths_minima_and_title():
    path = np.array([[-1.0, 1.0], [0.0, 0.5], [1.0, 0.0]])
    figure = surface(bowl, {"downhill": path}, minima=[(1.0, 0.0)], title="bowl", **RANGES)
    axes, bar = figure.axes
    assert (axes.get_xlim(), axes.get_ylim(), axes.get_title()) == ((-2, 3), (-1, 2), "bowl")
    assert axes.get_xlabel() == "x" and axes.get_ylabel() == "y" and "f(x, y)" in bar.get_ylabel()
    line = next(line for line in axes.lines if line.get_label() == "downhill")
    np.testing.assert_array_equal(line.get_xydata(), path)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["downhill", "minimum"]
    assert png(figure).startswith(b"\x89PNG")


def test_levels_are_even_in_the_logarithm_above_the_minimum():
    axes, bar = surface(bowl, {}, minima=[(1.0, 0.0)], levels=9, **RANGES).axes
    levels = axes.collections[0].levels
    assert len(levels) == 9
    np.testing.assert_allclose(np.diff(np.log(levels)), np.log(levels[1] / levels[0]))
    assert levels[-1] == pytest.approx(9 + 40)  # corner (-2, 2), above the minimum 7


def test_path_may_leave_the_picture():
    figure = surface(bowl, {"far": [[-1.0, 1.0], [100.0, -50.0]]}, **RANGES)
    assert figure.axes[0].get_xlim() == (-2, 3)


@pytest.mark.parametrize("path", [np.zeros((3, 3)), np.zeros(2), np.zeros((0, 2))])
def test_path_of_another_shape_is_refused(path):
    with pytest.raises(ValueError, match="'odd'.*" + str(path.shape).replace("(", r"\(").replace(")", r"\)")):
        surface(bowl, {"odd": path}, **RANGES)


def test_empty_range_and_flat_or_infinite_functions_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 1\)"):
        surface(bowl, {}, x_range=(1, 1), y_range=(0, 1))
    for function, word in ((lambda x, y: 0 * x, "0.0 and 0.0"), (lambda x, y: np.where(x > 0, x, np.inf), "inf")):
        with pytest.raises(ValueError, match=word):
            surface(function, {}, **RANGES)


def test_heights_fall_to_the_lowest_minimum_and_are_drawn_logarithmically():
    path = np.array([[-1.0, 1.0], [1.0, 0.5], [1.0, 0.0]])
    (axes,) = heights(bowl, {"downhill": path}, minima=[(1.0, 0.0)], title="bowl").axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [14, 2.5, 1e-16])  # 0 has no place on a logarithmic axis
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_heights_without_a_minimum_are_refused():
    with pytest.raises(ValueError, match="no minima"):
        heights(bowl, {"downhill": [[0.0, 0.0]]}, minima=[])
