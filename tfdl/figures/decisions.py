"""How a classifier of two classes divides the plane: its regions, their border, its margin, and how it got there."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from tfdl.figures.style import COLORS, MAP, canvas, heading, label_outer, legend_below, panels_of

MARKERS = ("o", "^")
GRID = 300  # points along each side at which the score is asked for


def decision(score, points, labels, *, names, x_label, y_label, margin=None, path=None, title=None):
    """The plane colored by the sign of a score, with the points on it; those on the wrong side are ringed.

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
    points, labels = check_points(points, labels)
    if path is not None and (np.ndim(path) != 2 or np.shape(path)[1] != 3 or len(path) < 2):
        raise ValueError(f"decision got a path of shape {np.shape(path)}; give lines (T + 1, 3), T at least 1.")
    figure, axes = canvas(width=5.6, height=4.4)
    low, high = view(points)
    if path is not None:
        draw_path(axes, path, low, high)
    wrong = draw_decision(axes, score, points, labels, names, margin)
    axes.set(xlabel=x_label, ylabel=y_label, title=title or "")
    legend_below(figure, columns=3 if wrong.any() else 2)
    return figure


def decision_panels(scores, points, labels, *, names, x_label, y_label, columns=3, title=None):
    """Several classifiers of the same points side by side; each panel says how many points are on their side.

    Args:
        scores: dict title of the panel -> function (M, 2) -> (M); positive for class +1.
        points, labels: (N, 2) and (N), -1 or +1.
        names: of class -1 and of class +1.
        x_label, y_label: with units.
        columns: panels in a row.

    Raises:
        ValueError: no scores, or what `decision` would refuse.
    """
    if not scores:
        raise ValueError("decision_panels got no scores; give dict title -> function (M, 2) -> (M).")
    points, labels = check_points(points, labels)
    columns = min(columns, len(scores))
    figure, panels = panels_of(len(scores), columns=columns, width=3.1, height=3.2, sharex=True, sharey=True)
    for axes, (name, score) in zip(panels, scores.items()):
        wrong = draw_decision(axes, score, points, labels, names)
        axes.set_title(f"{name}\n{np.sum(~wrong)} of {len(points)} right", fontsize=10)
    label_outer(panels, columns=columns, x_label=x_label, y_label=y_label)
    heading(figure, title)
    legend_below(figure)
    return figure


def check_points(points, labels):
    """Both as arrays.  Raises ValueError if they are not (N, 2) and (N) of -1 and +1."""
    points, labels = np.asarray(points, "float64"), np.asarray(labels)
    shapes_fit = points.ndim == 2 and points.shape[1] == 2 and labels.shape == points.shape[:1]
    if not shapes_fit or not np.isin(labels, (-1, 1)).all():
        raise ValueError(
            f"decision got points of shape {points.shape} and labels of shape {labels.shape} with values "
            f"{np.unique(labels)[:5]}; give (N, 2) and (N) of -1 and +1."
        )
    return points, labels


def draw_decision(axes, score, points, labels, names, margin=None):
    """Regions, border, margin and points of one classifier.  -> (N,) bool: which points are on the wrong side."""
    low, high = view(points)
    x, y = np.meshgrid(*np.linspace(low, high, GRID).T)
    height = np.asarray(score(np.stack([x.ravel(), y.ravel()], axis=1)))
    if height.shape != (x.size,):
        raise ValueError(f"The score of {x.size} points has shape {height.shape}; give a function (M, 2) -> (M).")
    height = height.reshape(x.shape)
    axes.contourf(x, y, height > 0, levels=[-0.5, 0.5, 1.5], colors=COLORS[:2], alpha=0.14, zorder=0)
    axes.contour(x, y, height, levels=[0.0], colors="black", linewidths=2.0)
    if margin is not None:
        axes.contour(x, y, height, levels=[-margin, margin], colors="black", linewidths=1.2, linestyles="dashed")
    wrong = (np.asarray(score(points)) > 0) != (labels > 0)
    if wrong.any():
        axes.scatter(
            *points[wrong].T, s=190, facecolor="none", edgecolor="black", linewidth=1.6, label="wrong side", zorder=4
        )
    for label, name, color, marker in zip((-1, 1), names, COLORS, MARKERS):
        members = points[labels == label]
        axes.scatter(
            *members.T, s=42, color=color, marker=marker, edgecolor="white", linewidth=0.7, label=name, zorder=3
        )
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.grid(False)
    return wrong


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
