"""Pictures of colored shapes on textured ground, drawn from a seed, with their exact boxes.

Squares, discs, triangles and rings of different sizes overlap a little; noise, gradients and thin lines between them
belong to no class.  A shape's box is that of its visible pixels, and a shape of which less than HALF is visible is
drawn anew, so that every object can be found.
"""

import numpy as np

SHAPES = ("square", "disc", "triangle", "ring")
SPLITS = {"train": 0, "validation": 1, "test": 2}
HALF = 0.5  # of a shape's pixels must be visible
TRIES = 20  # to place a shape


def shapes(counts, *, size=96, largest=6, seed=0):
    """Split -> (images (N, size, size, 3) uint8, boxes: N arrays (n, 4) xyxy, labels: N arrays (n,), owners).

    owners (N, size, size) int32 are the numbers of the shapes that each pixel shows, -1 on the ground.

    Args:
        counts: split -> N.
        size: side of a picture in pixels.
        largest: the most shapes in a picture; some have none.
        seed: picture i of a split is a function of (seed, split, i).
    """
    found = {}
    for split, count in counts.items():
        rows = [picture(np.random.default_rng((seed, SPLITS[split], i)), size, largest) for i in range(count)]
        images, boxes, labels, owners = zip(*rows)
        found[split] = np.stack(images), list(boxes), list(labels), np.stack(owners)
    return found


def shape_masks(counts, *, size=96, largest=6, seed=0):
    """The same pictures with the class of each pixel: split -> (images (N, size, size, 3) uint8, masks (N, size, size)
    uint8).  The ground is the class after the shapes'."""
    found = {}
    for split, count in counts.items():
        rows = [drawn(np.random.default_rng((seed, SPLITS[split], i)), size, largest) for i in range(count)]
        classes = [np.array([*labels, len(SHAPES)], "uint8")[owner] for _, owner, labels in rows]  # -1 is the last
        found[split] = np.stack([image for image, _, _ in rows]), np.stack(classes)
    return found


def picture(rng, size, largest):
    """One picture (size, size, 3) uint8, its boxes (n, 4) float64, labels (n,) int32, and owner (size, size) int32."""
    image, owner, labels = drawn(rng, size, largest)
    boxes = np.array([box_of(owner == i) for i in range(len(labels))], "float64").reshape(-1, 4)
    return image, boxes, np.array(labels, "int32"), owner.astype("int32")


def drawn(rng, size, largest):
    """One picture (size, size, 3) uint8, the number of the shape that each pixel shows, -1 for the ground, and the
    shapes' labels."""
    image = ground(rng, size)
    owner = np.full((size, size), -1)  # the shape that each pixel shows
    labels, masks = [], []
    for _ in range(rng.integers(0, largest + 1)):
        for _ in range(TRIES):
            label = int(rng.integers(len(SHAPES)))
            mask = stencil(rng, label, size)
            new = np.where(mask, len(labels), owner)
            shown = [np.sum(new == i) for i in range(len(labels) + 1)]
            if all(n >= HALF * np.sum(m) for n, m in zip(shown, [*masks, mask])):
                break
        else:
            continue
        owner = new
        labels.append(label)
        masks.append(mask)
        color = rng.uniform(0, 255, 3)
        shade = 1 - 0.25 * rng.random() * np.linspace(0, 1, size)[:, None, None]
        image = np.where(mask[..., None], color * shade, image)
    image = image + rng.normal(0, 8, image.shape)
    return np.clip(np.round(image), 0, 255).astype("uint8"), owner, labels


def ground(rng, size):
    """A gradient between two colors, and a few thin lines."""
    first, second = rng.uniform(40, 215, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size] / size
    t = ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.71) / 1.42
    image = first + (second - first) * t[..., None]
    for _ in range(rng.integers(0, 4)):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5)
        distance = np.abs((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) - offset)
        image[distance < 0.5 / size] = rng.uniform(0, 255, 3)
    return image


def stencil(rng, label, size):
    """A shape's pixels (size, size) bool; it lies inside the picture."""
    radius = rng.uniform(0.07, 0.25) * size
    x0, y0 = rng.uniform(radius, size - radius, 2)
    y, x = np.mgrid[:size, :size] + 0.5
    u, v = (x - x0) / radius, (y - y0) / radius
    if SHAPES[label] == "square":
        return np.maximum(np.abs(u), np.abs(v)) < 0.9
    if SHAPES[label] == "triangle":
        return (v < 0.8) & (np.abs(u) < (v + 0.95) / 1.9)
    distance = np.hypot(u, v)
    return (distance < 1) & (distance > 0.55) if SHAPES[label] == "ring" else distance < 1


def box_of(mask):
    """The smallest box around the pixels of a mask: x1, y1, x2, y2."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
