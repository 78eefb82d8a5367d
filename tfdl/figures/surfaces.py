"""A function of two variables as a map, with the paths of minimizers on it, and how fast they come down."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator

from tfdl.figures.curves import curves
from tfdl.figures.style import COLORS, MAP, canvas, legend_beside

DEPTH = 1e-4  # the lowest level, of the height of the highest: the map would drown in levels of the last digits
GRID = 400  # points in each direction
ROUNDING = 1e-16  # a height of 0, which has no logarithm


def surface(function, paths, *, x_range, y_range, minima=(), title=None, levels=16):
    """Filled contours of f(x, y) above its lowest value, evenly spaced in the logarithm, and paths on top.

    Args:
        function: x, y arrays (N, N) -> values (N, N).
        paths: dict name -> points (T, 2); they may leave the picture.
        x_range, y_range: (low, high).
        minima: points (K, 2), drawn as stars.
        levels: number of contours.

    Raises:
        ValueError: a path is not (T, 2), a range is empty, or the function is not finite or constant on the grid.
    """
    if x_range[0] >= x_range[1] or y_range[0] >= y_range[1]:
        raise ValueError(f"A range goes from a lower to a higher number, not {x_range} and {y_range}.")
    x, y = np.meshgrid(np.linspace(*x_range, GRID), np.linspace(*y_range, GRID))
    z = np.asarray(function(x, y), np.float64)
    if not np.isfinite(z).all() or np.ptp(z) == 0:
        raise ValueError(f"There is no map of values between {z.min()} and {z.max()}.")
    z = z - min([z.min(), *(float(function(*np.asarray(m, np.float64))) for m in minima)])
    steps = np.geomspace(z.max() * DEPTH, z.max(), levels)

    figure, axes = canvas(width=7.6, height=4.2)
    norm = LogNorm(steps[0], steps[-1])
    filled = axes.contourf(x, y, np.maximum(z, steps[0]), steps, norm=norm, cmap=MAP)
    bar = figure.colorbar(filled, ax=axes, label="f(x, y) above its minimum", pad=0.02)
    bar.ax.yaxis.set_major_locator(LogLocator())
    for i, (name, points) in enumerate(paths.items()):
        draw_path(axes, name, points, COLORS[i % len(COLORS)])
    for i, point in enumerate(minima):
        axes.plot(*point, "*", color="white", markeredgecolor="black", markersize=14, zorder=4,
                  label=None if i else "minimum")  # fmt: skip
    axes.set(xlim=x_range, ylim=y_range, xlabel="x", ylabel="y", title=title or "")
    axes.grid(False)
    legend_beside(figure)
    return figure


def heights(function, paths, *, minima, title=None):
    """How fast the paths (dict name -> (T, 2)) come down: f above its minimum at each of their points, log-log."""
    if len(minima) == 0:
        raise ValueError("heights got no minima, above which to measure; give one or more points.")
    lowest = min(float(function(*np.asarray(m, np.float64))) for m in minima)
    above = {name: np.maximum(function(*np.transpose(points)) - lowest, ROUNDING) for name, points in paths.items()}
    words = {"x_label": "point of the path", "y_label": "f(x, y) above its minimum"}
    return curves(above, **words, title=title, log_x=True, log_y=True)


def draw_path(axes, name, points, color):
    """A line with a white seam, so that it stands out on light and dark ground, a dot on steps, a ring at the end."""
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"The path {name!r} has shape {points.shape}; give one or more points (T, 2).")
    every = max(1, len(points) // 25)  # dots of long paths would merge
    seam = [Stroke(linewidth=4, foreground="white"), Normal()]
    axes.plot(*points.T, color=color, marker="o", markersize=4, markevery=every, label=name, path_effects=seam)
    axes.plot(*points[-1], "o", color="white", markeredgecolor=color, markersize=8, markeredgewidth=2, zorder=3)
