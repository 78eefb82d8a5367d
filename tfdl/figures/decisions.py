"""How a classifier of two classes divides the plane: its regions, their border, its margin, and how it got there."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from tfdl.figures.style import COLORS, MAP, canvas

MARKERS = ("o", "^")
GRID = 300  # points along each side at which the score is asked for


def decision(score, points, labels, *, names, x_label, y_label, margin=None, path=None, title=None):
    """The plane colored by the sign of a score, with the points on it.

    Args:
        score: function (M, 2) -> (M); positive for class +1.
        points, labels: (N, 2) and (N), -1 or +1.
        names: of class -1 and of class +1.
        x_label, y_label: with units.
        margin: dashed lines where the score is -margin and +margin; for a distance, give a score that is one.
        path: (T + 1, 3) lines a x + b y + c = 0 at the start and after 1 ... T mistakes, T at least 1; those after 1,
            2, 4, 8 ... are drawn.

    Raises:
        ValueError: arrays of other shapes, other labels, or a score that is not (M).
    """
    points, labels = np.asarray(points, "float64"), np.asarray(labels)
    if (
        points.ndim != 2
        or points.shape[1] != 2
        or labels.shape != points.shape[:1]
        or not np.isin(labels, (-1, 1)).all()
    ):
        raise ValueError(
            f"decision got points of shape {points.shape} and labels of shape {labels.shape} with values "
            f"{np.unique(labels)[:5]}; give (N, 2) and (N) of -1 and +1."
        )
    if path is not None and (np.ndim(path) != 2 or np.shape(path)[1] != 3 or len(path) < 2):
        raise ValueError(f"decision got a path of shape {np.shape(path)}; give lines (T + 1, 3), T at least 1.")
    low, high = view(points)
    x, y = np.meshgrid(*np.linspace(low, high, GRID).T)
    height = np.asarray(score(np.stack([x.ravel(), y.ravel()], axis=1)))
    if height.shape != (x.size,):
        raise ValueError(f"The score of {x.size} points has shape {height.shape}; give a function (M, 2) -> (M).")
    height = height.reshape(x.shape)

    figure, axes = canvas(width=5.6, height=4.2)
    axes.contourf(x, y, height > 0, levels=[-0.5, 0.5, 1.5], colors=COLORS[:2], alpha=0.14)
    if path is not None:
        draw_path(axes, path, low, high)
    axes.contour(x, y, height, levels=[0.0], colors="black", linewidths=2.0)
    if margin is not None:
        axes.contour(x, y, height, levels=[-margin, margin], colors="black", linewidths=1.2, linestyles="dashed")
    for label, name, color, marker in zip((-1, 1), names, COLORS, MARKERS):
        members = points[labels == label]
        axes.scatter(
            *members.T, s=42, color=color, marker=marker, edgecolor="white", linewidth=0.7, label=name, zorder=3
        )
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=x_label, ylabel=y_label, title=title or "")
    axes.grid(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def view(points):
    """Lower left and upper right corner of what is drawn: the points and a seventh around them."""
    low, high = points.min(axis=0), points.max(axis=0)
    space = np.where(high > low, (high - low) / 7, 1.0)
    return low - space, high + space


def draw_path(axes, path, low, high):
    """Lines after 1, 2, 4, 8 ... mistakes, each from edge to edge of the view; one with a = b = 0 is nowhere."""
    mistakes = [2**k for k in range((len(path) - 1).bit_length())]
    colors = ScalarMappable(LogNorm(1, max(2, mistakes[-1])), MAP)
    for number in mistakes:
        a, b, c = path[number]
        if a == b == 0:
            continue
        if abs(b) * (high[1] - low[1]) > abs(a) * (high[0] - low[0]):  # flat in this view: y is a function of x
            x = np.array([low[0], high[0]])
            y = -(a * x + c) / b
        else:
            y = np.array([low[1], high[1]])
            x = -(b * y + c) / a
        axes.plot(x, y, "-", color=colors.to_rgba(number), linewidth=1.2)
    bar = axes.figure.colorbar(colors, ax=axes, label="mistakes so far")
    bar.set_ticks(mistakes, labels=mistakes, minor=False)
    bar.minorticks_off()
