"""Pictures with the boxes of what was found in them, and curves of precision over recall."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from tfdl.figures.answers import LONG, NARROW, checked, escaped, page, printable, show
from tfdl.figures.style import COLORS, canvas, heading, legend_beside, panel_title, panels_of, pixels

TRUE = "#FFFFFF"  # frames of the true boxes, dashed
LINE = 1.6  # points
OPACITY = 0.5  # of the color on an object's pixels


def color_of(number):
    """The color of a class; those that are hard to see on photographs are left out."""
    bright = COLORS[:6]
    return bright[int(number) % len(bright)]


def detected_picture(image, boxes, texts, numbers, masks=None):
    """A photograph with boxes, and with masks where there are any.

    Args:
        image: (H, W, 1 or 3), uint8 or in [0, 1].
        boxes: (n, 4) xyxy in pixels of this image.
        texts: n strings to stand above the boxes.
        numbers: n class numbers, for the colors.
        masks: (n, H, W) of this image, above 1/2 on the object.
    """
    image = checked(image)
    if masks is not None:
        image = colored(image, masks, numbers)
    height, width = (LONG * side / max(image.shape[:2]) for side in image.shape[:2])
    figure, axes = page(max(width, NARROW), height)
    show(axes, image, 0, 0, width, height)
    scale = width / image.shape[1]
    draw_boxes(axes, np.asarray(boxes).reshape(-1, 4) * scale, texts, numbers, size=8, line=8 / 72)
    return figure


def detection_grid(images, found, labels, *, truth=None, threshold=0.25, columns=4, title=None, width=2.6):
    """Pictures with the boxes that a detector found, a frame in the color of the class and its score, and the true
    ones as dashed white frames.

    Args:
        images: (N, H, W, 1 or 3) in [0, 1].
        found: dict of boxes (N, D, 4) xyxy in pixels, scores (N, D) and labels (N, D), -1 where padded; and, where
            there are any, masks (N, D, H, W), above 1/2 on the object.
        labels: names of the classes.
        truth: dict of boxes (N, M, 4) and labels (N, M), -1 where padded.
        threshold: detections with a lower score are not drawn.
        columns: pictures in a row.
        width: of a picture, in inches.
    """
    height = width * images.shape[1] / images.shape[2] + 0.1
    figure, panels = panels_of(len(images), columns=columns, width=width, height=height)
    for i, (axes, image) in enumerate(zip(panels, images)):
        axes.set_axis_off()
        shown = (np.asarray(found["labels"][i]) >= 0) & (np.asarray(found["scores"][i]) >= threshold)
        numbers, scores = np.asarray(found["labels"][i])[shown], np.asarray(found["scores"][i])[shown]
        image = np.asarray(image)
        if "masks" in found:
            image = colored(image, np.asarray(found["masks"][i])[shown], numbers)
        axes.imshow(pixels(image), cmap="gray", vmin=0, vmax=1, extent=(0, *image.shape[1::-1], 0))
        if truth is not None:
            for box in np.asarray(truth["boxes"][i])[np.asarray(truth["labels"][i]) >= 0]:
                axes.add_patch(frame(box, TRUE, linestyle=(0, (3, 2)), linewidth=1))
        texts = [f"{labels[number]} {score:.0%}" for number, score in zip(numbers, scores)]
        line = 5 / 72 / width * image.shape[1]
        draw_boxes(axes, np.asarray(found["boxes"][i])[shown], texts, numbers, size=5, line=line)
    heading(figure, title)
    return figure


def precision_recall(curves, *, title=None):
    """Precision over recall, a line for each class.

    Args:
        curves: label -> (recall (R,), precision (R,)).
        title: above the panel.

    Raises:
        ValueError: there are no curves.
    """
    if not curves:
        raise ValueError("precision_recall got no curves; there is no object in these pictures.")
    figure, axes = canvas(width=5.6, height=4.0)
    for label, (recall, precision) in curves.items():
        axes.plot(recall, precision, label=escaped(f"{label}  {np.mean(precision):.3f}"))
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    panel_title(axes, title)
    legend_beside(figure)
    return figure


# Parts


def colored(image, masks, numbers):
    """An image (H, W, 1 or 3), uint8 or in [0, 1], whose objects have the colors of their classes: (H, W, 3) float.

    The first mask lies on top; they go from the surest down.
    """
    values = np.asarray(image, "float32") / (255.0 if np.asarray(image).dtype == np.uint8 else 1.0)
    values = np.broadcast_to(values, (*values.shape[:2], 3)).copy()
    plain = values.copy()
    for mask, number in reversed(list(zip(np.asarray(masks), numbers))):
        here = mask > 0.5
        values[here] = (1 - OPACITY) * plain[here] + OPACITY * np.array(to_rgb(color_of(number)))
    return values


def draw_boxes(axes, boxes, texts, numbers, *, size, line):
    """Frames with a text above each, or inside where there is no room above; `line` is the text's height."""
    for (x1, y1, x2, y2), text, number in zip(boxes, texts, numbers):
        color = color_of(number)
        axes.add_patch(frame((x1, y1, x2, y2), color, linewidth=LINE))
        axes.text(
            x1,
            y1 if y1 > 1.5 * line else y1 + 1.5 * line,
            escaped(printable(text)),
            fontsize=size,
            color="white",
            va="bottom",
            bbox={"facecolor": color, "edgecolor": "none", "pad": 0.8},
            clip_on=True,
        )


def frame(box, color, **options):
    x1, y1, x2, y2 = box
    return Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, **options)
