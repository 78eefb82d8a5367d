import numpy as np
import pytest

from tfdl.figures.groups import grouped_bars
from tfdl.figures.style import png

VALUES = {"plain": [0.2, 0.4, 0.9], "weighted": np.array([0.5, 0.6, 0.8])}


def test_each_value_is_the_height_of_a_bar():
    axes = grouped_bars(VALUES, ["a", "b", "c"], y_label="recall").axes[0]
    heights = [[bar.get_height() for bar in method] for method in axes.containers]
    np.testing.assert_allclose(heights, list(VALUES.values()))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"] and axes.get_ylabel() == "recall"


def test_bars_of_a_group_stand_side_by_side_around_its_tick():
    axes = grouped_bars(VALUES, ["a", "b", "c"], y_label="recall").axes[0]
    left, right = ([(bar.get_x(), bar.get_x() + bar.get_width()) for bar in method] for method in axes.containers)
    np.testing.assert_allclose([end for _, end in left], [start for start, _ in right], atol=1e-6)
    np.testing.assert_allclose([end for _, end in left], range(3), atol=1e-6)


def test_methods_differ_without_color_and_the_figure_can_be_drawn():
    figure = grouped_bars(VALUES, ["T-shirt", "trouser", "bag"], y_label="recall", title="recall by class")
    assert len({method[0].get_hatch() for method in figure.axes[0].containers}) == 2
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "values, words",
    [
        ({}, "0 methods"),
        ({"plain": [1, 2]}, "2 values of 'plain' for 3 groups"),
        ({"plain": [np.nan] * 3}, "none of them finite"),
    ],
)
def test_bad_values_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        grouped_bars(values, ["a", "b", "c"], y_label="recall")
