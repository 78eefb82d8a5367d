"""Images in a grid, plain or with what a classifier says of them, and the confusion matrix."""

import numpy as np

from tfdl.figures.style import COLORS, MAP, canvas

RIGHT, WRONG = COLORS[:2]


def picture_grid(images, titles=None, *, columns=8, title=None, width=1.4):
    """Images side by side, row by row.

    Args:
        images: (N, H, W, 1 or 3), values in [0, 1].
        titles: N strings.
        width: of an image, in inches.

    Raises:
        ValueError: images of another shape, or not as many titles as images.
    """
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0 or images.shape[-1] not in (1, 3):
        raise ValueError(f"picture_grid got images of shape {images.shape}; give (N, H, W, 1 or 3) with N at least 1.")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"picture_grid got {len(titles)} titles for {len(images)} images.")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = width * images.shape[1] / images.shape[2] + (0.25 if titles else 0)
    figure, panels = canvas(rows, columns, width=width, height=height)
    panels = np.ravel(panels)
    for axes in panels:
        axes.set_axis_off()
    for i, (axes, image) in enumerate(zip(panels, images)):
        axes.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
        if titles is not None:
            axes.set_title(titles[i], fontsize=9)
    if title:
        figure.suptitle(title)
    return figure


def prediction_grid(images, truth, scores, labels):
    """Each image titled "class probability"; blue where right, orange and with the truth where wrong.

    Args:
        images: (N, H, W, 1 or 3) in [0, 1].    truth: (N,) class numbers.
        scores: (N, classes) probabilities.     labels: names of the classes.
    """
    guesses = scores.argmax(-1)
    figure = picture_grid(images, [""] * len(images), columns=4)
    figure.set_size_inches(8.8, 2.4 * -(-len(images) // 4))
    for axes, guess, score, label in zip(figure.axes, guesses, scores.max(-1), truth):
        wrong = "" if guess == label else f"\nis {labels[label]}"
        axes.set_title(f"{labels[guess]} {score:.0%}{wrong}", color=WRONG if wrong else RIGHT, fontsize=10)
    return figure


def confusion_figure(matrix, labels):
    """Rows are true classes, columns predicted ones; each row of `matrix` (C, C) sums to 1."""
    size = max(4.0, 0.55 * len(labels) + 2)
    figure, axes = canvas(width=size, height=size)
    picture = axes.imshow(matrix, cmap=MAP, vmin=0, vmax=1)
    axes.grid(False)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(labels) <= 20:
        for (row, column), value in np.ndenumerate(matrix):
            if value < 0.005:
                continue  # only what would not round to .00
            color = "black" if value > 0.6 else "white"
            axes.text(column, row, f"{value:.2f}".lstrip("0") if value < 1 else "1", ha="center", va="center",
                      color=color, fontsize=7)  # fmt: skip
    figure.colorbar(picture, ax=axes, shrink=0.7, label="share of the true class")
    return figure
