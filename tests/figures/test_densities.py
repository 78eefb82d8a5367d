"""Figures of probability: what is drawn is what was given, and bad input is a sentence."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from tfdl.figures import densities
from tfdl.figures.style import png
from tfdl.foundations.information_theory import huffman_code
from tfdl.foundations.probability import Beta, Normal, Poisson

CURVES = ({"prior": Beta(2, 2), "posterior": Beta(20, 8)}, {"x_range": (0, 1), "x_label": "heads"})
ENDS = {5: (np.array([-1.0, 0.5, -2.0]), np.array([1.0, 2.0, -0.1])), 2: (np.array([-3.0, -9.0]), np.array([3.0, 9.0]))}
COUNTS = {" ": 5, "e": 3, "$": 1, "\n": 1}
FIGURES = {
    "histograms": lambda: densities.histograms({"a": (Normal().sample((90,), seed=0), Normal())}, x_label="x"),
    "beliefs": lambda: densities.beliefs(CURVES[0], **CURVES[1], truth=0.6),
    "settling": lambda: densities.settling(np.ones(50), np.zeros(50), np.full(50, 2.0), truth=1.5, y_label="y"),
    "coverage": lambda: densities.coverage({"one": ENDS}, truth=0, x_label="mean"),
    "code_lengths": lambda: densities.code_lengths(COUNTS, huffman_code(COUNTS)),
    "heat_maps": lambda: densities.heat_maps({"a": np.eye(3), "b": np.ones((2, 5))}),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_figure_becomes_a_picture_with_labels(make):
    figure = make()
    assert png(figure).startswith(b"\x89PNG")
    assert [axes for axes in figure.axes if axes.get_xlabel() and axes.get_ylabel()]


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_no_title_or_label_leaves_the_picture(make):
    figure = make()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    frame = figure.bbox.padded(1)
    for axes in figure.axes:
        box = axes.get_tightbbox(canvas.get_renderer())
        assert Bbox.union([frame, box]).bounds == frame.bounds


def test_histogram_of_reals_has_the_area_of_the_draws_inside():
    draws = Normal().sample((5000,), seed=1)
    panel = densities.histograms({"a": (draws, Normal())}, x_label="x").axes[0]
    area = sum(bar.get_height() * bar.get_width() for bar in panel.patches)
    assert abs(area - 0.998) < 0.002
    np.testing.assert_allclose(panel.lines[0].get_ydata().max(), 1 / np.sqrt(2 * np.pi), rtol=1e-3)


def test_histogram_of_integers_has_a_bar_and_a_point_an_integer():
    draws = Poisson(3.0).sample((4000,), seed=2)
    panel = densities.histograms({"a": (draws, Poisson(3.0))}, x_label="k").axes[0]
    points = panel.lines[0].get_xdata()
    np.testing.assert_array_equal(points, np.arange(points[0], points[0] + len(panel.patches)))
    for k, bar in zip(points, panel.patches):
        np.testing.assert_allclose(bar.get_height(), np.mean(draws == k), atol=1e-12)


def test_panels_beyond_the_row_go_on_below():
    five = {f"{i}": (Normal().sample((30,), seed=i), Normal()) for i in range(5)}
    figure = densities.histograms(five, x_label="x", columns=3)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 5 + [False]


def test_shaded_belief_is_the_interval_of_the_last():
    figure = densities.beliefs(CURVES[0], **CURVES[1])
    shade = figure.axes[0].collections[0].get_paths()[0].vertices[:, 0]
    np.testing.assert_allclose((shade.min(), shade.max()), Beta(20, 8).interval(0.95), atol=2e-3)


def test_long_trace_is_drawn_thin_but_whole():
    n = np.arange(2, 100_002)
    figure = densities.settling(1 / n, 1 / n - 1 / np.sqrt(n), 1 / n + 1 / np.sqrt(n), truth=0.0, y_label="y")
    x, y = figure.axes[0].lines[0].get_data()
    assert len(x) <= densities.POINTS and x[0] == 2 and x[-1] == 100_001
    np.testing.assert_allclose(y, 1 / x)
    np.testing.assert_allclose(figure.axes[1].lines[1].get_ydata(), 1 / np.sqrt(x))


def test_coverage_counts_hits_and_shows_which_missed():
    figure = densities.coverage({"one": ENDS}, truth=0, x_label="mean")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["1 contain the true value", "2 miss it"]
    x, y = figure.axes[1].lines[1].get_data()
    np.testing.assert_array_equal(x, [2, 5])
    np.testing.assert_allclose(y, [100, 100 / 3])


def test_long_tables_fill_their_panel_and_others_have_square_cells():
    figure = densities.heat_maps({"square": np.eye(3), "long": np.ones((2, 9))}, title="tables")
    assert [axes.get_aspect() for axes in figure.axes[:2]] == [1.0, "auto"]
    assert figure.get_suptitle() == "tables"


def test_code_is_drawn_from_the_most_frequent_symbol_on():
    figure = densities.code_lengths(COUNTS, huffman_code(COUNTS))
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [1, 2, 3, 3]
    assert [tick.get_text() for tick in axes.get_xticklabels()][:2] == ["␣", "e"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "expected length 1.700" in labels and "entropy 1.685" in labels


BAD = {
    "no panels": (lambda: densities.histograms({}, x_label="x"), "no panels"),
    "nothing finite": (lambda: densities.histograms({"a": ([np.nan], Normal())}, x_label="x"), "'a'"),
    "no beliefs": (lambda: densities.beliefs({}, **CURVES[1]), "got 0 distributions"),
    "range": (lambda: densities.beliefs(CURVES[0], x_range=(1, 0), x_label="x"), r"\(1, 0\); give low < high"),
    "band": (lambda: densities.settling(np.ones(3), np.ones(2), np.ones(3), truth=1, y_label="y"), r"\(3,\), \(2,\)"),
    "no methods": (lambda: densities.coverage({}, truth=0, x_label="x"), "nothing to draw"),
    "symbols": (lambda: densities.code_lengths(COUNTS, {"a": "0"}), "same symbols; got 4 and 1"),
    "rank": (lambda: densities.heat_maps({"a": np.ones(3)}), r"\[\(3,\)\]"),
}


@pytest.mark.parametrize("call, sentence", BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
