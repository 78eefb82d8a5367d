"""A function of two variables as a map, the paths of minimizers on it, and how fast they come down."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator

from tfdl.figures.curves import curves
from tfdl.figures.style import COLORS, MAP, heading, label_outer, legend_below, panels_of, readable

DEPTH = 1e-4  # the lowest level, of the height of the highest: the map would drown in levels of the last digits
GRID = 400  # points in each direction
ROUNDING = 1e-16  # a height of 0, which has no logarithm
DOTS = 25  # on a path: those of a longer one would merge
PATH = COLORS[1]


def surface(function, paths, *, x_range, y_range, minima=(), title=None, levels=16, columns=3):
    """Filled contours of f(x, y) above its lowest value, evenly spaced in the logarithm: a panel for each path.

    Paths to the same minimum run along the same valley and would cover each other in one panel.  Each panel says how
    many steps its path has and how high above the minimum it ends.

    Args:
        function: x, y arrays (N, N) -> values (N, N).
        paths: dict name -> points (T, 2), the start first; they may leave the picture.  Empty: one panel without any.
        x_range, y_range: (low, high).
        minima: points (K, 2), drawn as stars.
        levels: number of contours.
        columns: panels in a row.

    Raises:
        ValueError: a path is not (T, 2), a range is empty, or the function is not finite or constant on the grid.
    """
    if x_range[0] >= x_range[1] or y_range[0] >= y_range[1]:
        raise ValueError(f"A range goes from a lower to a higher number, not {x_range} and {y_range}.")
    x, y = np.meshgrid(np.linspace(*x_range, GRID), np.linspace(*y_range, GRID))
    z = np.asarray(function(x, y), np.float64)
    if not np.isfinite(z).all() or np.ptp(z) == 0:
        raise ValueError(f"There is no map of values between {z.min()} and {z.max()}.")
    paths = {name: check_path(name, points) for name, points in paths.items()}
    lowest = min([z.min(), *(float(function(*np.asarray(m, np.float64))) for m in minima)])
    z = z - lowest
    steps = np.geomspace(z.max() * DEPTH, z.max(), levels)

    count = max(1, len(paths))
    size = {"width": 5.6, "height": 4.2} if count == 1 else {"width": 3.3, "height": 2.9}
    columns = 2 if count == 4 else min(columns, count)
    figure, panels = panels_of(count, columns=columns, sharex=True, sharey=True, **size)
    for axes in panels:
        filled = axes.contourf(x, y, np.maximum(z, steps[0]), steps, norm=LogNorm(steps[0], steps[-1]), cmap=MAP)
        axes.set(xlim=x_range, ylim=y_range)
        axes.grid(False)
    for axes, (name, points) in zip(panels, paths.items()):
        draw_path(axes, points)
        end = float(function(*points[-1])) - lowest
        axes.set_title(f"{readable(name)}\n{len(points) - 1:,} steps, f - min f = {max(end, 0):.1g}", fontsize=9)
    for axes in panels:
        for point in minima:
            axes.plot(*point, "*", color="white", markeredgecolor="black", markersize=13, zorder=4, label="minimum")
    label_outer(panels, columns=columns, x_label="x", y_label="y")
    bar = figure.colorbar(filled, ax=panels, label="f(x, y) above its minimum", pad=0.02, aspect=30)
    bar.ax.yaxis.set_major_locator(LogLocator())
    heading(figure, title)
    if paths or len(minima):
        legend_below(figure)
    return figure


def heights(function, paths, *, minima, title=None):
    """How fast the paths (dict name -> (T, 2)) come down: f above its minimum at each of their points, log-log."""
    if len(minima) == 0:
        raise ValueError("heights got no minima, above which to measure; give one or more points.")
    lowest = min(float(function(*np.asarray(m, np.float64))) for m in minima)
    above = {name: np.maximum(function(*np.transpose(points)) - lowest, ROUNDING) for name, points in paths.items()}
    words = {"x_label": "point on the path (1 is the start)", "y_label": "f(x, y) above its minimum"}
    return curves(above, **words, title=title, log_x=True, log_y=True)


def check_path(name, points):
    """`points` as (T, 2) float64.  Raises ValueError for another shape."""
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"The path {name!r} has shape {points.shape}; give one or more points (T, 2).")
    return points


def draw_path(axes, points):
    """A line with a white edge, which stands out on light and dark ground; a square at the start, a ring at the end."""
    every = max(1, len(points) // DOTS)
    edge = [Stroke(linewidth=3.6, foreground="white"), Normal()]
    line = {"color": PATH, "linewidth": 1.6, "marker": "o", "markersize": 3, "markevery": every}
    axes.plot(*points.T, "-", **line, label="path", path_effects=edge)
    ends = {"color": "white", "markeredgecolor": PATH, "markeredgewidth": 2, "linestyle": "", "zorder": 3}
    axes.plot(*points[0], marker="s", markersize=7, label="start", **ends)
    axes.plot(*points[-1], marker="o", markersize=8, label="end", **ends)
