"""Bars side by side: several methods, each with a value for every group."""

import numpy as np

from tfdl.figures.style import COLORS, canvas, finite, legend_below, readable

HATCHES = ("", "//", "..", "xx", "--", "\\\\", "oo", "++")  # so that bars are told apart without their colors


def grouped_bars(values, groups, *, y_label, title=None):
    """One group of bars per name in `groups`, in each a bar per name in `values`; the legend is below.

    Args:
        values: dict name -> (G,) numbers, 0 or more.
        groups: G names.
        y_label: with the unit.

    Raises:
        ValueError: no values, more than 8 methods, or not one value per group.
    """
    if not 1 <= len(values) <= len(HATCHES):
        raise ValueError(f"grouped_bars got {len(values)} methods; give 1 to {len(HATCHES)}.")
    figure, axes = canvas(width=max(6.4, len(groups) * (0.3 + 0.16 * len(values))), height=3.8)
    width = 0.8 / len(values)
    for i, (name, heights) in enumerate(values.items()):
        heights = finite(name, heights)
        if heights.shape != (len(groups),):
            raise ValueError(f"grouped_bars got {heights.size} values of {name!r} for {len(groups)} groups.")
        places = np.arange(len(groups)) + (i - (len(values) - 1) / 2) * width
        axes.bar(
            places, heights, width, label=readable(name), color=COLORS[i], hatch=HATCHES[i], edgecolor="white", lw=0.5
        )
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if max(map(len, groups)) > 6 else {}
    axes.set_xticks(range(len(groups)), [readable(name) for name in groups], **turned)
    axes.grid(False, axis="x")
    axes.set_ylabel(y_label)
    axes.set_title(title or "")
    legend_below(figure)
    return figure
