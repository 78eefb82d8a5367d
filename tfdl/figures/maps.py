"""Heat maps: over the images that they explain, and as the feature maps of a network."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Rectangle

from tfdl.figures.style import MAP, canvas, heading, panels_of, pixels

GRAY = np.array([0.299, 0.587, 0.114])  # how bright the eye finds red, green and blue (ITU-R BT.601)


def overlays(images, maps, titles, *, title=None):
    """A row for each image: the image, and every heat map over it in gray, from dark blue (its least) to yellow.

    Args:
        images: (N, H, W, 1 or 3), values in [0, 1].
        maps: dict name -> (N, h, w) of any resolution; what is below 0 is drawn as 0.
        titles: N strings, of the rows.
        title: above all of them.

    Raises:
        ValueError: another shape, or not as many maps or titles as images.
    """
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0 or images.shape[-1] not in (1, 3) or not maps:
        raise ValueError(f"overlays got images {images.shape} and {len(maps)} maps; give (N, H, W, 1 or 3) and a map.")
    if {len(titles), *map(len, maps.values())} != {len(images)}:
        counts = {name: len(values) for name, values in maps.items()}
        raise ValueError(f"overlays got {len(images)} images, {len(titles)} titles and maps {counts}; give as many.")
    height, width = images.shape[1:3]
    figure, panels = canvas(len(images), 1 + len(maps), squeeze=False)
    side = min(1.8, 1.8 * width / height)  # inches
    figure.set_layout_engine("compressed")  # panels of a fixed shape, close together
    extra = 0.8 if title else 0.4  # inches for the texts
    figure.set_size_inches(side * (1 + len(maps)) + 2.6, side * height / width * len(images) + extra)
    plain = images @ GRAY if images.shape[-1] == 3 else images[..., 0]
    for i, line in enumerate(panels):
        for axes in line:
            axes.set_axis_off()
        line[0].imshow(pixels(images[i]), cmap="gray", vmin=0, vmax=1)
        label(line[0], titles[i])
        for axes, values in zip(line[1:], maps.values()):
            heat = np.maximum(values[i], 0)
            heat = (heat - heat.min()) / max(np.ptp(heat), 1e-12)
            axes.imshow(plain[i], cmap="gray", vmin=0, vmax=1)
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            axes.imshow(heat, cmap=MAP, vmin=0, vmax=1, alpha=0.65, extent=extent, interpolation="bilinear")
    for axes, name in zip(panels[0], ["image", *maps]):
        axes.set_title(name)
    scale = figure.colorbar(ScalarMappable(cmap=MAP), ax=panels, shrink=min(1.0, 3 / len(images)))
    scale.set_ticks([0, 1], labels=["least", "peak"])
    scale.set_label("each map at its own scale")
    heading(figure, title)
    return figure


def feature_rows(image, maps, *, columns=8, title=None):
    """A row for each name: the channels that vary most, strongest first, each at its own contrast.

    Args:
        image: (H, W, 1 or 3) in [0, 1], drawn above them.
        maps: dict name -> (h, w, C) of any sizes.
        columns: channels of each map to show, fewer if it has fewer.
        title: above all of them.

    Raises:
        ValueError: another shape.
    """
    image = np.asarray(image)
    shapes = {name: np.shape(values) for name, values in maps.items()}
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or not maps or any(len(s) != 3 for s in shapes.values()):
        raise ValueError(f"feature_rows draws an image (H, W, 1 or 3) and maps (h, w, C), not {image.shape}, {shapes}.")
    size = 1.05
    height = size * image.shape[0] / image.shape[1] + (0.3 / (1 + len(maps)) if title else 0)
    figure, panels = canvas(1 + len(maps), columns, width=size, height=height, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    panels[0, 0].imshow(pixels(image), cmap="gray", vmin=0, vmax=1)
    label(panels[0, 0], "image")
    for line, (name, values) in zip(panels[1:], maps.items()):
        values = np.asarray(values, "float32")
        strongest = np.argsort(-values.std((0, 1)), kind="stable")[:columns]
        for axes, channel in zip(line, strongest):
            axes.imshow(values[..., channel], cmap=MAP, interpolation="nearest")
        label(line[0], f"{name}\n{' x '.join(map(str, values.shape))}")
    heading(figure, title)
    return figure


def label(axes, text):
    """Writes left of a panel whose own axis is off."""
    axes.annotate(text, (0, 0.5), (-6, 0), "axes fraction", "offset points", ha="right", va="center", fontsize=10)


def to_scale(pictures, *, columns=4, title=None):
    """Pictures of different sizes, a pixel as large in each as in the others.

    A dashed frame of the largest one's size around each shows how much smaller the others are.

    Args:
        pictures: dict title -> (h, w, 1 or 3), values in [0, 1].
        columns: pictures in a row.
        title: above all of them.

    Raises:
        ValueError: another shape.
    """
    shapes = {name: np.shape(picture) for name, picture in pictures.items()}
    if not pictures or any(len(s) != 3 or s[-1] not in (1, 3) for s in shapes.values()):
        raise ValueError(f"to_scale draws pictures (h, w, 1 or 3), not {shapes}.")
    height, width = (max(shape[i] for shape in shapes.values()) for i in (0, 1))
    figure, panels = panels_of(len(pictures), columns=columns, width=2.6, height=2.6 * height / width + 0.5)
    for axes, (name, picture) in zip(panels, pictures.items()):
        h, w = np.shape(picture)[:2]
        left, top = (width - w) / 2 - 0.5, (height - h) / 2 - 0.5
        axes.set_axis_off()
        axes.imshow(pixels(np.asarray(picture)), cmap="gray", vmin=0, vmax=1, extent=(left, left + w, top + h, top))
        if (h, w) != (height, width):
            frame = {"fill": False, "edgecolor": "#7F7F7F", "linestyle": "--", "linewidth": 0.8}
            axes.add_patch(Rectangle((-0.5, -0.5), width, height, clip_on=False, **frame))
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.set_title(f"{name}\n{h} x {w}", fontsize=9)
    heading(figure, title)
    return figure


def unit_map(values, *, x_label, y_label, label, title=None):
    """One picture of numbers, such as the activity of each unit in each layer.

    Args:
        values: (rows, columns), 0 or more; 0 is the darkest color.
        x_label, y_label: of the columns and the rows.
        label: what the color means.
    """
    figure, axes = canvas(width=5, height=4.5)
    picture = axes.imshow(values, cmap=MAP, vmin=0, aspect="auto")
    figure.colorbar(picture, ax=axes, label=label)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(False)
    if title:
        axes.set_title(title)
    return figure
