"""Lines and bars say what they show, and refuse what cannot be drawn."""

import numpy as np
import pytest

from tfdl.figures import style
from tfdl.figures.curves import bars, curves


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


def test_single_series_needs_no_legend():
    assert not curves({"a": [1.0, 2.0]}, x_label="epoch", y_label="loss").legends


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
        (lambda: bars({}, y_label="error"), "nothing to draw for 'error'"),
        (lambda: style.canvas(0, 2), "0 rows"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_png_is_written_whole(tmp_path):
    figure = curves({"a": [1.0, 2.0]}, x_label="epoch", y_label="loss")
    style.write_png(figure, tmp_path / "figures" / "loss.png")
    assert (tmp_path / "figures" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in (tmp_path / "figures").iterdir()] == ["loss.png"]
