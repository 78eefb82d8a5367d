"""Pictures with a class for each pixel, in colors."""

import matplotlib
import numpy as np
from matplotlib.patches import Patch

from tfdl.core.batches import IGNORE
from tfdl.figures.answers import LONG, checked, page, show
from tfdl.figures.style import heading, panels_of, pixels

OPACITY = 0.55
UNKNOWN = (255, 255, 255)


def colors(count):
    """`count` colors (count, 3) uint8: those of matplotlib's tab20, again from the start where there are more."""
    table = np.array(matplotlib.colormaps["tab20"].colors) * 255
    return table[np.arange(count) % len(table)].round().astype("uint8")


def painted(image, mask, count):
    """An image (H, W, 1 or 3), uint8 or in [0, 1], under the colors of its mask (H, W): (H, W, 3) uint8."""
    image = checked(image)
    values = image if image.dtype == np.uint8 else np.round(255 * np.clip(image, 0, 1))
    values = np.broadcast_to(values.astype("float64"), (*image.shape[:2], 3))
    table = np.tile(np.array(UNKNOWN, "float64"), (256, 1))
    table[:count] = colors(count)
    mixed = (1 - OPACITY) * values + OPACITY * table[mask]
    return np.round(np.where((mask == IGNORE)[..., None], values, mixed)).astype("uint8")


def segmented_picture(image, mask, labels):
    """A photograph under the colors of its classes, with a legend of those that it has."""
    height, width = (LONG * side / max(image.shape[:2]) for side in image.shape[:2])
    present = [int(number) for number in np.unique(mask) if number < len(labels)]
    below = 0.24 * -(-len(present) // 3) + 0.12
    figure, axes = page(max(width, 3.0), height + below)
    show(axes, painted(image, mask, len(labels)), 0, 0, width, height)
    shades = colors(len(labels)) / 255
    handles = [Patch(color=shades[number], label=labels[number]) for number in present]
    figure.legend(handles=handles, loc="lower left", ncols=3, fontsize=8, frameon=False, borderaxespad=0.2)
    return figure


def mask_grid(images, masks, labels, *, names=("picture", "truth", "answer"), title=None, width=2.2):
    """Rows of a picture and its masks, under common names.

    Args:
        images: (N, H, W, 3) in [0, 1].
        masks: a list of arrays (N, H, W), one for each column after the pictures.
        labels: names of the classes, for the number of colors and the legend.
        names: of the columns.
    """
    columns = 1 + len(masks)
    height = width * images.shape[1] / images.shape[2] + 0.15
    figure, panels = panels_of(len(images) * columns, columns=columns, width=width, height=height)
    for i, axes in enumerate(panels):
        row, column = divmod(i, columns)
        axes.set_axis_off()
        shown = images[row] if column == 0 else painted(images[row], masks[column - 1][row], len(labels))
        axes.imshow(pixels(np.asarray(shown)), cmap="gray", vmin=0, vmax=255 if column else 1)
        if row == 0:
            axes.set_title(names[column], fontsize=9)
    shades = colors(len(labels)) / 255
    present = sorted({int(number) for mask in masks for number in np.unique(mask) if number < len(labels)})
    handles = [Patch(color=shades[number], label=labels[number]) for number in present]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    heading(figure, title)
    return figure
