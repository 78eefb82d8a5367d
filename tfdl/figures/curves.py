"""Lines against a common axis, and bars: how runs are compared."""

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tfdl.figures.style import (
    COLORS,
    DASHES,
    canvas,
    finite,
    heading,
    label_outer,
    legend_below,
    legend_beside,
    panel_title,
    panels_of,
    readable,
)

FEW = 12  # points of a line that still get a marker each
SHORT = 300  # high / low of a logarithmic axis that has too few powers of ten to be read by them


def curves(series, *, x_label, y_label, title=None, log_x=False, log_y=False, levels=None, points=None, y_range=None):
    """One line per name in one panel, with the legend beside it.

    Args:
        series: dict name -> y (N,), drawn against 1 ... N, or (x, y), both (N,).
        x_label, y_label: with units.
        levels: dict text -> y of a horizontal gray line, for a bound or a value to reach.
        points: dict name of a series -> (x, y, text): the ringed point that the figure is about.
        y_range: (low, high) of the axis; None: all that is drawn.

    Raises:
        ValueError: no series, nothing finite in one, x and y of different lengths, or a point of an unknown series.
    """
    if not series:
        raise ValueError("curves got no series to draw.")
    levels, points = levels or {}, points or {}
    for name in points:
        if name not in series:
            raise ValueError(f"curves got a point of {name!r}, but has only {', '.join(map(repr, series))}.")
    figure, axes = canvas(width=6.4, height=3.8)
    draw_lines(axes, series, list(series), log_x=log_x, log_y=log_y)
    for text, value in levels.items():
        axes.axhline(value, color=COLORS[6], linestyle="-", linewidth=1.2, zorder=1, label=text)
    for name, (x, y, text) in points.items():
        color = COLORS[list(series).index(name) % len(COLORS)]
        axes.plot(x, y, "o", color="white", markeredgecolor=color, markersize=9, markeredgewidth=2, zorder=4)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        axes.annotate(text, (x, y), (8, -15), textcoords="offset points", color=color, bbox=box, zorder=5)
    axes.set(xlabel=x_label, ylabel=y_label)
    if y_range:
        axes.set_ylim(*y_range)
    panel_title(axes, title)
    if len(series) + len(levels) > 1:
        legend_beside(figure)
    return figure


def curve_panels(
    panels,
    *,
    x_label,
    y_label,
    title=None,
    log_x=False,
    log_y=False,
    columns=3,
    x_range=None,
    y_range=None,
    same_y=True,
):
    """Groups of lines side by side: a panel for each group, the same names in the same colors and dashes.

    Args:
        panels: dict title of the panel -> series as for `curves`.
        x_label, y_label: with units.
        columns: panels in a row.
        x_range, y_range: (low, high) of all panels; None: all that is drawn.
        same_y: one scale for all panels, so that their heights compare.

    Raises:
        ValueError: no panels, or one that `curves` would refuse.
    """
    if not panels or not all(panels.values()):
        raise ValueError("curve_panels got no lines to draw; give dict title -> dict name -> values.")
    columns = min(columns, len(panels))
    figure, axes = panels_of(len(panels), columns=columns, width=3.3, height=2.9, sharex=True, sharey=same_y)
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    for axis, (name, series) in zip(axes, panels.items()):
        draw_lines(axis, series, names, log_x=log_x, log_y=log_y)
        axis.set_title(readable(name))
        if x_range:
            axis.set_xlim(*x_range)
        if y_range:
            axis.set_ylim(*y_range)
    label_outer(axes, columns=columns, x_label=x_label, y_label=y_label)
    heading(figure, title)
    if len(names) > 1:
        legend_below(figure)
    return figure


def draw_lines(axes, series, order, *, log_x, log_y):
    """Draws `series` in one panel; a name's place in `order` chooses its color and dashes."""
    counts = True  # epochs, steps, layers: no tick at 1.5 of them
    for name, values in series.items():
        x, y = values if isinstance(values, tuple) else (np.arange(1, len(values) + 1), values)
        y = finite(name, y)
        if np.shape(x) != y.shape:
            raise ValueError(f"The x and y of {name!r} differ in shape: {np.shape(x)} and {y.shape}.")
        counts = counts and np.array_equal(x, np.round(x))
        place = order.index(name) % len(COLORS)
        marker = "o" if len(y) <= FEW else None
        axes.plot(
            x, y, color=COLORS[place], linestyle=DASHES[place], label=readable(name), marker=marker, markersize=3.5
        )
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    places = np.unique(np.concatenate([line.get_xdata() for line in axes.lines]))
    if len(places) == 1:
        axes.set_xticks(places)
    elif not log_x:
        axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=counts))
    if log_y:
        axes.autoscale_view()
        plain_ticks(axes.yaxis, *axes.get_ylim())


def plain_ticks(axis, low, high):
    """Writes 0.02, 0.05 and 0.1 beside a short logarithmic axis, where matplotlib writes powers of ten or nothing."""
    if high / low < SHORT:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if leading(value) in (2, 5) else ""))


def leading(value):
    """The first digit: 0.05 -> 5."""
    return int(f"{value:e}"[0])


def bars(values, *, y_label, errors=None, title=None):
    """One horizontal bar per name, in the given order from the top, its number at its end.

    Args:
        values: dict name -> number.
        errors: dict name -> half length of the error bar.

    Raises:
        ValueError: no values, or none of them finite.
    """
    heights = finite(y_label, list(values.values()))
    figure, axes = canvas(width=6.4, height=max(2.0, 0.42 * len(values) + 1.0))
    spread = None if errors is None else [errors[name] for name in values]
    drawn = axes.barh(range(len(values)), heights, 0.68, color=COLORS[0], xerr=spread, capsize=3)
    labels = [f"{height:.3g}" for height in heights]
    if spread is not None:
        labels = [f"{label} ± {error:.2g}" for label, error in zip(labels, spread)]
    axes.bar_label(drawn, labels, padding=4, fontsize=9)
    axes.margins(x=0.16)
    axes.set_yticks(range(len(values)), [readable(name) for name in values])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel(y_label)
    axes.set_title(title or "")
    return figure
