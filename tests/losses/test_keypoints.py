"""Losses of key points are those of plain loops, nothing hidden counts, and the right answer has no loss."""

import numpy as np
import pytest

from tfdl.losses.keypoints import coordinate_terms, heatmap_terms, offset_terms, visibility_terms
from tfdl.ops.heatmaps import encode

SIZE, STRIDE = (5, 7), 4


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    visible = np.array([[1, 0, 1], [1, 1, 0]])[..., None]
    return np.concatenate([rng.uniform(0, (28, 20), (2, 3, 2)), visible], -1).astype("float32")


def test_heat_maps(points):
    maps = np.random.default_rng(1).random((2, *SIZE, 3)).astype("float32")
    total, number = heatmap_terms(maps, points, stride=STRIDE, sigma=1.5)
    target = np.array(encode(points, SIZE, stride=STRIDE, sigma=1.5))
    expected = sum(
        ((maps[b, ..., k] - target[b, ..., k]) ** 2).mean() for b in range(2) for k in range(3) if points[b, k, 2]
    )
    assert float(total) == pytest.approx(expected, rel=1e-5) and float(number) == 4
    assert float(heatmap_terms(target, points, stride=STRIDE, sigma=1.5)[0]) == 0


def test_offsets(points):
    offsets = np.random.default_rng(1).normal(size=(2, *SIZE, 6)).astype("float32")
    total, count = 0.0, 0
    right = np.zeros_like(offsets)
    for b in range(2):
        for k in range(3):
            u, v = points[b, k, :2] / STRIDE - 0.5
            for j in range(SIZE[0]):
                for i in range(SIZE[1]):
                    right[b, j, i, [k, 3 + k]] = u - i, v - j
                    if points[b, k, 2] and np.hypot(u - i, v - j) < 2:
                        total += (abs(offsets[b, j, i, k] - u + i) + abs(offsets[b, j, i, 3 + k] - v + j)) / 2
                        count += 1
    found = offset_terms(offsets, points, stride=STRIDE, radius=2)
    assert float(found[0]) == pytest.approx(total, rel=1e-4) and float(found[1]) == count > 10
    assert float(offset_terms(right, points, stride=STRIDE, radius=2)[0]) == pytest.approx(0, abs=1e-4)


def test_coordinates(points):
    found = points[..., :2] + [[[7, 5]]]
    total, number = coordinate_terms(found.astype("float32"), points, (20, 28))
    assert float(total) == pytest.approx(4 * (7 / 28 + 5 / 20)) and float(number) == 4
    far = np.where(points[..., 2:] > 0, points[..., :2], 1e6).astype("float32")
    assert float(coordinate_terms(far, points, (20, 28))[0]) == 0


def test_visibility(points):
    logits = np.random.default_rng(1).normal(size=(2, 3)).astype("float32")
    p = 1 / (1 + np.exp(-logits))
    expected = -np.where(points[..., 2] > 0, np.log(p), np.log(1 - p)).sum()
    total, number = visibility_terms(logits, points)
    assert float(total) == pytest.approx(expected, rel=1e-5) and float(number) == 6
