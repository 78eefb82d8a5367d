"""Lines against a common axis, and bars: how runs are compared."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from tfdl.figures.style import COLORS, canvas, finite, legend_beside


def curves(series, *, x_label, y_label, title=None, log_x=False, log_y=False):
    """One line per name in one panel, with the legend beside it.

    Args:
        series: dict name -> y (N,), drawn against 1 ... N, or (x, y), both (N,).
        x_label, y_label: with units.

    Raises:
        ValueError: no series, nothing finite in one, or x and y of different lengths.
    """
    if not series:
        raise ValueError("curves got no series to draw.")
    figure, axes = canvas(width=6.4, height=3.8)
    counts = True  # epochs, steps, layers: no tick at 1.5 of them
    for name, values in series.items():
        x, y = values if isinstance(values, tuple) else (np.arange(1, len(values) + 1), values)
        y = finite(name, y)
        if np.shape(x) != y.shape:
            raise ValueError(f"The x and y of {name!r} differ in shape: {np.shape(x)} and {y.shape}.")
        counts = counts and np.array_equal(x, np.round(x))
        axes.plot(x, y, label=name, marker="o" if len(y) <= 12 else None, markersize=3.5)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    if not log_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=counts))
    axes.set_title(title or "")
    if len(series) > 1:
        legend_beside(figure)
    return figure


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
    labels = [
        f"{x:.3g}" if s is None else f"{x:.3g} ± {s:.2g}" for x, s in zip(heights, spread or [None] * len(heights))
    ]
    axes.bar_label(drawn, labels, padding=4, fontsize=9)
    axes.margins(x=0.16)
    axes.set_yticks(range(len(values)), values)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel(y_label)
    axes.set_title(title or "")
    return figure
