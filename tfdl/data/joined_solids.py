"""Things put together of solids, with the part that each point belongs to: clouds for part segmentation.

| thing    | parts                        |
|----------|------------------------------|
| table    | top, legs                    |
| lamp     | base, pole, shade            |
| mug      | body, handle                 |
| rocket   | hull, nose, fins             |

Points are drawn evenly from the surfaces, each part by its area, in random order; proportions are random, and all is
turned about the vertical axis.  A cloud is a pure function of (seed, split, number).
The task is that of Qi et al. 2016, arXiv:1612.00593, section 4.2, without saying which thing a cloud is.
"""

import numpy as np

PARTS = ("top", "leg", "base", "pole", "shade", "body", "handle", "hull", "nose", "fin")
COUNTS = {"train": 800, "validation": 120, "test": 160}
POINTS = 512
NOISE = 0.01  # standard deviation of a point's place


def splits(seed=0):
    """Split -> (clouds (M, 512, 3) float32, parts (M, 512) int32), and the names of the parts."""
    found = {}
    for number, (key, count) in enumerate(COUNTS.items()):
        rows = [thing(np.random.default_rng((seed, number, i)), THINGS[i % len(THINGS)]) for i in range(count)]
        clouds, parts = map(np.stack, zip(*rows))
        found[key] = clouds.astype("float32"), parts.astype("int32")
    return found, PARTS


def thing(rng, build):
    """Points of one thing.  -> (POINTS, 3), (POINTS)"""
    surfaces = build(rng)  # (part, area, function of a generator and a number of points)
    areas = np.array([area for _, area, _ in surfaces])
    counts = rng.multinomial(POINTS, areas / areas.sum())
    points = np.concatenate([draw(rng, count) for (*_, draw), count in zip(surfaces, counts)])
    parts = np.repeat([PARTS.index(part) for part, *_ in surfaces], counts)
    order = rng.permutation(POINTS)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return (points @ turn + rng.normal(0, NOISE, points.shape))[order], parts[order]


def table(rng):
    long, wide, high = rng.uniform(1.2, 2.0), rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2)
    thick = rng.uniform(0.05, 0.09)
    feet = [(x * 0.45 * long, y * 0.45 * wide, 0) for x in (-1, 1) for y in (-1, 1)]
    legs = [("leg", *tube(thick, thick, 0, high, at)) for at in feet]
    return [("top", *box(long, wide, 0.1, (0, 0, high + 0.05))), *legs]


def lamp(rng):
    high, wide = rng.uniform(1.2, 1.8), rng.uniform(0.35, 0.5)
    shade = rng.uniform(0.4, 0.55)
    return [
        ("base", *disc(wide, (0, 0, 0))),
        ("base", *tube(wide, wide, 0, 0.08)),
        ("pole", *tube(0.05, 0.05, 0.08, high)),
        ("shade", *tube(shade, 0.5 * shade, high - 0.1, high + rng.uniform(0.4, 0.6))),
    ]


def mug(rng):
    wide, high = rng.uniform(0.4, 0.6), rng.uniform(0.9, 1.3)
    return [
        ("body", *tube(wide, wide, 0, high)),
        ("body", *disc(wide, (0, 0, 0))),
        ("handle", *bow(rng.uniform(0.25, 0.35), 0.06, (wide, 0, high / 2))),
    ]


def rocket(rng):
    wide, high = rng.uniform(0.22, 0.32), rng.uniform(1.3, 1.9)
    fins = [("fin", *plate(wide, rng.uniform(0.3, 0.45), 0.5, angle)) for angle in np.arange(3) * 2 * np.pi / 3]
    return [
        ("hull", *tube(wide, wide, 0, high)),
        ("nose", *tube(wide, 0, high, high + rng.uniform(0.4, 0.6))),
        *fins,
    ]


THINGS = (table, lamp, mug, rocket)


# Surfaces: (area, a function of a generator and a number of points that draws these, (n, 3))


def tube(below, above, low, high, at=(0, 0, 0)):
    """The side of a cylinder or of a part of a cone, between two heights and their radii."""
    slant = np.hypot(high - low, below - above)

    def draw(rng, count):
        # The ring at a height is as long as its radius: the part t has the density of below + t (above - below)
        t = rng.random(count)
        if below != above:
            t = (below - np.sqrt(below**2 + t * (above**2 - below**2))) / (below - above)
        angle, radius = rng.uniform(0, 2 * np.pi, count), below + t * (above - below)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle), low + t * (high - low)], axis=1) + at

    return np.pi * (below + above) * slant, draw


def disc(radius, at):
    def draw(rng, count):
        angle, out = rng.uniform(0, 2 * np.pi, count), radius * np.sqrt(rng.random(count))
        return np.stack([out * np.cos(angle), out * np.sin(angle), 0 * out], axis=1) + at

    return np.pi * radius**2, draw


def box(long, wide, high, at):
    sides = np.array([long, wide, high])
    areas = np.array([wide * high, long * high, long * wide])

    def draw(rng, count):
        points = rng.uniform(-1, 1, (count, 3))
        axis = rng.choice(3, count, p=areas / areas.sum())
        points[np.arange(count), axis] = rng.choice([-1.0, 1.0], count)
        return points * sides / 2 + at

    return 2 * areas.sum(), draw


def bow(radius, thick, at):
    """Half of a torus, upright, that stands out along x."""

    def draw(rng, count):
        along, around = rng.uniform(-np.pi / 2, np.pi / 2, count), rng.uniform(0, 2 * np.pi, count)
        out = radius + thick * np.cos(around)
        return np.stack([out * np.cos(along), thick * np.sin(around), out * np.sin(along)], axis=1) + at

    return 2 * np.pi**2 * radius * thick, draw


def plate(start, long, high, angle):
    """An upright rectangle that begins at the distance `start` from the axis."""

    def draw(rng, count):
        out, up = start + long * rng.random(count), high * rng.random(count)
        return np.stack([out * np.cos(angle), out * np.sin(angle), up], axis=1)

    return 2 * long * high, draw  # both sides
