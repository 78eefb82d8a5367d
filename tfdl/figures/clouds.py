"""Clouds of points: as pictures, in the colors of their classes, and from above with the boxes in them."""

import numpy as np
from matplotlib.patches import Rectangle

from tfdl.core.batches import OUTSIDE
from tfdl.figures.style import COLORS, heading, panels_of

TRUE, FOUND = COLORS[2], COLORS[1]
SIDE = 240  # pixels of a cloud's picture
TURN, TILT = np.radians(30), np.radians(25)  # from where it is seen
DARK, LIGHT = np.array([38, 56, 84]), np.array([170, 190, 210])  # near and far points


def cloud_picture(points, numbers=None):
    """A cloud as seen from the front, above and aside: (SIDE, SIDE, 3) uint8.

    Args:
        points: (n, 3 + F); z is upwards.
        numbers: (n,) of the points' classes, for their colors; None draws near points dark and far ones light.
    """
    x, y, z = np.asarray(points, "float64")[:, :3].T
    aside, away = np.cos(TURN) * x - np.sin(TURN) * y, np.sin(TURN) * x + np.cos(TURN) * y
    up, depth = np.cos(TILT) * z + np.sin(TILT) * away, np.cos(TILT) * away - np.sin(TILT) * z
    middle = [(values.min() + values.max()) / 2 for values in (aside, up)]
    scale = 0.9 * SIDE / max(np.ptp(aside), np.ptp(up), 1e-9)
    columns = np.round(SIDE / 2 + (aside - middle[0]) * scale).astype(int)
    rows = np.round(SIDE / 2 - (up - middle[1]) * scale).astype(int)
    if numbers is None:
        share = (depth - depth.min()) / max(np.ptp(depth), 1e-9)
        colors = DARK + share[:, None] * (LIGHT - DARK)
    else:
        colors = np.array([rgb(number) for number in numbers])
    image = np.full((SIDE, SIDE, 3), 255, "uint8")
    order = np.argsort(-depth, kind="stable")  # near points last, over the others
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            place = [np.clip(values[order] + step, 0, SIDE - 1) for values, step in ((rows, down), (columns, right))]
            image[place[0], place[1]] = colors[order]
    return image


def rgb(number):
    """The color of a class as three numbers up to 255."""
    color = COLORS[int(number) % len(COLORS)].lstrip("#")
    return [int(color[place : place + 2], 16) for place in (0, 2, 4)]


def class_clouds(points, numbers, labels, *, columns=4, title=None, width=2.4):
    """Clouds, each point in the color of its class, with the names of the classes in each.

    Args:
        points: (B, P, 3).
        numbers: (B, P) of the classes.
        labels: names of the classes.
        columns: clouds in a row.
        width: of a panel, in inches.
    """
    figure, panels = panels_of(len(points), columns=columns, width=width, height=width + 0.2)
    for axes, cloud, own in zip(panels, np.asarray(points), np.asarray(numbers)):
        axes.imshow(cloud_picture(cloud, own))
        axes.set_axis_off()
        for place, number in enumerate(np.unique(own)):
            color = COLORS[int(number) % len(COLORS)]
            axes.text(4, 12 + 14 * place, labels[number], fontsize=6, color=color, va="center")
    heading(figure, title)
    return figure


def scene_grid(points, found, *, truth=None, threshold=0.3, columns=4, title=None, width=3.0):
    """Clouds from above, x upwards and y to the left, with found boxes, their scores and fronts, and dashed true ones.

    Args:
        points: (B, P, 3 + F), or B clouds of any numbers of points; those at `OUTSIDE` are left out.
        found: dict of boxes (B, D, 7), scores (B, D) and labels (B, D), -1 where padded.
        truth: dict of boxes (B, N, 7) and labels (B, N); and ignored (B, N), which are dotted.
        threshold: detections with a lower score are not drawn.
        columns: clouds in a row.
        width: of a panel, in inches.
    """
    figure, panels = panels_of(len(points), columns=columns, width=width, height=width + 0.1)
    for row, (axes, cloud) in enumerate(zip(panels, points)):
        cloud = np.asarray(cloud)
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
