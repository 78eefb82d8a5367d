"""Pictures of people as sticks on textured ground, drawn from a seed, with their exact 17 key points.

A figure looks at the viewer: its left is on the right of the picture.  Its trunk leans, its limbs are bent at random,
and eyes, ears and nose are dots, so that all key points of COCO can be seen, but for those behind another part.  The
key points are known to a fraction of a pixel: they are where the limbs were drawn.
"""

import numpy as np
from PIL import Image, ImageDraw

from tfdl.core.bodies import COCO_NAMES
from tfdl.data.shapes import SPLITS, ground

FINER = 4  # times as many pixels while drawing, averaged afterwards
CONTRAST = 70.0  # least distance between the colors of a figure and of the ground, of 255 in each channel


def figures(counts, *, size=96, seed=0):
    """Split -> (images (N, size, size, 3) uint8, key points (N, 17, 3) float32: x, y in pixels, 1).

    Args:
        counts: split -> N.
        size: side of a picture in pixels.
        seed: picture i of a split is a function of (seed, split, i).
    """
    found = {}
    for split, count in counts.items():
        rows = [figure(np.random.default_rng((seed, SPLITS[split], i)), size) for i in range(count)]
        images, points = zip(*rows)
        found[split] = np.stack(images), np.stack(points)
    return found


def figure(rng, size):
    """One picture (size, size, 3) uint8 and its key points (17, 3)."""
    back = ground(rng, size)
    joints = posed(rng)  # (17, 2), the trunk has the length 1
    low, high = joints.min(0), joints.max(0)
    scale = rng.uniform(0.55, 0.85) * size / (high - low).max()
    room = size - scale * (high - low)
    joints = (joints - low) * scale + rng.uniform(0.08, 0.92, 2) * room
    image = drawn(rng, back, joints, scale)
    return image, np.concatenate([joints, np.ones((17, 1))], axis=1).astype("float32")


def posed(rng):
    """Joints (17, 2) x, y of a random pose in the order of COCO; y goes down, the trunk is 1 long."""
    place = {}
    lean = rng.normal(0, 0.25)  # radians
    up, side = direction(lean), direction(lean + np.pi / 2)  # side points to the figure's left
    neck = 1.0 * up
    for sign, name in ((1, "left"), (-1, "right")):
        place[f"{name} hip"] = sign * 0.17 * side
        place[f"{name} shoulder"] = neck + sign * 0.27 * side
        turn = lean + sign * rng.uniform(0.35, 2.8)  # of the upper arm, from straight up
        place[f"{name} elbow"] = place[f"{name} shoulder"] + 0.5 * direction(turn)
        place[f"{name} wrist"] = place[f"{name} elbow"] + 0.45 * direction(turn + rng.uniform(-1.4, 1.4))
        turn = np.pi - sign * rng.uniform(-0.1, 0.8)
        place[f"{name} knee"] = place[f"{name} hip"] + 0.7 * direction(turn)
        place[f"{name} ankle"] = place[f"{name} knee"] + 0.65 * direction(turn + rng.uniform(-0.6, 0.6))
    nod = lean + rng.normal(0, 0.2)
    up, side = direction(nod), direction(nod + np.pi / 2)
    place["nose"] = neck + 0.36 * up
    for sign, name in ((1, "left"), (-1, "right")):
        place[f"{name} eye"] = place["nose"] + 0.1 * up + sign * 0.1 * side
        place[f"{name} ear"] = place["nose"] + 0.04 * up + sign * 0.23 * side
    return np.array([place[name] for name in COCO_NAMES])


def direction(angle):
    """The unit vector that points up, turned clockwise by an angle; x to the right, y down."""
    return np.array([np.sin(angle), -np.cos(angle)])


def drawn(rng, back, joints, scale):
    """The ground (size, size, 3) with a figure on it, uint8."""
    size = len(back)
    skin, shirt, trousers = (contrasting(rng, back) for _ in range(3))
    picture = Image.fromarray(np.clip(back, 0, 255).astype("uint8")).resize(
        (FINER * size,) * 2, Image.Resampling.BILINEAR
    )
    draw = ImageDraw.Draw(picture)
    at = {name: tuple(map(float, FINER * joints[place])) for place, name in enumerate(COCO_NAMES)}
    unit = FINER * scale

    def disc(center, radius, color):
        x, y = center
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

    def limb(*names, color, width):
        draw.line([at[name] for name in names], fill=color, width=max(1, round(width * unit)))
        for name in names:
            disc(at[name], width * unit / 2, color)

    for side in ("left", "right"):
        limb(f"{side} hip", f"{side} knee", f"{side} ankle", color=trousers, width=0.15)
    corners = ("left shoulder", "right shoulder", "right hip", "left hip")
    draw.polygon([at[name] for name in corners], fill=shirt)
    limb(*corners, corners[0], color=shirt, width=0.14)
    disc(at["nose"], 0.23 * unit, skin)
    for side in ("left", "right"):
        disc(at[f"{side} ear"], 0.06 * unit, skin)
        disc(at[f"{side} eye"], 0.045 * unit, (15, 15, 15))
        limb(f"{side} shoulder", f"{side} elbow", f"{side} wrist", color=shirt, width=0.12)
        disc(at[f"{side} wrist"], 0.075 * unit, skin)
    disc(at["nose"], 0.04 * unit, tuple(int(0.5 * part) for part in skin))
    image = np.asarray(picture.reduce(FINER), "float64") + rng.normal(0, 6, back.shape)
    return np.clip(np.round(image), 0, 255).astype("uint8")


def contrasting(rng, back):
    """A random color that is not that of the ground."""
    common = back.mean((0, 1))
    while True:
        color = rng.uniform(20, 250, 3)
        if np.abs(color - common).max() > CONTRAST:
            return tuple(map(int, color))
