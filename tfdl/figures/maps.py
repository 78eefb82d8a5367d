"""Heat maps: over the images that they explain, and as the feature maps of a network."""

import numpy as np
from matplotlib.cm import ScalarMappable

from tfdl.figures.style import MAP, canvas

GRAY = np.array([0.299, 0.587, 0.114])  # how bright the eye finds red, green and blue (ITU-R BT.601)


def overlays(images, maps, titles):
    """A row for each image: the image, and every heat map over it in gray, from dark blue (its least) to yellow.

    Args:
        images: (N, H, W, 1 or 3), values in [0, 1].
        maps: dict name -> (N, h, w) of any resolution; what is below 0 is drawn as 0.
        titles: N strings, of the rows.

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
    figure.set_size_inches(side * (1 + len(maps)) + 2.2, side * height / width * len(images) + 0.4)  # and the texts
    plain = images @ GRAY if images.shape[-1] == 3 else images[..., 0]
    for i, line in enumerate(panels):
        for axes in line:
            axes.set_axis_off()
        line[0].imshow(images[i] if images.shape[-1] == 3 else plain[i], cmap="gray", vmin=0, vmax=1)
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
    scale.set_label("from the least to the peak of each map")
    return figure


def feature_rows(image, maps, *, columns=8):
    """A row for each name: the channels that vary most, strongest first, each at its own contrast.

    Args:
        image: (H, W, 1 or 3) in [0, 1], drawn above them.
        maps: dict name -> (h, w, C) of any sizes.
        columns: channels of each map to show, fewer if it has fewer.

    Raises:
        ValueError: another shape.
    """
    image = np.asarray(image)
    shapes = {name: np.shape(values) for name, values in maps.items()}
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or not maps or any(len(s) != 3 for s in shapes.values()):
        raise ValueError(f"feature_rows draws an image (H, W, 1 or 3) and maps (h, w, C), not {image.shape}, {shapes}.")
    size = 1.05
    figure, panels = canvas(1 + len(maps), columns, width=size, height=size * image.shape[0] / image.shape[1])
    for axes in panels.flat:
        axes.set_axis_off()
    panels[0, 0].imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
    label(panels[0, 0], "image")
    for line, (name, values) in zip(panels[1:], maps.items()):
        values = np.asarray(values, "float32")
        strongest = np.argsort(-values.std((0, 1)), kind="stable")[:columns]
        for axes, channel in zip(line, strongest):
            axes.imshow(values[..., channel], cmap=MAP, interpolation="nearest")
        label(line[0], f"{name}\n{' x '.join(map(str, values.shape))}")
    return figure


def label(axes, text):
    """Writes left of a panel whose own axis is off."""
    axes.annotate(text, (0, 0.5), (-6, 0), "axes fraction", "offset points", ha="right", va="center", fontsize=8)


def to_scale(pictures, *, columns=4):
    """Pictures of different sizes, a pixel as large in each as in the others.

    Args:
        pictures: dict title -> (h, w, 1 or 3), values in [0, 1].

    Raises:
        ValueError: another shape.
    """
    shapes = {title: np.shape(picture) for title, picture in pictures.items()}
    if not pictures or any(len(s) != 3 or s[-1] not in (1, 3) for s in shapes.values()):
        raise ValueError(f"to_scale draws pictures (h, w, 1 or 3), not {shapes}.")
    height, width = (max(shape[i] for shape in shapes.values()) for i in (0, 1))
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    figure, panels = canvas(rows, columns, width=2.2, height=2.2 * height / width + 0.45, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, (title, picture) in zip(panels.flat, pictures.items()):
        h, w, channels = np.shape(picture)
        axes.imshow(picture if channels == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=1)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.set_title(f"{title}\n{h} x {w}", fontsize=9)
    return figure
