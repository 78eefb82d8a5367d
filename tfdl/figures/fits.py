"""Points, and the curves that were fitted to them."""

import numpy as np

from tfdl.figures.curves import draw_lines
from tfdl.figures.style import COLORS, heading, label_outer, legend_below, panels_of


def fits(points, panels, *, x_label, y_label, columns=3, x_range=None, y_range=None, title=None):
    """The same points in every panel, each with its own curves through them.

    Args:
        points: (N, 2), the x and y of each.
        panels: dict title of the panel -> dict name -> (x, y), both (M,).
        x_label, y_label: with units.
        columns: panels in a row.
        x_range, y_range: (low, high) of all panels; None: all that is drawn.

    Raises:
        ValueError: no panels, an empty one, or points that are not (N, 2).
    """
    points = np.asarray(points, "float64")
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"fits got points of shape {points.shape}; give one or more points (N, 2).")
    if not panels or not all(panels.values()):
        raise ValueError("fits got no curves to draw; give dict title -> dict name -> (x, y).")
    columns = min(columns, len(panels))
    size = {"width": 5.6, "height": 4.2} if len(panels) == 1 else {"width": 3.3, "height": 3.1}
    figure, axes = panels_of(len(panels), columns=columns, sharex=True, sharey=True, **size)
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    for axis, (name, series) in zip(axes, panels.items()):
        draw_lines(axis, series, names, log_x=False, log_y=False)
        axis.plot(*points.T, "o", color=COLORS[-1], markersize=4, alpha=0.6, label="data", zorder=3)
        axis.set_title(name)
        axis.locator_params(axis="x", nbins=5)
        if x_range:
            axis.set_xlim(*x_range)
        if y_range:
            axis.set_ylim(*y_range)
    label_outer(axes, columns=columns, x_label=x_label, y_label=y_label)
    heading(figure, title)
    legend_below(figure)
    return figure
