"""Images in a grid, plain or with the predictions of a classifier."""

import textwrap

import numpy as np
from matplotlib.patches import Rectangle

from tfdl.figures.style import COLORS, heading, panels_of, pixels, stack

RIGHT, WRONG = COLORS[:2]
LINE = 18  # characters in a line above an image
WIDTH = 1.5  # inches of an image with its prediction


def picture_grid(images, titles=None, *, columns=8, title=None, width=1.4):
    """Images side by side, row by row.

    Args:
        images: (N, H, W, 1 or 3), values in [0, 1].
        titles: N strings.
        columns: images in a row.
        title: above all of them.
        width: of an image, in inches.

    Raises:
        ValueError: images of another shape, or not as many titles as images.
    """
    images = check_images("picture_grid", images)
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"picture_grid got {len(titles)} titles for {len(images)} images.")
    lines = max((str(text).count("\n") + 1 for text in titles or () if text), default=0)
    height = width * images.shape[1] / images.shape[2] + 0.18 * lines + 0.07
    figure, panels = panels_of(len(images), columns=columns, width=width, height=height)
    for i, (axes, image) in enumerate(zip(panels, images)):
        axes.set_axis_off()
        axes.imshow(pixels(image), cmap="gray", vmin=0, vmax=1)
        if titles is not None:
            axes.set_title(titles[i], fontsize=9)
    heading(figure, title)
    return figure


def prediction_grid(images, truth, scores, labels, *, columns=4, title=None):
    """Images with the predictions of a classifier: see `prediction_groups`, of which this is the one without headings.

    Args:
        images: (N, H, W, 1 or 3) in [0, 1].
        truth: (N,) class numbers.
        scores: (N, classes) probabilities.
        labels: names of the classes.
        columns: images in a row.

    Raises:
        ValueError: shapes that do not fit each other.
    """
    return prediction_groups({"": (images, truth, scores)}, labels, columns=columns, title=title)


def prediction_groups(groups, labels, *, columns=8, title=None):
    """Images with their predicted class and its probability, a group with a heading below the other.

    A right one has a check mark and a thin blue frame; a wrong one a cross, a thick orange frame and its true class.

    Args:
        groups: dict heading -> (images, truth, scores) as for `prediction_grid`.
        labels: names of the classes.
        columns: images in a row.

    Raises:
        ValueError: no groups, or shapes that do not fit each other.
    """
    if not groups:
        raise ValueError("prediction_groups got no images to draw.")
    groups = {name: check_predictions(*group) for name, group in groups.items()}
    columns = min(columns, max(len(images) for images, _, _ in groups.values()))
    shape = next(iter(groups.values()))[0].shape
    height = WIDTH * shape[1] / shape[2] + 0.6  # and three lines of text
    rows = [-(-len(images) // columns) for images, _, _ in groups.values()]
    heights = [count * height + (0.35 if name else 0) for name, count in zip(groups, rows)]
    figure, parts = stack(heights, width=WIDTH * columns + 0.2)
    for part, count, (name, (images, truth, scores)) in zip(parts, rows, groups.items()):
        if name:
            part.suptitle(name, fontsize=10, x=0.01, ha="left", style="italic")
        panels = part.subplots(count, columns, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for axes, image, label, row in zip(panels, images, truth, scores):
            draw_prediction(axes, image, labels, row.argmax(), row.max(), label)
    heading(figure, title)
    return figure


def check_predictions(images, truth, scores):
    """All three as arrays.  Raises ValueError for shapes that do not fit each other."""
    images, truth, scores = check_images("prediction_grid", images), np.asarray(truth), np.asarray(scores)
    if scores.ndim != 2 or not len(images) == len(scores) == len(truth):
        raise ValueError(
            f"prediction_grid got {len(images)} images, {len(truth)} true classes and scores of shape {scores.shape};"
            " give as many of each."
        )
    return images, truth, scores


def draw_prediction(axes, image, labels, guess, score, label):
    """One image in its frame, with the prediction above it."""
    color, thickness = (RIGHT, 1.2) if guess == label else (WRONG, 3.5)
    axes.imshow(pixels(image), cmap="gray", vmin=0, vmax=1)
    axes.set_title(describe(labels, guess, score, label), color=color, fontsize=9)
    height, width = image.shape[:2]
    frame = Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=color, linewidth=thickness, clip_on=False)
    axes.add_patch(frame)


def describe(labels, guess, score, label):
    """What stands above an image, in short lines: mark, predicted class and probability; below it the true class."""
    if guess == label:
        return textwrap.fill(f"✓ {labels[guess]} {score:.0%}", LINE)
    return textwrap.fill(f"✗ {labels[guess]} {score:.0%}", LINE) + "\n" + textwrap.fill(f"true: {labels[label]}", LINE)


def check_images(name, images):
    """`images` as an array.  Raises ValueError if they are not (N, H, W, 1 or 3) with N at least 1."""
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0 or images.shape[-1] not in (1, 3):
        raise ValueError(f"{name} got images of shape {images.shape}; give (N, H, W, 1 or 3) with N at least 1.")
    return images
