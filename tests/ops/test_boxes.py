"""Boxes: formats invert each other, overlaps are those of the papers and stay finite, codes decode to their boxes."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfdl.ops import boxes as ours

corners = hnp.arrays("float32", (5, 4), elements=st.floats(-50, 50, width=32))
EVERY = [prefix + name for prefix in ("", "rel_") for name in ours.FORMATS]


def random_boxes(*shape, seed=0, size=100):
    """(..., 4) xyxy with an area."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.7 * size, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(0.02 * size, 0.3 * size, (*shape, 2))], -1).astype("float32")


def plain_overlap(a, b, kind):
    """One pair, as the papers write it."""
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    union = area_a + area_b - w * h
    iou = w * h / union
    if kind == "iou":
        return iou
    c_w, c_h = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    if kind == "giou":
        return iou - (c_w * c_h - union) / (c_w * c_h)
    d = ((a[0] + a[2]) / 2 - (b[0] + b[2]) / 2) ** 2 + ((a[1] + a[3]) / 2 - (b[1] + b[3]) / 2) ** 2
    diou = iou - d / (c_w**2 + c_h**2)
    if kind == "diou":
        return diou
    v = 4 / math.pi**2 * (math.atan((a[2] - a[0]) / (a[3] - a[1])) - math.atan((b[2] - b[0]) / (b[3] - b[1]))) ** 2
    return diou - v * v / (1 - iou + v)


@pytest.mark.parametrize("source", EVERY)
@pytest.mark.parametrize("target", EVERY)
def test_formats_invert_each_other(source, target):
    boxes = random_boxes(3, 2)
    there = ours.convert(boxes, source, target, image_shape=(40, 80, 3))
    np.testing.assert_allclose(
        ours.convert(there, target, source, image_shape=(40, 80, 3)), boxes, rtol=1e-4, atol=1e-4
    )


def test_formats_are_what_their_users_mean_by_them():
    box = np.array([[10.0, 20.0, 30.0, 60.0]], "float32")
    expected = {
        "yxyx": [20, 10, 60, 30],
        "xywh": [10, 20, 20, 40],
        "cxcywh": [20, 40, 20, 40],
        "rel_yxyx": [0.2, 0.05, 0.6, 0.15],
        "rel_cxcywh": [0.1, 0.4, 0.1, 0.4],
    }
    for name, numbers in expected.items():
        np.testing.assert_allclose(ours.convert(box, "xyxy", name, image_shape=(100, 200))[0], numbers, rtol=1e-6)


def test_formats_and_iou_are_those_of_keras_cv():
    from keras_cv import bounding_box  # takes seconds to import

    a, b, shape = random_boxes(2, 4), random_boxes(2, 3, seed=1), (2, 40, 80, 3)
    names = {"yxyx": "yxyx", "xywh": "xywh", "cxcywh": "center_xywh", "rel_xyxy": "rel_xyxy", "rel_yxyx": "rel_yxyx"}
    for name, theirs in names.items():
        expected = bounding_box.convert_format(a, source="xyxy", target=theirs, image_shape=shape[1:])
        np.testing.assert_allclose(ours.convert(a, "xyxy", name, image_shape=shape[1:]), expected, rtol=1e-5, atol=1e-5)
    expected = bounding_box.compute_iou(a, b, bounding_box_format="xyxy")
    np.testing.assert_allclose(ours.pairwise_iou(a, b), expected, atol=1e-6)


def test_format_and_size_are_checked():
    with pytest.raises(ValueError, match="no box format 'xxyy'; choose one of xyxy"):
        ours.convert(np.zeros((1, 4)), "xyxy", "xxyy")
    with pytest.raises(ValueError, match="from xywh to rel_xyxy; give the image_shape"):
        ours.convert(np.zeros((1, 4)), "xywh", "rel_xyxy")
    with pytest.raises(ValueError, match="no overlap 'eiou'"):
        ours.overlap(np.zeros((1, 4)), np.zeros((1, 4)), "eiou")


@pytest.mark.parametrize("kind", ours.OVERLAPS)
def test_overlap_is_that_of_the_papers(kind):
    a, b = random_boxes(40), random_boxes(40, seed=1)
    expected = [plain_overlap(*pair, kind) for pair in zip(a.astype("float64"), b.astype("float64"))]
    np.testing.assert_allclose(ours.overlap(a, b, kind), expected, atol=2e-6)
    assert np.std(expected) > 0.05


