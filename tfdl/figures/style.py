"""One style for every figure: fonts, grid, and lines that color-blind readers and gray printers can tell apart.

Colors: Okabe & Ito 2008, "Color Universal Design", jfly.uni-koeln.de/color.  Lines differ in color and in dashes.
"""

import io
import re
import textwrap

import matplotlib
import numpy as np
from matplotlib import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfdl.core.files import write_bytes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MAP = "cividis"  # for values: evenly light to dark, the same to color-blind readers
DPI = 200  # pixels per inch of a PNG file: sharp on the screens of today
TITLE = 44  # characters in a line of the title above a panel with a legend beside it
SPELLED = {  # names of methods in Python, and as their authors write them
    "adagrad": "AdaGrad",
    "adam": "Adam",
    "adamw": "AdamW",
    "elu": "ELU",
    "gelu": "GELU",
    "glorot": "Glorot",
    "he": "He",
    "l1": "L1",
    "l2": "L2",
    "lecun": "LeCun",
    "nesterov": "Nesterov",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "rmsprop": "RMSprop",
    "selu": "SELU",
    "sgd": "SGD",
}
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same everywhere
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=DASHES),
    "figure.titlesize": 12,
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


def panels_of(count, *, columns, width, height, **subplots):
    """A figure of `count` panels in rows of at most `columns`.  -> (figure, list of `count` Axes)

    Places of the last row that stay empty are hidden.
    """
    columns = min(columns, count)
    figure, axes = canvas(-(-count // columns), columns, width=width, height=height, squeeze=False, **subplots)
    for spare in axes.flat[count:]:
        spare.set_visible(False)
    return figure, list(axes.flat[:count])


def stack(heights, *, width):
    """A figure in parts, one below the other, each of which gets panels of its own.  -> (figure, list of SubFigure)

    Args:
        heights: of the parts, in inches.
        width: in inches.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, sum(heights) + 0.4), layout="constrained")  # and the title
        return figure, list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])


def label_outer(panels, *, columns, x_label, y_label):
    """Labels of the axes in the first column and below each column only: all panels share them."""
    for i, axes in enumerate(panels):
        if i % columns == 0:
            axes.set_ylabel(y_label)
        if i + columns >= len(panels):
            axes.set_xlabel(x_label)
            axes.tick_params(labelbottom=True)  # which a shared axis leaves out above a place that stays empty


def readable(name):
    """A variant's name as a reader expects it: "leaky_relu" -> "leaky ReLU", "he, tanh" -> "He, tanh"."""
    return re.sub(r"\w+", lambda word: SPELLED.get(word[0], word[0]), str(name).replace("_", " "))


def panel_title(axes, title):
    """A title above one panel, in lines short enough for a legend beside the panel; None leaves it without one."""
    axes.set_title(textwrap.fill(title or "", TITLE))


def heading(figure, title):
    """The title above all panels, in lines as wide as the figure; None or "" leaves the figure without one."""
    if title:
        figure.suptitle(title, fontsize=STYLE["figure.titlesize"], wrap=True)


def legend_entries(figure):
    """Name -> line or patch of all panels, a name that several panels share only once."""
    known = {}
    for axes in figure.axes:
        known |= dict(zip(*reversed(axes.get_legend_handles_labels())))
    return known


def legend_beside(figure):
    """The legend of all panels, right of them, where it covers no data."""
    known = legend_entries(figure)
    figure.legend(known.values(), known, loc="outside right upper", frameon=False, handlelength=3.0)  # dashes show


def legend_below(figure, *, columns=4):
    """The legend of all panels, below them."""
    known = legend_entries(figure)
    figure.legend(
        known.values(),
        known,
        loc="outside lower center",
        ncols=min(columns, len(known)),
        frameon=False,
        handlelength=3.0,
    )


def png(figure, *, dpi=DPI):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def drawn(figure, *, dpi=DPI):
    """A figure as pixels (h, w, 3) uint8."""
    figure.set_dpi(dpi)
    paper = FigureCanvasAgg(figure)
    with matplotlib.rc_context(STYLE):
        paper.draw()
    return np.array(paper.buffer_rgba())[..., :3]


def write_png(figure, path, *, dpi=DPI):
    """Writes a figure to `path`, whole or not at all; the folder is made.  Returns the content of the file."""
    content = png(figure, dpi=dpi)
    write_bytes(path, content)
    return content


def finite(name, values):
    """`values` as a float64 array; ValueError if there is nothing to draw in it."""
    values = np.asarray(values, "float64")
    if values.size == 0 or not np.isfinite(values).any():
        raise ValueError(f"There is nothing to draw for {name!r}: {values.size} values, none of them finite.")
    return values


def pixels(image):
    """An image (H, W, 1 or 3) as `imshow` takes it: gray images lose their last axis."""
    return image if image.shape[-1] == 3 else image[..., 0]
