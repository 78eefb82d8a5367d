"""Chance in pictures: draws and their density, beliefs that sharpen, estimates that settle, codes and their bound."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from tfdl.figures.style import COLORS, MAP, canvas, finite, legend_beside

DRAWN, CURVE, BAND, MISS, INK = COLORS[5], COLORS[0], COLORS[5], COLORS[1], COLORS[-1]
VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥", "$": r"\$"}  # what would not be seen, or be read as mathematics
POINTS = 400  # of a long trace that are drawn: more than that no eye can part


def histograms(panels, *, x_label, columns=4, title="bars: draws, black: theory"):
    """Histograms of draws, each with the density or the masses that it should follow; all share their axes.

    Args:
        panels: dict title -> (draws (N,), distribution), which has `log_density(x)`.  Draws of an integer type get a
            bar and a point per integer.
        x_label: with units.

    Raises:
        ValueError: no panels, or nothing finite in one.
    """
    if not panels:
        raise ValueError("histograms got no panels to draw.")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = canvas(rows, columns, width=2.9, height=2.6, sharex=True, sharey=True)
    together = np.concatenate([finite(name, draws) for name, (draws, _) in panels.items()])
    low, high = np.quantile(together, (1e-3, 1 - 1e-3))
    for axis, (name, (draws, distribution)) in zip(np.ravel(axes), panels.items()):
        whole = np.issubdtype(np.asarray(draws).dtype, np.integer)
        bins = np.arange(np.floor(low), high + 2) - 0.5 if whole else np.linspace(low, high, 41)
        x = bins[:-1] + 0.5 if whole else np.linspace(low, high, 201)
        weights = np.full(np.size(draws), 1 / (np.size(draws) * (bins[1] - bins[0])))  # draws outside count too
        axis.hist(draws, bins, weights=weights, color=DRAWN, alpha=0.6, rwidth=0.8 if whole else None)
        axis.plot(x, np.exp(distribution.log_density(x)), "o" if whole else "-", color=INK, markersize=4)
        axis.set_title(name)
    for spare in np.ravel(axes)[len(panels) :]:
        spare.set_visible(False)
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel("probability density", fontsize=10)
    figure.suptitle(title)
    return figure


def beliefs(distributions, *, x_range, x_label, truth=None, level=0.95, title=None):
    """Prior and posteriors over one unknown; of the last one the interval of probability `level` is shaded.

    Args:
        distributions: dict name -> what has `log_density(x)` and `interval(level)`, in the order in which data came.
        x_range: (low, high), the ends excluded: there a density may be infinite.
        truth: where a vertical line goes.

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
    axes.fill_between(x, density, where=(x >= low) & (x <= high), color=axes.lines[-1].get_color(), alpha=0.25, lw=0,
                      label=f"{level:.0%}: {low:.3f} to {high:.3f}")  # fmt: skip
    if truth is not None:
        axes.axvline(truth, color=INK, linewidth=1.2, linestyle="-", label=f"truth: {truth:.3g}")
    axes.set(xlabel=x_label, ylabel="probability density", title=title or "", ylim=(0, None))
    legend_beside(figure)
    return figure


def settling(value, low, high, *, truth, y_label, x_label="number of draws", first=2, title=None):
    """A running estimate with its band, and how its error falls against the band's half width, both axes logarithmic.

    Args:
        value, low, high: (N,); the first of them belongs to `first` draws.

    Raises:
        ValueError: different lengths, or nothing finite.
    """
    value, low, high = (finite(y_label, v) for v in (value, low, high))
    if not value.shape == low.shape == high.shape or value.ndim != 1:
        raise ValueError(f"Estimate and band need one shape (N,); got {value.shape}, {low.shape}, {high.shape}.")
    picks = np.unique(np.geomspace(first, first + len(value) - 1, POINTS).round().astype(int)) - first
    draws, value, low, high = picks + first, value[picks], low[picks], high[picks]
    figure, (left, right) = canvas(1, 2, width=4.4, height=3.6)
    left.fill_between(draws, low, high, color=BAND, alpha=0.35, linewidth=0)
    left.plot(draws, value, color=CURVE, linestyle="-", label="estimate")
    left.axhline(truth, color=INK, linewidth=1.2, linestyle="--", label=f"truth: {truth:.5g}")
    late = draws >= min(20 * first, draws[-1] / 2)  # the first few draws would flatten all that follows
    reach = 1.1 * max(np.abs(low[late] - truth).max(), np.abs(high[late] - truth).max())
    left.set(ylim=(truth - reach, truth + reach), ylabel=y_label)
    right.plot(draws, np.abs(value - truth), ".", color=CURVE, markersize=3, label="error")
    right.plot(
        draws, np.where(high > low, (high - low) / 2, np.nan), color=BAND, linestyle="-", label="half of the band"
    )
    right.set(yscale="log", ylabel="distance from the truth")
    for axes in (left, right):
        axes.set(xscale="log", xlabel=x_label)
    figure.suptitle(title or "")
    legend_beside(figure)
    return figure


