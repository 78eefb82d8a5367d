"""Lines and bars say what they show, and refuse what cannot be drawn."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from tfdl.figures import style
from tfdl.figures.curves import bars, curve_panels, curves


def test_each_series_is_told_apart_by_color_and_by_dashes():
    series = {str(i): np.arange(5.0) + i for i in range(8)}
    lines = curves(series, x_label="epoch", y_label="loss (nats)").axes[0].get_lines()
    assert len({line.get_color() for line in lines}) == 8
    assert len({str(line._dash_pattern) for line in lines}) == 8


def test_curves_name_axes_and_series():
    figure = curves({"a": [3.0, 2.0, 1.0], "b": ([0, 10], [1.0, 2.0])}, x_label="epoch", y_label="loss", log_y=True)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("epoch", "loss", "log")
    np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(axes.get_lines()[1].get_xdata(), [0, 10])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]


def test_names_of_methods_are_spelled_as_their_authors_spell_them():
    for name, text in {"leaky_relu": "leaky ReLU", "he, tanh": "He, tanh", "the adamant": "the adamant"}.items():
        assert style.readable(name) == text
    assert curves({"sgd": [1.0]}, x_label="epoch", y_label="loss").axes[0].lines[0].get_label() == "SGD"
    assert [t.get_text() for t in bars({"l2": 1.0}, y_label="error").axes[0].get_yticklabels()] == ["L2"]


def test_long_title_does_not_run_into_the_legend():
    title = "Without any regularization the validation loss rises again after the tenth epoch"
    figure = curves({"a": [1.0], "b": [1.0]}, x_label="epoch", y_label="loss", title=title)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    assert figure.axes[0].title.get_window_extent(renderer).x1 < figure.legends[0].get_window_extent(renderer).x0


def test_one_epoch_has_one_tick_and_short_logarithmic_axes_have_plain_numbers():
    axes = curves({"a": [0.3]}, x_label="epoch", y_label="loss").axes[0]
    assert list(axes.get_xticks()) == [1]
    figure = curves({"a": [0.3, 0.04]}, x_label="epoch", y_label="loss", log_y=True)
    figure.draw(FigureCanvasAgg(figure).get_renderer())
    axis = figure.axes[0].yaxis
    texts = {label.get_text() for label in [*axis.get_ticklabels(), *axis.get_ticklabels(minor=True)]}
    assert {"0.05", "0.1", "0.2"} <= texts and "0.03" not in texts
    wide = curves({"a": [1.0, 1e-9]}, x_label="epoch", y_label="loss", log_y=True)
    wide.draw(FigureCanvasAgg(wide).get_renderer())
    assert all("10^" in label.get_text() for label in wide.axes[0].yaxis.get_ticklabels())


def test_single_series_needs_no_legend():
    assert not curves({"a": [1.0, 2.0]}, x_label="epoch", y_label="loss").legends


def test_level_is_drawn_at_its_height_and_named():
    figure = curves({"a": [1.0, 2.0]}, x_label="epoch", y_label="loss", levels={"to beat": 1.5})
    assert list(figure.axes[0].lines[1].get_ydata()) == [1.5, 1.5]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "to beat"]


def test_point_is_ringed_in_the_color_of_its_series():
    series = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    axes = curves(series, x_label="epoch", y_label="loss", points={"b": (2, 4.0, "here")}).axes[0]
    ring = axes.lines[-1]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (2, 4.0)
    assert ring.get_markeredgecolor() == axes.lines[1].get_color()
    assert [t.get_text() for t in axes.texts] == ["here"]


def test_name_has_one_color_and_one_kind_of_dashes_in_all_panels():
    panels = {"one": {"a": [1.0, 2.0], "b": [2.0, 3.0]}, "two": {"b": [5.0, 4.0]}}
    figure = curve_panels(panels, x_label="epoch", y_label="loss", title="both", y_range=(0, 9))
    one, two = figure.axes
    assert (one.get_title(), two.get_title(), figure.get_suptitle()) == ("one", "two", "both")
    assert one.lines[1].get_color() == two.lines[0].get_color() != one.lines[0].get_color()
    assert one.lines[1].get_linestyle() == two.lines[0].get_linestyle() != one.lines[0].get_linestyle()
    assert one.get_ylim() == two.get_ylim() == (0, 9)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]


def test_axes_are_named_at_the_border_also_above_a_place_without_a_panel():
    figure = curve_panels({str(i): {"a": [1.0, 2.0]} for i in range(4)}, x_label="epoch", y_label="loss", columns=3)
    panels = figure.axes
    assert [axes.get_xlabel() for axes in panels[:4]] == ["", "epoch", "epoch", "epoch"]
    assert [axes.get_ylabel() for axes in panels[:4]] == ["loss", "", "", "loss"]
    assert [axes.get_visible() for axes in panels] == [True] * 4 + [False] * 2


def test_bars_carry_their_numbers_in_the_given_order():
    figure = bars({"first": 0.25, "second": 0.5}, errors={"first": 0.01, "second": 0.02}, y_label="test error")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["0.25 ± 0.01", "0.5 ± 0.02"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["first", "second"]
    assert axes.yaxis_inverted()


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: curves({}, x_label="x", y_label="y"), "no series"),
        (lambda: curves({"a": [np.nan]}, x_label="x", y_label="y"), "nothing to draw for 'a'"),
        (lambda: curves({"a": ([1, 2], [1.0])}, x_label="x", y_label="y"), r"\(2,\) and \(1,\)"),
        (lambda: curves({"a": [1.0]}, x_label="x", y_label="y", points={"b": (1, 1, "")}), "a point of 'b'"),
        (lambda: curve_panels({}, x_label="x", y_label="y"), "no lines"),
        (lambda: curve_panels({"a": {}}, x_label="x", y_label="y"), "no lines"),
        (lambda: bars({}, y_label="error"), "nothing to draw for 'error'"),
        (lambda: style.canvas(0, 2), "0 rows"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_png_is_written_whole_and_sharp(tmp_path):
    figure = curves({"a": [1.0, 2.0]}, x_label="epoch", y_label="loss", title="a title")
    assert figure.axes[0].get_title() == "a title"
    style.write_png(figure, tmp_path / "figures" / "loss.png")
    assert (tmp_path / "figures" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in (tmp_path / "figures").iterdir()] == ["loss.png"]
    height, width, _ = imread(tmp_path / "figures" / "loss.png").shape
    assert (width, height) == (6.4 * 200, 3.8 * 200)
