"""Boxes in space: overlaps against polygons cut by hand, eq. 1 and its inverse, and suppression of turned boxes."""

import math

import numpy as np
import pytest

from tfdl.ops.boxes_3d import (
    contains,
    corners,
    decode,
    encode,
    ground_corners,
    half_turn,
    overlaps,
    pairwise_bev_iou,
    shared_ground,
)
from tfdl.ops.suppression import non_max_suppression


def boxes_of(count, seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    place = rng.normal(0, spread, (count, 3)) * [1, 1, 0.3]
    return np.concatenate([place, rng.uniform(0.5, 5, (count, 3)), rng.uniform(-7, 7, (count, 1))], 1).astype("float32")


def polygon(box):
    """Corners of a rectangle in float64, counterclockwise."""
    x, y, _, length, width, _, yaw = map(float, box)
    turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    return [turn @ [a * length / 2, b * width / 2] + [x, y] for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]


def cut(subject, window):
    """Sutherland and Hodgman's algorithm: the part of a polygon inside of another convex one."""
    for a, b in zip(window, [*window[1:], window[0]]):
        side = [float((b - a)[0] * (p - a)[1] - (b - a)[1] * (p - a)[0]) for p in subject]
        left = []
        for i, point in enumerate(subject):
            after = (i + 1) % len(subject)
            if side[i] >= 0:
                left.append(point)
            if side[i] * side[after] < 0:
                left.append(point + (subject[after] - point) * side[i] / (side[i] - side[after]))
        subject = left
    return subject


def area_of(points):
    return sum(p[0] * q[1] - p[1] * q[0] for p, q in zip(points, [*points[1:], *points[:1]])) / 2


def reference(first, second):
    """IoU from above and of volumes, in float64."""
    ground = area_of(cut(polygon(first), polygon(second)))
    (_, _, z1, l1, w1, h1, _), (_, _, z2, l2, w2, h2, _) = first.astype("float64"), second.astype("float64")
    height = max(0.0, min(z1 + h1 / 2, z2 + h2 / 2) - max(z1 - h1 / 2, z2 - h2 / 2))
    volume = ground * height
    return ground / (l1 * w1 + l2 * w2 - ground), volume / (l1 * w1 * h1 + l2 * w2 * h2 - volume)


def test_overlaps_are_those_of_polygons_cut_by_hand():
    first, second = boxes_of(300, spread=1.5), boxes_of(300, seed=1, spread=1.5)
    expected = np.array([reference(a, b) for a, b in zip(first, second)])
    bev, volume = overlaps(first, second)
    np.testing.assert_allclose(bev, expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(volume, expected[:, 1], atol=1e-5)
    assert (expected[:, 0] > 0.05).sum() > 50 and (expected[:, 0] == 0).sum() > 20


def test_boxes_that_are_nearly_equal_share_nearly_everything():
    """Common sides and rounding: where cutting at sides would count an edge twice, or not at all."""
    rng = np.random.default_rng(0)
    boxes = boxes_of(200, seed=2, spread=30)
    for noise in (0.0, 1e-7, 1e-5, 1e-4):
        near = (boxes + rng.normal(0, noise, boxes.shape)).astype("float32")
        bev, volume = overlaps(boxes, near)
        assert np.min(bev) > 1 - 1e-3 - 20 * noise and np.max(bev) < 1 + 1e-4
        assert np.min(volume) > 1 - 1e-3 - 20 * noise
    turned = boxes + np.array([0, 0, 0, 0, 0, 0, math.pi], "float32")
    np.testing.assert_allclose(overlaps(boxes, turned)[0], 1, atol=1e-4)


def test_known_overlaps():
    unit = np.array([0, 0, 0, 2, 2, 2, 0], "float32")
    beside, above, within = (
        unit + np.array(move, "float32") for move in ([2, 0, 0], [0, 0, 2], [0, 0, 1]) for move in [move + [0] * 4]
    )
    flat = unit * np.array([1, 1, 1, 0, 1, 1, 1], "float32")
    octagon = unit + np.array([0] * 6 + [math.pi / 4], "float32")
    bev, volume = overlaps(unit, np.stack([unit, beside, above, within, flat, octagon]))
    shared = 8 * (math.sqrt(2) - 1)  # of a square of side 2 and itself turned by 45 degrees: a regular octagon
    np.testing.assert_allclose(bev, [1, 0, 1, 1, 0, shared / (8 - shared)], atol=1e-6)
    np.testing.assert_allclose(volume, [1, 0, 0, 1 / 3, 0, shared / (8 - shared)], atol=1e-6)


def test_pairs_are_all_pairs_and_the_order_does_not_matter():
    first, second = boxes_of(5), boxes_of(7, seed=1)
    pairs = np.array(pairwise_bev_iou(first, second))
    assert pairs.shape == (5, 7)
    np.testing.assert_allclose(pairs[2], overlaps(np.tile(first[2], (7, 1)), second)[0], atol=1e-6)
    np.testing.assert_allclose(pairs, np.array(pairwise_bev_iou(second, first)).T, atol=1e-5)


def test_corners_are_counterclockwise_and_half_a_size_away():
    boxes = boxes_of(9)
    ground = np.array(ground_corners(boxes))
    np.testing.assert_allclose([area_of(list(c)) for c in ground], boxes[:, 3] * boxes[:, 4], rtol=1e-4)
    eight = np.array(corners(boxes))
    assert eight.shape == (9, 8, 3)
    np.testing.assert_allclose(eight.mean(1), boxes[:, :3], atol=1e-5)
    np.testing.assert_allclose(np.ptp(eight[..., 2], axis=1), boxes[:, 5], rtol=1e-5)


def test_points_inside_are_found():
    boxes = boxes_of(6)
    inner = boxes[:, None, :3] + 0.98 * (np.array(corners(boxes)) - boxes[:, None, :3])
    outer = boxes[:, None, :3] + 1.02 * (np.array(corners(boxes)) - boxes[:, None, :3])
    for row in range(6):
        assert np.array(contains(boxes[row : row + 1], inner[row])).all()
        assert not np.array(contains(boxes[row : row + 1], outer[row])).any()


def test_offsets_are_eq_1_and_lead_back():
    boxes, anchors = boxes_of(40), boxes_of(40, seed=1)
    offsets = np.array(encode(boxes, anchors))
    d = np.hypot(anchors[:, 3], anchors[:, 4])
    np.testing.assert_allclose(offsets[:, 0], (boxes[:, 0] - anchors[:, 0]) / d, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(offsets[:, 2], (boxes[:, 2] - anchors[:, 2]) / anchors[:, 5], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(offsets[:, 3], np.log(boxes[:, 3] / anchors[:, 3]), rtol=1e-4, atol=1e-6)
    again = np.array(decode(offsets, anchors))
    np.testing.assert_allclose(again[:, :6], boxes[:, :6], atol=1e-4)
    np.testing.assert_allclose(half_turn(again[:, 6] - boxes[:, 6]), 0, atol=1e-4)
    assert (np.abs(offsets[:, 6]) <= math.pi / 2 + 1e-6).all()
    assert np.isfinite(np.array(decode(np.full((1, 7), 1e4, "float32"), anchors[:1]))).all()


def test_suppression_of_turned_boxes_is_the_loop_over_them():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([boxes_of(12), boxes_of(12) + rng.normal(0, 0.1, (12, 7))]).astype("float32")
    scores = rng.permutation(np.linspace(0.1, 1, 24)).astype("float32")
    found = non_max_suppression(
        boxes[None], scores[None, :, None], iou_threshold=0.2, max_detections=30, pairwise=pairwise_bev_iou
    )
    kept = []
    for place in np.argsort(-scores):
        if all(reference(boxes[place], boxes[other])[0] <= 0.2 for other in kept):
            kept.append(place)
    index = np.array(found["index"])[0]
    assert found["boxes"].shape == (1, 30, 7)
    assert index[index >= 0].tolist() == kept and 3 < len(kept) < 24
    assert (np.array(found["boxes"])[0, len(kept) :] == 0).all()


@pytest.mark.parametrize("far", [0.0, 70.0])
def test_small_areas_are_right_far_from_the_sensor(far):
    first, second = boxes_of(50, seed=3, spread=0.5), boxes_of(50, seed=4, spread=0.5)
    first[:, 0] += far
    second[:, 0] += far
    expected = [area_of(cut(polygon(a), polygon(b))) for a, b in zip(first, second)]
    np.testing.assert_allclose(shared_ground(first, second), expected, rtol=1e-4, atol=1e-4)
