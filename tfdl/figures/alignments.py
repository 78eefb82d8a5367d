"""Where a model looked in one text while it wrote another, or read the same: a heat map with the words at its sides."""

import numpy as np

from tfdl.figures.style import MAP, heading, panels_of

INCH = 0.24  # inches of a word


def alignments(weights, sources, targets, *, names=("source", "target"), columns=2, title=None):
    """A panel for each pair of texts, source from left to right, target from top to bottom.

    Bahdanau et al. 2014, arXiv:1409.0473, Fig. 3: each row says how much of every word of the source went into one word
    of the target, from dark blue (nothing) to yellow (1).

    Args:
        weights: for each pair (T, S) in [0, 1].
        sources, targets: for each pair its S and its T words.
        names: of the two sides.
        columns: panels in a row.
        title: above all of them.

    Raises:
        ValueError: no pair, not as many of each, or weights that do not fit their words.
    """
    shapes = [np.shape(w) for w in weights]
    expected = [(len(target), len(source)) for source, target in zip(sources, targets)]
    if not shapes or shapes != expected or len({len(weights), len(sources), len(targets)}) != 1:
        raise ValueError(f"alignments got weights {shapes} for words {expected}; give (T, S) for each pair.")
    height, width = (max(2.2, INCH * max(shape[side] for shape in shapes) + 1.3) for side in (0, 1))
    figure, panels = panels_of(len(shapes), columns=columns, width=width, height=height)
    for axes, values, source, target in zip(panels, weights, sources, targets):
        picture = axes.imshow(values, cmap=MAP, vmin=0, vmax=1, aspect="equal", interpolation="nearest")
        axes.set_xticks(range(len(source)), source, rotation=90)
        axes.set_yticks(range(len(target)), target)
        axes.tick_params(length=0, labelsize=8, labeltop=True, labelbottom=False)
        axes.grid(False)
        axes.set(xlabel=names[0], ylabel=names[1])
    figure.colorbar(picture, ax=panels, shrink=0.5, label="weight")
    heading(figure, title)
    return figure
