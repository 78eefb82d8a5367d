"""Photographs with what a classifier says of them: one with its most probable classes below it, and many on a sheet."""

import bisect

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath

from tfdl.figures.style import COLORS, DPI, STYLE, pixels

BEST, OTHERS, TRACK, GRAY, MAT = COLORS[0], "#9FB8CC", "#ECECEC", "#555555", "#F4F4F4"
LONG, NARROW = 5.0, 2.4  # inches of a photograph's longer side, and of the narrowest drawing
MARGIN, ROW, BAR = 0.14, 0.36, 0.055  # inches around the classes, of a class, of its bar
TILE, GAP, CAPTION = 1.35, 0.16, 0.48  # inches of a photograph on a sheet, between two, below each
HEADING = 0.42  # inches above a sheet
SQUARES = 4  # times as large, from where pixels are drawn as squares
LETTERS = 200  # that can stand in a line, at most


def labeled_picture(image, classes):
    """A photograph with its classes below it: name, probability, and a bar as long as it is probable.

    Args:
        image: (H, W, 1 or 3), uint8 or in [0, 1].
        classes: [(name, probability)], the best first.

    Raises:
        ValueError: an image of another shape, or no class.
    """
    image = checked(image)
    if not classes:
        raise ValueError("labeled_picture got no class; give one or more (name, probability).")
    height, width = (LONG * side / max(image.shape[:2]) for side in image.shape[:2])
    whole = max(width, NARROW)
    below = 2 * MARGIN + ROW * len(classes) - (ROW - 0.2 - BAR)
    figure, axes = page(whole, height + below)
    show(axes, image, (whole - width) / 2, 0, width, height)
    for i, (name, probability) in enumerate(classes):
        top = height + MARGIN + ROW * i
        inside = whole - 2 * MARGIN
        weight, color = ("bold", BEST) if i == 0 else ("normal", OTHERS)
        line = {"fontsize": 10, "va": "baseline", "fontweight": weight}
        axes.text(MARGIN, top + 0.14, shortened(name, inside - 0.75, weight=weight), ha="left", **line)
        axes.text(whole - MARGIN, top + 0.14, percent(probability), ha="right", **line)
        bar(axes, MARGIN, top + 0.2, inside, probability, color)
    return figure


def contact_sheet(images, captions, *, names=None, title=None, columns=6):
    """Many photographs in rows, each with a text, a probability and its bar.

    Args:
        images: arrays (H, W, 1 or 3), uint8 or in [0, 1], of any sizes.
        captions: (text, probability) of each.
        names: of the files, small below each.
        title: above all of them.
        columns: photographs in a row.

    Raises:
        ValueError: no image, one of another shape, or not as many captions as images.
    """
    if not len(images) or len(images) != len(captions):
        raise ValueError(f"contact_sheet got {len(images)} images and {len(captions)} captions; give as many of each.")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    above = GAP + (HEADING if title else 0)
    whole = GAP + columns * (TILE + GAP)
    figure, axes = page(whole, above + rows * (TILE + CAPTION + GAP))
    if title:
        axes.text(
            GAP,
            0.36,
            shortened(title, whole - 2 * GAP, size=12, weight="bold"),
            fontsize=12,
            fontweight="bold",
            va="baseline",
        )
    for i, (image, (text, probability)) in enumerate(zip(images, captions)):
        image = checked(image)
        left, top = GAP + i % columns * (TILE + GAP), above + i // columns * (TILE + CAPTION + GAP)
        height, width = (TILE * side / max(image.shape[:2]) for side in image.shape[:2])
        axes.add_patch(Rectangle((left, top), TILE, TILE, facecolor=MAT, edgecolor="none", zorder=-1))
        show(axes, image, left + (TILE - width) / 2, top + (TILE - height) / 2, width, height)
        line = {"fontsize": 8, "va": "baseline"}
        axes.text(
            left,
            top + TILE + 0.19,
            shortened(text, TILE - 0.5, size=8, weight="bold"),
            ha="left",
            fontweight="bold",
            **line,
        )
        axes.text(left + TILE, top + TILE + 0.19, percent(probability), ha="right", color=GRAY, **line)
        bar(axes, left, top + TILE + 0.26, TILE, probability, BEST)
        if names is not None:
            file = shortened_in_front(names[i], TILE - 0.05, size=6)
            axes.text(left, top + TILE + 0.44, file, fontsize=6, color=GRAY, va="baseline")
    return figure


def page(width, height):
    """An empty figure and axes whose coordinates are inches from the upper left corner."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI)
        axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure, axes


def show(axes, image, left, top, width, height):
    """An image at a place."""
    axes.imshow(
        pixels(image),
        cmap="gray",
        vmin=0,
        vmax=255 if image.dtype == np.uint8 else 1,
        extent=(left, left + width, top + height, top),
        interpolation=interpolation(DPI * width / image.shape[1]),
        aspect="auto",
    )


def interpolation(scale):
    """How to draw an image `scale` times as large: many pixels are averaged, those of tiny images stay squares."""
    if scale <= 1:
        return "antialiased"
    return "bicubic" if scale < SQUARES else "nearest"


def bar(axes, left, top, width, probability, color):
    """A track with the part of it filled that is probable."""
    share = min(max(float(probability), 0.0), 1.0)
    axes.add_patch(Rectangle((left, top), width, BAR, facecolor=TRACK, edgecolor="none"))
    axes.add_patch(Rectangle((left, top), width * share, BAR, facecolor=color, edgecolor="none"))


def percent(probability):
    return f"{100 * probability:.1f} %"


def shortened(text, width, *, size=10, weight="normal"):
    """A text that fits into `width` inches, with an ellipsis where its end was cut."""
    text = printable(text)
    most = letters_in(width, size, weight, lambda count: text[:count] + "…")
    return escaped(text if fits(text, width, size, weight) else text[:most].rstrip() + "…")


def shortened_in_front(text, width, *, size, weight="normal"):
    """The same with an ellipsis in front: the end of a path says more than its beginning."""
    text = printable(text)
    most = letters_in(width, size, weight, lambda count: "…" + text[len(text) - count :])
    return escaped(text if fits(text, width, size, weight) else "…" + text[len(text) - most :].lstrip())


def letters_in(width, size, weight, cut):
    """The largest number up to `LETTERS` for which the text `cut(number)` fits."""
    return bisect.bisect_left(range(LETTERS), True, key=lambda count: not fits(cut(count + 1), width, size, weight))


def fits(text, width, size, weight):
    """Whether a text is at most `width` inches wide."""
    if len(text) > LETTERS:
        return False
    font = FontProperties(family=STYLE["font.family"], size=size, weight=weight)
    points, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return points <= 72 * width


def printable(text):
    """Control characters have no shape."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def escaped(text):
    """A "$" would begin a formula."""
    return text.replace("$", r"\$")


def checked(image):
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or not image.size:
        raise ValueError(f"An image has the shape {image.shape}; give (height, width, 1 or 3).")
    return image
