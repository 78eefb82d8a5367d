"""Things of parts: every point on its part, all parts there, and a cloud a function of its number."""

import numpy as np

from tfdl.core import batches
from tfdl.data.joined_solids import NOISE, PARTS, POINTS, THINGS, box, mug, thing, tube
from tfdl.data.points import load


def test_things_have_their_parts():
    expected = [{"top", "leg"}, {"base", "pole", "shade"}, {"body", "handle"}, {"hull", "nose", "fin"}]
    for build, parts in zip(THINGS, expected):
        points, numbers = thing(np.random.default_rng(0), build)
        assert points.shape == (POINTS, 3) and {PARTS[number] for number in numbers} == parts
        assert (np.bincount(numbers)[np.unique(numbers)] >= 5).all()


def test_points_lie_on_their_parts():
    points, numbers = thing(np.random.default_rng(3), mug)
    body = points[numbers == PARTS.index("body")]
    radius = np.hypot(*body[:, :2].T)
    on_side = np.abs(radius - np.median(radius)) < 5 * NOISE
    assert (on_side | (np.abs(body[:, 2]) < 5 * NOISE)).all() and on_side.mean() > 0.5
    handle = points[numbers == PARTS.index("handle")]
    assert np.hypot(*handle[:, :2].T).min() > np.median(radius) - 0.1


def test_surfaces_are_even():
    """Of a cone half of the points lie below the height that halves its area, of a box each side has its share."""
    area, draw = tube(1.0, 0.0, 0.0, 1.0)
    points = draw(np.random.default_rng(0), 20_000)
    np.testing.assert_allclose(area, np.pi * np.sqrt(2))
    np.testing.assert_allclose(np.hypot(*points[:, :2].T), 1 - points[:, 2], atol=1e-9)
    assert abs((points[:, 2] < 1 - np.sqrt(0.5)).mean() - 0.5) < 0.02
    area, draw = box(1, 2, 3, (0, 0, 0))
    points = draw(np.random.default_rng(0), 20_000)
    assert area == 22 and abs((np.abs(points[:, 2]) == 1.5).mean() - 4 / 22) < 0.02


def test_batches_keep_the_contract():
    data = load("joined", points=40, batch_size=3, limit=7)
    for split in (data.train, data.validation, data.test):
        for points, labels in split:
            batches.check("point_segmentation", points, labels)
            np.testing.assert_allclose(np.linalg.norm(points, axis=-1).max(1), 1, rtol=1e-5)
    assert data.per_point and data.task.kind == "point_segmentation" and data.labels == PARTS
    assert data.class_counts["train"].sum() == 7 * 40
    first, again = (load("joined", points=40, limit=4) for _ in range(2))
    np.testing.assert_array_equal(next(iter(first.test))[0], next(iter(again.test))[0])
