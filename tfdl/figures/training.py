"""What every training leaves to look at: its curves, and the confusion matrix of a classifier."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator

from tfdl.figures.style import COLORS, canvas, finite, heading, legend_below, panels_of

TRAIN, VALIDATION, INK = COLORS[0], COLORS[1], "#555555"
UNITS = {"loss": "loss", "accuracy": "accuracy (fraction right)"}
MOST = 4  # panels; further metrics are in metrics.jsonl
WITH_COUNTS, WITH_NUMBERS, WITH_NAMES = 12, 20, 40  # classes up to which cells have counts, numbers; axes all names
SHADES = "Blues"  # white where nothing is: in a good matrix that is nearly everywhere


def training_curves(history, *, best_epoch=None, title=None):
    """Loss and metrics of training and validation against the epoch, a panel for each, the best epoch marked.

    Args:
        history: a dict for each epoch, as `run.fit` returns them: loss, val_loss, accuracy, val_accuracy and so on.
            An item "epoch" counts from 0, the axis from 1.
        best_epoch: item "epoch" of the row whose weights were kept; None: the lowest val_loss, if there is one.

    Raises:
        ValueError: no epoch, or none with a finite loss.
    """
    if not history:
        raise ValueError("training_curves got no epoch to draw.")
    epochs = np.array([row.get("epoch", i) for i, row in enumerate(history)])
    keys = [key for key in history[0] if f"val_{key}" in history[0]] or ["loss"]
    keys = sorted(keys, key=order_of)[:MOST]
    if best_epoch is None and "val_loss" in history[0]:
        best_epoch = epochs[np.nanargmin([row["val_loss"] for row in history])]
    figure, panels = panels_of(len(keys), columns=2, width=4.6, height=3.5)
    for axes, key in zip(panels, keys):
        for name, part, color, style in (("training", key, TRAIN, "-"), ("validation", f"val_{key}", VALIDATION, "--")):
            if part not in history[0]:
                continue
            values = finite(part, [row.get(part, np.nan) for row in history])
            marker = "o" if len(values) <= 30 else None
            axes.plot(epochs + 1, values, color=color, linestyle=style, marker=marker, markersize=3.5, label=name)
        axes.set(title=key.replace("_", " "), xlabel="epoch", ylabel=UNITS.get(key, key.replace("_", " ")))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(epochs) == 1:
            axes.set_xticks(epochs + 1)
        if best_epoch is not None and best_epoch in epochs:
            mark_best(axes, history[int(np.argmax(epochs == best_epoch))], key, best_epoch + 1)
    heading(figure, title)
    legend_below(figure, columns=4 if len(figure.axes) > 1 else 1)  # a single panel is no wider than one entry
    return figure


def order_of(key):
    """Loss comes first, then accuracy, then the other metrics in alphabetical order."""
    return (("loss", "accuracy").index(key) if key in ("loss", "accuracy") else 2, key)


def mark_best(axes, row, key, epoch):
    """A vertical line at the epoch whose weights were kept, and its validation value in the title."""
    axes.axvline(epoch, color=INK, linestyle="-", linewidth=1.0, zorder=1, label="best epoch (its weights are kept)")
    value = row.get(f"val_{key}")
    if value is None or not np.isfinite(value):
        return
    axes.plot(epoch, value, "o", color="white", markeredgecolor=VALIDATION, markersize=9, markeredgewidth=2, zorder=4)
    axes.set_title(f"{axes.get_title()}: validation {value:.4g} at epoch {epoch}")


def confusion_matrix(counts, labels, *, title=None):
    """Rows are true classes, columns predicted ones; a cell's color is its fraction of the row.

    Up to 12 classes a cell says percent and count, up to 20 percent; with more, colors speak, and the axes name every
    second, third ... class.  A row without examples is empty.

    Args:
        counts: (C, C) whole numbers of examples.
        labels: C names.

    Raises:
        ValueError: another shape, negative numbers, or not one name for each class.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape != (len(labels), len(labels)) or not (counts >= 0).all():
        raise ValueError(
            f"confusion_matrix draws counts (C, C), 0 or more, with C names; it got shape {counts.shape} and"
            f" {len(labels)} names."
        )
    total = counts.sum(1, keepdims=True)
    fractions = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    classes = len(labels)
    side = min(11.0, max(4.2, 0.55 * classes + 1.8))
    figure, axes = canvas(width=side + 0.8, height=side)
    picture = axes.imshow(fractions, cmap=SHADES, norm=PowerNorm(0.5, vmin=0, vmax=1))  # one mistake in 100 is seen
    axes.grid(False)
    every = -(-classes // WITH_NAMES)
    shown = range(0, classes, every)
    size = 10 if classes <= WITH_COUNTS else 8
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, map(str, labels))) > 3 else {}
    axes.set_xticks(shown, [labels[i] for i in shown], fontsize=size, **turned)
    names = [f"{labels[i]} ({total[i, 0]:,})" if classes <= WITH_NUMBERS else labels[i] for i in shown]
    axes.set_yticks(shown, names, fontsize=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (examples)" if classes <= WITH_NUMBERS else "true class")
    if classes <= WITH_NUMBERS:
        write_cells(axes, counts, fractions, with_counts=classes <= WITH_COUNTS)
    axes.spines[:].set_visible(True)
    bar = figure.colorbar(picture, ax=axes, shrink=0.7, label="fraction of the true class")
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], labels=["0", "0.01", "0.05", "0.1", "0.25", "0.5", "1"])
    axes.set_title(title or "")
    return figure


def write_cells(axes, counts, fractions, *, with_counts):
    """Percent, and below it the count, into each cell that is not 0."""
    for (row, column), count in np.ndenumerate(counts):
        if count == 0:
            continue
        fraction = fractions[row, column]
        percent = f"{fraction:.0%}" if fraction >= 0.01 or fraction == 0 else "<1%"
        color = "white" if fraction > 0.35 else "black"
        if with_counts:
            axes.text(column, row - 0.14, percent, ha="center", va="center", color=color, fontsize=10)
            axes.text(column, row + 0.26, f"{count:,}", ha="center", va="center", color=color, fontsize=7)
        else:
            axes.text(column, row, percent, ha="center", va="center", color=color, fontsize=8)
