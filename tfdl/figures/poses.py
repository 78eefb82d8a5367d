"""Pictures with key points and the lines between them, and how large the error of each point is."""

import numpy as np
from matplotlib.collections import LineCollection

from tfdl.figures.answers import LONG, NARROW, checked, page, show
from tfdl.figures.style import COLORS, canvas, heading, panel_title, panels_of, pixels

TRUE = "#FFFFFF"
SEEN = 0.1  # score from which a point is drawn, if nothing else is said
SHOWN = 20  # points with a name each on an axis; of more, every fifth


def pose_picture(image, keypoints, lines, *, threshold=SEEN):
    """A photograph with one pose.

    Args:
        image: (H, W, 1 or 3), uint8 or in [0, 1].
        keypoints: (K, 3): x, y in pixels of this image, score.
        lines: pairs of points that are joined.
        threshold: points with a lower score, and their lines, are not drawn.
    """
    image = checked(image)
    height, width = (LONG * side / max(image.shape[:2]) for side in image.shape[:2])
    figure, axes = page(max(width, NARROW), height)
    show(axes, image, 0, 0, width, height)
    points = np.asarray(keypoints, "float64") * [width / image.shape[1], width / image.shape[1], 1]
    draw_pose(axes, points, lines, threshold=threshold, size=18)
    return figure


def pose_grid(images, found, lines, *, truth=None, threshold=SEEN, columns=4, title=None, width=2.2):
    """Pictures with the poses that were found, in colors, over the true points, in white.

    Args:
        images: (N, H, W, 1 or 3) in [0, 1].
        found: (N, K, 3): x, y in pixels, score.
        lines: pairs of points that are joined.
        truth: (N, K, 3): x, y, visible.
        columns: pictures in a row.
        width: of a picture, in inches.
    """
    height = width * images.shape[1] / images.shape[2] + 0.1
    figure, panels = panels_of(len(images), columns=columns, width=width, height=height)
    for i, (axes, image) in enumerate(zip(panels, images)):
        axes.set_axis_off()
        axes.imshow(pixels(np.asarray(image)), cmap="gray", vmin=0, vmax=1, extent=(0, *image.shape[1::-1], 0))
        if truth is not None:
            known = np.asarray(truth[i])
            axes.scatter(*known[known[:, 2] > 0, :2].T, s=7, color=TRUE, linewidths=0, zorder=3)
        draw_pose(axes, np.asarray(found[i]), lines, threshold=threshold, size=3)
        axes.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    heading(figure, title)
    return figure


def error_bars(errors, right, names, *, threshold, title=None):
    """The normalized mean error of each key point, and the share of answers within the threshold.

    Args:
        errors: (K,), NaN for points that there are not.
        right: (K,) shares.
        names: of the points.
        threshold: of the shares.

    Raises:
        ValueError: another number of names.
    """
    if not len(errors) == len(right) == len(names):
        raise ValueError(f"error_bars got {len(errors)} errors, {len(right)} shares and {len(names)} names.")
    figure, panels = canvas(2, 1, width=8.0, height=2.4, sharex=True)
    places = np.arange(len(names))
    for axes, values, label, color in (
        (panels[0], errors, "normalized mean error", COLORS[0]),
        (panels[1], right, f"PCK@{threshold:g}", COLORS[2]),
    ):
        axes.bar(places, np.nan_to_num(values), color=color)
        axes.set_ylabel(label)
    panels[1].set_ylim(0, 1.02)
    step = 1 if len(names) <= SHOWN else 5
    panels[1].set_xticks(places[::step], names[::step], rotation=60, ha="right", fontsize=8)
    panel_title(panels[0], title)
    return figure


# Parts


def draw_pose(axes, keypoints, lines, *, threshold, size):
    """Lines and dots of one pose (K, 3); lines change their color along the body."""
    seen = keypoints[:, 2] >= threshold
    joined = [(a, b) for a, b in lines if seen[a] and seen[b]]
    bright = COLORS[:6]
    colors = [bright[number * len(bright) // max(1, len(lines))] for number, line in enumerate(lines) if line in joined]
    axes.add_collection(LineCollection([keypoints[list(line), :2] for line in joined], colors=colors, linewidths=1.4))
    axes.scatter(*keypoints[seen, :2].T, s=size, color=bright[1], linewidths=0, zorder=4)