def test_pairs_of_all_boxes_with_all():
    a, b = random_boxes(2, 5), random_boxes(2, 3, seed=1)
    found = np.array(ours.pairwise_iou(a, b))
    assert found.shape == (2, 5, 3)
    np.testing.assert_allclose(found[1, 4, 2], plain_overlap(a[1, 4], b[1, 2], "iou"), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(corners, corners)
def test_overlaps_of_any_corners_are_finite_symmetric_and_in_range(a, b):
    low = {"iou": 0, "giou": -1, "diou": -1, "ciou": -2}
    a, b = (np.concatenate([np.minimum(x[:, :2], x[:, 2:]), np.maximum(x[:, :2], x[:, 2:])], -1) for x in (a, b))
    for kind in ours.OVERLAPS:
        there, back = np.array(ours.overlap(a, b, kind)), np.array(ours.overlap(b, a, kind))
        assert np.isfinite(there).all()
        assert (there >= low[kind] - 1e-5).all() and (there <= 1 + 1e-5).all()
        np.testing.assert_allclose(there, back, atol=1e-5)


@pytest.mark.parametrize("kind", ours.OVERLAPS)
def test_gradients_of_degenerate_boxes_are_finite(kind):
    point, line, box = [3.0, 3.0, 3.0, 3.0], [1.0, 5.0, 9.0, 5.0], [0.0, 0.0, 4.0, 6.0]
    turned, far = [5.0, 5.0, 2.0, 2.0], [90.0, 90.0, 95.0, 99.0]
    every = np.array([point, line, box, turned, far], "float32")
    a, b = tf.Variable(np.repeat(every, 5, 0)), tf.Variable(np.tile(every, (5, 1)))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(ours.overlap(a, b, kind))
    for gradient in tape.gradient(total, [a, b]):
        assert np.isfinite(gradient).all()


def test_equal_boxes_overlap_fully_and_only_the_others_have_a_gradient_from_afar():
    box = random_boxes(4)
    for kind in ours.OVERLAPS:
        np.testing.assert_allclose(ours.overlap(box, box, kind), 1, atol=1e-5)
    far = tf.Variable(box + 500)
    for kind in ours.OVERLAPS:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(ours.overlap(far, box, kind))
        gradient = tape.gradient(total, far)
        assert (np.abs(gradient).max() > 0) == (kind != "iou")


@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.1, 0.2)])
def test_offsets_decode_to_the_boxes_they_encode(scales):
    boxes, anchors = random_boxes(30), random_boxes(30, seed=3)
    offsets = ours.encode(boxes, anchors, scales)
    np.testing.assert_allclose(ours.decode(offsets, anchors, scales), boxes, atol=1e-3)
    assert np.isfinite(np.array(ours.decode(np.full((1, 4), 1e4, "float32"), anchors[:1]))).all()


def test_offsets_are_eq_2_of_faster_rcnn():
    box = np.array([[10.0, 20.0, 50.0, 40.0]], "float32")  # its center is (30, 30)
    anchor = np.array([[0.0, 0.0, 20.0, 10.0]], "float32")  # (10, 5)
    expected = [20 / 20, 25 / 10, math.log(2), math.log(2)]
    np.testing.assert_allclose(ours.encode(box, anchor)[0], expected, rtol=1e-6)


def test_distances_decode_to_their_boxes_and_tell_what_is_inside():
    boxes, points = random_boxes(20), np.random.default_rng(5).uniform(0, 100, (20, 2)).astype("float32")
    distances = np.array(ours.to_distances(boxes, points))
    np.testing.assert_allclose(ours.from_distances(distances, points), boxes, atol=1e-4)
    inside = (points > boxes[:, :2]).all(-1) & (points < boxes[:, 2:]).all(-1)
    np.testing.assert_array_equal((distances > 0).all(-1), inside)


def test_clipped_boxes_lie_in_the_image():
    clipped = ours.clip(np.array([[-5.0, 3.0, 300.0, 90.0]], "float32"), (80, 200, 3))
    np.testing.assert_array_equal(clipped, [[0, 3, 200, 80]])


def test_grid_points_are_centers_of_cells():
    points, strides = ours.grid_points((16, 24), (8, 16))
    np.testing.assert_array_equal(points[:3], [[4, 4], [12, 4], [20, 4]])
    np.testing.assert_array_equal(points[6:], [[8, 8], [24, 8]])
    np.testing.assert_array_equal(strides[:, 0], [8] * 6 + [16] * 2)


def test_areas_of_turned_boxes_are_zero():
    assert float(ours.area(keras.ops.convert_to_tensor([5.0, 5.0, 2.0, 9.0]))) == 0
