"""The plane is colored by the class, lines and margins lie where the score says, and mistakes are marked."""

import io

import numpy as np
import pytest
from matplotlib import image

from tfdl.figures.decisions import decision, decision_panels, draw_path, view
from tfdl.figures.style import canvas, png

POINTS = np.array([[1.0, 4.0], [2.0, 6.0], [5.0, 5.0], [7.0, 3.0], [6.0, 4.0]])
LABELS = np.array([-1, -1, 1, 1, 1])
WORDS = dict(names=("left", "right"), x_label="length (cm)", y_label="width (cm)")


def upright(points):
    """Distance from the line x = 3.5."""
    return points[:, 0] - 3.5


def test_figure_shows_points_line_margin_and_names():
    figure = decision(upright, POINTS, LABELS, margin=1.5, title="A line", **WORDS)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("length (cm)", "width (cm)", "A line")
    assert [text.get_text() for text in figure.legends[0].texts] == ["left", "right"]
    scattered = [c.get_offsets() for c in axes.collections if len(c.get_offsets()) > 1]
    np.testing.assert_array_equal(np.concatenate(scattered), POINTS)
    contours = [c for c in axes.collections if hasattr(c, "levels") and not c.filled]
    levels = {round(c.levels[i], 6): path for c in contours for i, path in enumerate(c.get_paths())}
    assert set(levels) == {-1.5, 0.0, 1.5}
    for level, line in levels.items():
        np.testing.assert_allclose(line.vertices[:, 0], 3.5 + level, atol=1e-9)


def ringed(axes):
    return [c.get_offsets().tolist() for c in axes.collections if c.get_label() == "wrong side"]


def test_points_on_the_wrong_side_are_ringed():
    figure = decision(lambda points: points[:, 0] - 5.5, POINTS, LABELS, **WORDS)
    assert ringed(figure.axes[0]) == [[[5, 5]]]
    assert "wrong side" in [text.get_text() for text in figure.legends[0].texts]
    assert not ringed(decision(upright, POINTS, LABELS, **WORDS).axes[0])


def test_panels_say_how_many_points_each_classifier_has_right():
    scores = {
        "upright": upright,
        "reversed": lambda points: -upright(points),
        "late": lambda points: points[:, 0] - 5.5,
    }
    figure = decision_panels(scores, POINTS, LABELS, title="three lines", **WORDS)
    assert [axes.get_title() for axes in figure.axes] == [
        "upright\n5 of 5 right",
        "reversed\n0 of 5 right",
        "late\n4 of 5 right",
    ]
    assert figure.get_suptitle() == "three lines"
    assert ringed(figure.axes[1]) == [POINTS.tolist()]
    with pytest.raises(ValueError, match="no scores"):
        decision_panels({}, POINTS, LABELS, **WORDS)


def test_regions_have_the_colors_of_their_classes():
    figure = decision(upright, POINTS, LABELS, **WORDS)
    pixels = image.imread(io.BytesIO(png(figure, dpi=figure.dpi)))[..., :3]
    axes = figure.axes[0]
    for x, warm in ((0.5, False), (7.5, True)):
        column, row = axes.transData.transform((x, 5.8))
        red, _, blue = pixels[len(pixels) - int(row), int(column)]
        assert (red > blue) == warm


def test_lines_of_the_path_lie_where_they_should():
    low, high = view(POINTS)
    _, axes = canvas()
    path = np.random.default_rng(0).normal(size=(10, 3))
    path[1], path[2], path[4] = (0, 0, 1), (1, 0, -3), (0, 2, -9)
    draw_path(axes, path, low, high)
    assert len(axes.lines) == 3  # after 2, 4 and 8 mistakes; that after 1 is no line
    assert len({line.get_color() for line in axes.lines}) == 3
    for line, (a, b, c) in zip(axes.lines, path[[2, 4, 8]]):
        x, y = line.get_data()
        np.testing.assert_allclose(a * x + b * y + c, 0, atol=1e-12)
        assert (x.min() <= low[0] and x.max() >= high[0]) or (y.min() <= low[1] and y.max() >= high[1])


def test_view_holds_points_on_one_line():
    low, high = view(np.array([[2.0, 3.0], [2.0, 9.0]]))
    assert (low < [2, 3]).all() and (high > [2, 9]).all()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"points": POINTS[:, :1]}, r"points of shape \(5, 1\)"),
        ({"labels": LABELS[:3]}, r"labels of shape \(3,\)"),
        ({"labels": (LABELS + 1) // 2}, r"values \[0 1\]"),
        ({"path": np.zeros((4, 2))}, r"path of shape \(4, 2\); give lines"),
        ({"path": np.zeros((1, 3))}, "T at least 1"),
        ({"score": lambda points: points}, r"has shape \(90000, 2\)"),
    ],
)
def test_bad_input_is_refused(change, words):
    arguments = {"score": upright, "points": POINTS, "labels": LABELS} | change
    with pytest.raises(ValueError, match=words):
        decision(**arguments, **WORDS)
