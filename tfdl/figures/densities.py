"""Probability in pictures: samples and densities, posteriors, running estimates, coverage of intervals, codes."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from tfdl.figures.style import (
    COLORS,
    MAP,
    canvas,
    finite,
    heading,
    label_outer,
    legend_below,
    legend_beside,
    panel_title,
    panels_of,
)

DRAWN, CURVE, BAND, MISS, INK = COLORS[5], COLORS[0], COLORS[5], COLORS[1], COLORS[-1]
VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥", "$": r"\$"}  # characters that are invisible, or begin a formula
LONG = 3  # sides of a table that differ by more than this are drawn alike
POINTS = 400  # of a long trace that are drawn: more are not told apart by eye


def histograms(panels, *, x_label, columns=4, title="bars: samples, black: theory"):
    """Histograms of samples, each with the density or probability mass that it should follow, all on the same axes.

    Args:
        panels: dict title -> (samples (N,), distribution), which has `log_density(x)`.  Samples of an integer type get
            a bar and a point per integer.
        x_label: with units.
        columns: panels in a row.

    Raises:
        ValueError: no panels, or nothing finite in one.
    """
    if not panels:
        raise ValueError("histograms got no panels to draw.")
    columns = min(columns, len(panels))
    figure, axes = panels_of(len(panels), columns=columns, width=2.9, height=2.6, sharex=True, sharey=True)
    together = np.concatenate([finite(name, samples) for name, (samples, _) in panels.items()])
    low, high = np.quantile(together, (1e-3, 1 - 1e-3))
    for axis, (name, (samples, distribution)) in zip(axes, panels.items()):
        whole = np.issubdtype(np.asarray(samples).dtype, np.integer)
        bins = np.arange(np.floor(low), high + 2) - 0.5 if whole else np.linspace(low, high, 41)
        x = bins[:-1] + 0.5 if whole else np.linspace(low, high, 201)
        weights = np.full(np.size(samples), 1 / (np.size(samples) * (bins[1] - bins[0])))  # those outside count too
        axis.hist(samples, bins, weights=weights, color=DRAWN, alpha=0.6, rwidth=0.8 if whole else None)
        axis.plot(x, np.exp(distribution.log_density(x)), "o" if whole else "-", color=INK, markersize=4)
        axis.set_title(name)
    label_outer(axes, columns=columns, x_label=x_label, y_label="probability density")
    heading(figure, title)
    return figure


def beliefs(distributions, *, x_range, x_label, truth=None, level=0.95, title=None):
    """Densities of a prior and its posteriors; the last one's interval of probability `level` is shaded.

    Args:
        distributions: dict name -> distribution with `log_density(x)` and `interval(level)`, the prior first.
        x_range: (low, high); the ends are left out, as a density may be infinite there.
        truth: the true value, drawn as a vertical line.

    Raises:
        ValueError: no distributions, or an empty range.
    """
    if not distributions or not x_range[0] < x_range[1]:
        raise ValueError(f"beliefs got {len(distributions)} distributions to draw over {x_range}; give low < high.")
    x = np.linspace(*x_range, 1001)[1:-1]
    figure, axes = canvas(width=6.4, height=3.8)
    for name, distribution in distributions.items():
        density = np.exp(distribution.log_density(x))
        axes.plot(x, finite(name, density), label=name)
    low, high = distribution.interval(level)
    inside = (x >= low) & (x <= high)
    color = axes.lines[-1].get_color()
    text = f"{level:.0%}: {low:.3f} to {high:.3f}"
    axes.fill_between(x, density, where=inside, color=color, alpha=0.25, linewidth=0, label=text)
    if truth is not None:
        axes.axvline(truth, color=INK, linewidth=1.2, linestyle="-", label=f"true value: {truth:.3g}")
    axes.set(xlabel=x_label, ylabel="probability density", ylim=(0, None))
    panel_title(axes, title)
    legend_beside(figure)
    return figure


def settling(value, low, high, *, truth, y_label, x_label="number of samples", first=2, title=None):
    """A running estimate with its interval; beside it the error and the half width of the interval, both axes log.

    Args:
        value, low, high: estimate and ends of its interval, (N,).
        truth: the true value.
        first: number of samples in the first estimate.

    Raises:
        ValueError: different lengths, or nothing finite.
    """
    value, low, high = (finite(y_label, v) for v in (value, low, high))
    if not value.shape == low.shape == high.shape or value.ndim != 1:
        raise ValueError(f"Estimate and interval need one shape (N,); got {value.shape}, {low.shape}, {high.shape}.")
    picks = np.unique(np.geomspace(first, first + len(value) - 1, POINTS).round().astype(int)) - first
    draws, value, low, high = picks + first, value[picks], low[picks], high[picks]
    figure, (left, right) = canvas(1, 2, width=4.4, height=3.6)
    left.fill_between(draws, low, high, color=BAND, alpha=0.35, linewidth=0)
    left.plot(draws, value, color=CURVE, linestyle="-", label="estimate")
    left.axhline(truth, color=INK, linewidth=1.2, linestyle="--", label=f"true value: {truth:.5g}")
    late = draws >= min(20 * first, draws[-1] / 2)  # the first few samples would flatten all that follows
    reach = 1.1 * max(np.abs(low[late] - truth).max(), np.abs(high[late] - truth).max())
    left.set(ylim=(truth - reach, truth + reach), ylabel=y_label)
    right.plot(draws, np.abs(value - truth), ".", color=CURVE, markersize=3, label="error")
    right.plot(
        draws,
        np.where(high > low, (high - low) / 2, np.nan),
        color=BAND,
        linestyle="-",
        label="half width of the interval",
    )
    right.set(yscale="log", ylabel="distance from the true value")
    for axes in (left, right):
        axes.set(xscale="log", xlabel=x_label)
    heading(figure, title)
    legend_beside(figure)
    return figure


def coverage(intervals, *, truth, x_label, shown=60, level=0.95, title=None):
    """Which confidence intervals contain the true value, and what fraction of them for each sample size.

    Left, the first method's intervals of the first size: those that miss the true value are orange and end in
    crosses.  Right, the percentage that contains it, against the nominal level.

    Args:
        intervals: dict method -> dict size -> (low, high), each (N,).
        x_label: the quantity of the intervals, with units.
        shown: number of intervals on the left.
        level: the nominal level, in 0 ... 1.

    Raises:
        ValueError: no method, or one without sizes.
    """
    if not intervals or not all(intervals.values()):
        raise ValueError("coverage got nothing to draw; give dict method -> dict size -> (low, high).")
    figure, (left, right) = canvas(1, 2, width=4.6, height=4.2)
    size, (low, high) = next(iter(next(iter(intervals.values())).items()))
    low, high, rows = low[:shown], high[:shown], np.arange(1, len(low[:shown]) + 1)
    hit = (low <= truth) & (truth <= high)
    for mask, color, mark, name in ((hit, BAND, "|", "contain the true value"), (~hit, MISS, "x", "miss it")):
        x, y = np.stack([low[mask], high[mask]]), np.stack([rows[mask], rows[mask]])
        left.plot(x, y, color=color, linestyle="-", linewidth=1.2, marker=mark, markersize=4)
        left.plot([], [], color=color, linestyle="-", marker=mark, label=f"{mask.sum()} {name}")
    left.axvline(truth, color=INK, linewidth=1.2, linestyle="-", label=f"true value: {truth:.3g}")
    left.set(xlabel=x_label, ylabel="sample", title=f"{next(iter(intervals))}, {len(rows)} samples of {size}")
    right.axhline(100 * level, color=INK, linewidth=1.2, linestyle=":", label=f"nominal: {level:.0%}")
    for color, style, (name, ends) in zip((CURVE, COLORS[2], COLORS[3]), ("-", "--", "-."), intervals.items()):
        percent = [100 * np.mean((low <= truth) & (truth <= high)) for _, (low, high) in sorted(ends.items())]
        right.plot(
            sorted(ends), finite(name, percent), color=color, linestyle=style, marker="o", markersize=4, label=name
        )
    sizes = sorted({size for ends in intervals.values() for size in ends})
    right.set(xscale="log", xlabel="sample size", ylabel="intervals that contain the true value (%)")
    heading(figure, title)
    right.set_xticks(sizes, sizes)
    right.set_xticks([], minor=True)
    legend_beside(figure)
    return figure


def code_lengths(counts, code, *, title=None):
    """Codeword length of each symbol against -log2 of its frequency, and the expected length against the entropy.

    Args:
        counts: dict symbol -> how often it occurs, more than 0.
        code: dict symbol -> string of 0 and 1.

    Raises:
        ValueError: the two have different symbols, or none.
    """
    if not counts or counts.keys() != code.keys():
        raise ValueError(f"Counts and code need the same symbols; got {len(counts)} and {len(code)} of them.")
    symbols = sorted(counts, key=lambda symbol: (-counts[symbol], len(code[symbol])))
    lengths = np.array([len(code[symbol]) for symbol in symbols])
    frequency = np.array([counts[symbol] for symbol in symbols]) / sum(counts.values())
    entropy = -frequency @ np.log2(frequency)
    figure, axes = canvas(width=max(6.4, 0.19 * len(symbols) + 1.5), height=3.8)
    x = np.arange(len(symbols))
    axes.bar(x, lengths, 0.8, color=DRAWN, alpha=0.6, label="length of the codeword")
    axes.plot(x, -np.log2(frequency), "o", color=INK, markersize=3.5, label="$-\\log_2$ frequency")
    axes.axhline(frequency @ lengths, color=CURVE, linestyle="-", label=f"expected length {frequency @ lengths:.3f}")
    axes.axhline(entropy, color=MISS, linestyle="--", label=f"entropy {entropy:.3f}")
    axes.set_xticks(x, [VISIBLE.get(symbol, symbol) for symbol in symbols], fontsize=9)
    axes.grid(False, axis="x")
    axes.margins(x=0.01)
    axes.set(xlabel="symbol, the most frequent first", ylabel="bits", title=title or "")
    legend_below(figure)
    return figure


def heat_maps(panels, *, x_label="column", y_label="row", title=None):
    """Tables side by side as maps, each with its own scale from 0 to its largest value.

    Args:
        panels: dict title with units -> (H, W), not negative.  Cells are squares, unless a table is very long.

    Raises:
        ValueError: no table, or one of another rank.
    """
    if not panels or any(np.ndim(table) != 2 for table in panels.values()):
        raise ValueError(f"heat_maps draws tables (H, W); got the shapes {[np.shape(t) for t in panels.values()]}.")
    figure, axes = canvas(1, len(panels), width=4.2, height=4.2)
    for panel, (name, table) in zip(np.ravel(axes), panels.items()):
        table = finite(name, table)
        aspect = "equal" if max(table.shape) <= LONG * min(table.shape) else "auto"
        picture = panel.imshow(table, cmap=MAP, vmin=0, vmax=np.nanmax(table), aspect=aspect)
        panel.grid(False)
        panel.set(title=name, xlabel=x_label, ylabel=y_label)
        panel.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(10, integer=True))
        figure.colorbar(picture, ax=panel, shrink=0.85)
    heading(figure, title)
    return figure
