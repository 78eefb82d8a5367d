"""Clouds of points seen from above, with the boxes in them; and clouds whose points are colored by class."""

import numpy as np
from matplotlib.patches import Rectangle

from tfdl.core.batches import OUTSIDE
from tfdl.figures.style import COLORS, heading, panels_of

TRUE, FOUND = COLORS[2], COLORS[1]


def scene_grid(points, found, *, truth=None, threshold=0.3, columns=4, title=None, width=3.0):
    """Clouds from above, x upwards and y to the left, with found boxes, their scores and fronts, and dashed true ones.

    Args:
        points: (B, P, 3 + F); those at `OUTSIDE` are left out.
        found: dict of boxes (B, D, 7), scores (B, D) and labels (B, D), -1 where padded.
        truth: dict of boxes (B, N, 7) and labels (B, N); and ignored (B, N), which are dotted.
        threshold: detections with a lower score are not drawn.
        columns: clouds in a row.
        width: of a panel, in inches.
    """
    figure, panels = panels_of(len(points), columns=columns, width=width, height=width + 0.1)
    for row, (axes, cloud) in enumerate(zip(panels, np.asarray(points))):
        cloud = cloud[cloud[:, 0] < OUTSIDE]
        axes.scatter(-cloud[:, 1], cloud[:, 0], s=0.4, c=cloud[:, 2], cmap="gray", vmin=-3, vmax=3, linewidths=0)
        if truth is not None:
            ignored = np.asarray(truth.get("ignored", np.zeros(np.shape(truth["labels"]), bool)))[row]
            for place in np.flatnonzero(np.asarray(truth["labels"][row]) >= 0):
                line = (0, (1, 2)) if ignored[place] else (0, (3, 2))
                draw_box(axes, np.asarray(truth["boxes"][row])[place], TRUE, linestyle=line)
        shown = (np.asarray(found["labels"][row]) >= 0) & (np.asarray(found["scores"][row]) >= threshold)
        for box, score in zip(np.asarray(found["boxes"][row])[shown], np.asarray(found["scores"][row])[shown]):
            draw_box(axes, box, FOUND)
            axes.text(-box[1], box[0], f"{score:.0%}", fontsize=5, ha="center", va="center", color=FOUND)
        axes.set_aspect("equal")
        axes.tick_params(labelsize=5)
    heading(figure, title)
    return figure


def draw_box(axes, box, color, **options):
    """The outline of a box seen from above, and a line from its middle to its front."""
    x, y, _, length, width, _, yaw = map(float, box)
    corner = (-y - length / 2, x - width / 2)
    angle = np.degrees(yaw) + 90  # x points upwards
    options = {"fill": False, "edgecolor": color, "linewidth": 1, **options}
    axes.add_patch(Rectangle(corner, length, width, angle=angle, rotation_point="center", **options))
    axes.plot([-y, -y - length / 2 * np.sin(yaw)], [x, x + length / 2 * np.cos(yaw)], color=color, linewidth=0.6)


def class_clouds(points, numbers, labels, *, columns=4, title=None, width=2.4):
    """Clouds in space, each point in the color of its class.

    Args:
        points: (B, P, 3).
        numbers: (B, P) of the classes.
        labels: names of the classes.
    """
    figure, panels = panels_of(len(points), columns=columns, width=width, height=width, projection="3d")
    for axes, cloud, own in zip(panels, np.asarray(points), np.asarray(numbers)):
        axes.scatter(*cloud[:, :3].T, s=2, c=[COLORS[number % len(COLORS)] for number in own], linewidths=0)
        axes.set_box_aspect(np.ptp(cloud[:, :3], axis=0))
        axes.set_axis_off()
        present = np.unique(own)
        axes.set_title(", ".join(labels[number] for number in present), fontsize=6)
    heading(figure, title)
    return figure
