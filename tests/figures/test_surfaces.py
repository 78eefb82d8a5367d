"""Maps of a surface: a panel for each path, the minima, and levels that are even in the logarithm."""

import numpy as np
import pytest

from tfdl.figures.style import png
from tfdl.figures.surfaces import heights, surface

RANGES = dict(x_range=(-2.0, 3.0), y_range=(-1.0, 2.0))


def bowl(x, y):
    return (x - 1) ** 2 + 10 * y**2 + 7


def drawn(axes, label):
    return next(line.get_xydata() for line in axes.lines if line.get_label() == label)


def test_map_has_axes_path_start_end_minimum_and_title():
    path = np.array([[-1.0, 1.0], [0.0, 0.5], [1.0, 0.1]])
    figure = surface(bowl, {"downhill": path}, minima=[(1.0, 0.0)], title="bowl", **RANGES)
    axes, bar = figure.axes
    assert (axes.get_xlim(), axes.get_ylim(), figure.get_suptitle()) == ((-2, 3), (-1, 2), "bowl")
    assert axes.get_xlabel() == "x" and axes.get_ylabel() == "y" and "f(x, y)" in bar.get_ylabel()
    np.testing.assert_array_equal(drawn(axes, "path"), path)
    np.testing.assert_array_equal(drawn(axes, "start"), path[:1])
    np.testing.assert_array_equal(drawn(axes, "end"), path[-1:])
    np.testing.assert_array_equal(drawn(axes, "minimum"), [[1, 0]])
    assert axes.get_title() == "downhill\n2 steps, f - min f = 0.1"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["path", "start", "end", "minimum"]
    assert png(figure).startswith(b"\x89PNG")


def test_each_path_has_a_panel_of_its_own_and_all_have_the_minimum():
    paths = {name: [[-1.0, 1.0], [x, 0.0]] for name, x in (("first", 0.0), ("second", 0.5), ("third", 2.0))}
    panels = surface(bowl, paths, minima=[(1.0, 0.0)], **RANGES).axes[:3]
    assert [axes.get_title().split("\n")[0] for axes in panels] == list(paths)
    for axes, path in zip(panels, paths.values()):
        np.testing.assert_array_equal(drawn(axes, "path"), path)
        np.testing.assert_array_equal(drawn(axes, "minimum"), [[1, 0]])


def test_levels_are_even_in_the_logarithm_above_the_minimum():
    axes, bar = surface(bowl, {}, minima=[(1.0, 0.0)], levels=9, **RANGES).axes
    levels = axes.collections[0].levels
    assert len(levels) == 9
    np.testing.assert_allclose(np.diff(np.log(levels)), np.log(levels[1] / levels[0]))
    assert levels[-1] == pytest.approx(9 + 40)  # corner (-2, 2), above the minimum 7


def cusp(x, y):
    return np.sqrt(np.abs(x - 1 / 3)) + y**2


def test_heights_are_measured_from_a_minimum_that_lies_between_the_points_of_the_grid():
    given = surface(cusp, {}, minima=[(1 / 3, 0.0)], **RANGES).axes[0].collections[0].levels[-1]
    assert given == pytest.approx(cusp(3.0, 2.0), rel=1e-6)
    found = surface(cusp, {}, **RANGES).axes[0].collections[0].levels[-1]
    assert found < given - 0.01, "the grid's lowest point is no minimum"
    (axes,) = heights(cusp, {"downhill": [[4 / 3, 0.0]]}, minima=[(1 / 3, 0.0), (1 / 3, 1.0)]).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1.0])


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