def coverage(intervals, *, truth, x_label, shown=60, level=0.95, title=None):
    """Which intervals hold the truth, and how many of them do it for each size of the samples.

    Left, the first method's intervals of the first size: those that miss the truth are orange and end in
    crosses.  Right, the share that holds it, against the promise.

    Args:
        intervals: dict method -> dict size -> (low, high), each (N,).
        x_label: what the intervals are about, with units.
        shown: intervals on the left.
        level: the share that the methods promise.

    Raises:
        ValueError: no method, or one without sizes.
    """
    if not intervals or not all(intervals.values()):
        raise ValueError("coverage got nothing to draw; give dict method -> dict size -> (low, high).")
    figure, (left, right) = canvas(1, 2, width=4.6, height=4.2)
    size, (low, high) = next(iter(next(iter(intervals.values())).items()))
    low, high, rows = low[:shown], high[:shown], np.arange(1, len(low[:shown]) + 1)
    hit = (low <= truth) & (truth <= high)
    for mask, color, mark, name in ((hit, BAND, "|", "hold the truth"), (~hit, MISS, "x", "miss it")):
        x, y = np.stack([low[mask], high[mask]]), np.stack([rows[mask], rows[mask]])
        left.plot(x, y, color=color, linestyle="-", linewidth=1.2, marker=mark, markersize=4)
        left.plot([], [], color=color, linestyle="-", marker=mark, label=f"{mask.sum()} {name}")
    left.axvline(truth, color=INK, linewidth=1.2, linestyle="-", label=f"truth: {truth:.3g}")
    left.set(xlabel=x_label, ylabel="sample", title=f"{next(iter(intervals))}, {len(rows)} samples of {size}")
    right.axhline(100 * level, color=INK, linewidth=1.2, linestyle=":", label=f"promised: {level:.0%}")
    for color, style, (name, ends) in zip((CURVE, COLORS[2], COLORS[3]), ("-", "--", "-."), intervals.items()):
        shares = [100 * np.mean((low <= truth) & (truth <= high)) for _, (low, high) in sorted(ends.items())]
        right.plot(
            sorted(ends), finite(name, shares), color=color, linestyle=style, marker="o", markersize=4, label=name
        )
    sizes = sorted({size for ends in intervals.values() for size in ends})
    right.set(xscale="log", xlabel="size of a sample", ylabel="intervals that hold the truth (%)", title=title or "")
    right.set_xticks(sizes, sizes)
    right.set_xticks([], minor=True)
    legend_beside(figure)
    return figure


def code_lengths(counts, code, *, title=None):
    """Bits that a code spends on each symbol against -log2 of its frequency, and the mean against the entropy.

    Args:
        counts: dict symbol -> how often it occurs, more than 0.    code: dict symbol -> string of 0 and 1.

    Raises:
        ValueError: the two are about different symbols, or about none.
    """
    if not counts or counts.keys() != code.keys():
        raise ValueError(f"Counts and code need the same symbols; got {len(counts)} and {len(code)} of them.")
    symbols = sorted(counts, key=lambda symbol: (-counts[symbol], len(code[symbol])))
    lengths, share = (np.array(v) for v in zip(*((len(code[s]), counts[s] / sum(counts.values())) for s in symbols)))
    entropy = -share @ np.log2(share)
    figure, axes = canvas(width=max(6.4, 0.17 * len(symbols) + 1.5), height=3.8)
    x = np.arange(len(symbols))
    axes.bar(x, lengths, 0.8, color=DRAWN, alpha=0.6, label="codeword")
    axes.plot(x, -np.log2(share), "o", color=INK, markersize=3.5, label="$-\\log_2$ frequency")
    axes.axhline(share @ lengths, color=CURVE, linestyle="-", label=f"mean length {share @ lengths:.3f}")
    axes.axhline(entropy, color=MISS, linestyle="--", label=f"entropy {entropy:.3f}")
    axes.set_xticks(x, [VISIBLE.get(symbol, symbol) for symbol in symbols], fontsize=8)
    axes.grid(False, axis="x")
    axes.margins(x=0.01)
    axes.set(xlabel="symbol, the most frequent first", ylabel="bits", title=title or "")
    legend_beside(figure)
    return figure


def heat_maps(panels, *, x_label="column", y_label="row"):
    """Tables side by side as maps, each with its own scale from 0 to its largest value.

    Args:
        panels: dict title with units -> (H, W), not negative.

    Raises:
        ValueError: no table, or one of another rank.
    """
    if not panels or any(np.ndim(table) != 2 for table in panels.values()):
        raise ValueError(f"heat_maps draws tables (H, W); got the shapes {[np.shape(t) for t in panels.values()]}.")
    figure, axes = canvas(1, len(panels), width=4.2, height=4.2)
    for panel, (name, table) in zip(np.ravel(axes), panels.items()):
        picture = panel.imshow(table, cmap=MAP, vmin=0, vmax=np.nanmax(finite(name, table)))
        panel.grid(False)
        panel.set(title=name, xlabel=x_label, ylabel=y_label)
        panel.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(10, integer=True))
        figure.colorbar(picture, ax=panel, shrink=0.85)
    return figure
