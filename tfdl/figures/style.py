"""One look for every figure: fonts, grid, and lines that color-blind readers and gray printers can tell apart.

Colors: Okabe & Ito 2008, "Color Universal Design", jfly.uni-koeln.de/color.  Lines differ in color and in dashes.
"""

import io

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure

from tfdl.core.files import write_bytes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MAP = "cividis"  # for values: evenly light to dark, the same to color-blind readers
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same everywhere
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=DASHES),
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
}


def canvas(rows=1, columns=1, *, width=4.5, height=3.4, **subplots):
    """An empty figure in the common style.

    Args:
        rows, columns: of panels.
        width, height: of one panel, in inches.
        **subplots: for `Figure.subplots`, e.g. `sharey=True`.

    Returns:
        (figure, axes): one Axes for a single panel, else an array of them, (n,) for one row or column.
    """
    if rows < 1 or columns < 1:
        raise ValueError(f"canvas got {rows} rows and {columns} columns; give 1 or more of each.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        return figure, figure.subplots(rows, columns, **subplots)


def legend_beside(figure):
    """The legend of all panels, right of them, where it covers no data."""
    known = {}
    for axes in figure.axes:
        known |= dict(zip(*reversed(axes.get_legend_handles_labels())))  # a name that several panels share, once
    figure.legend(known.values(), known, loc="outside right upper", frameon=False, handlelength=3.0)  # dashes show


def png(figure, *, dpi=100):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write_png(figure, path, *, dpi=100):
    """Writes a figure to `path`, whole or not at all; the folder is made."""
    write_bytes(path, png(figure, dpi=dpi))


def finite(name, values):
    """`values` as a float64 array; ValueError if there is nothing to draw in it."""
    values = np.asarray(values, "float64")
    if values.size == 0 or not np.isfinite(values).any():
        raise ValueError(f"There is nothing to draw for {name!r}: {values.size} values, none of them finite.")
    return values
