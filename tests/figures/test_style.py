"""The common style: a title is read whole, however narrow its figure is."""

from matplotlib.backends.backend_agg import FigureCanvasAgg

from tfdl.figures.style import canvas, heading


def test_a_long_title_above_a_single_panel_is_not_cut():
    figure, _ = canvas(width=3.0, height=3.0)
    heading(figure, "Four scenes of the test split with what was found in them, seen from above")
    FigureCanvasAgg(figure).draw()
    (title,) = figure.texts
    box = title.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
    assert box.y0 > figure.axes[0].get_window_extent().y1, "the panel begins below all lines"
