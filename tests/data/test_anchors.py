"""Anchors have the sizes of the boxes that they come from."""

import numpy as np
import pytest

from tfdl.data.anchors import anchors_of, clusters, shape_iou
from tfdl.data.detection import load
from tfdl.ops.boxes import overlap


def test_overlap_of_shapes_is_that_of_boxes_with_one_corner():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(5, 50, (4, 2)), rng.uniform(5, 50, (3, 2))
    boxes = [np.concatenate([0 * x, x], -1).astype("float32") for x in (a, b)]
    expected = np.array(overlap(boxes[0][:, None], boxes[1][None]))
    np.testing.assert_allclose(shape_iou(a, b), expected, rtol=1e-5)


def test_clusters_are_found_and_sorted():
    rng = np.random.default_rng(1)
    true = np.array([[5, 9], [20, 12], [40, 80]])
    sizes = np.concatenate([mean * rng.uniform(0.9, 1.1, (40, 2)) for mean in true])
    np.testing.assert_allclose(clusters(rng.permutation(sizes), 3), true, rtol=0.05)


def test_more_clusters_explain_more_and_do_not_depend_on_the_order():
    sizes = np.random.default_rng(2).uniform(5, 100, (300, 2))
    fits = [shape_iou(sizes, clusters(sizes, count)).max(1).mean() for count in (1, 3, 9)]
    assert fits[0] < fits[1] < fits[2] and fits[2] > 0.7
    np.testing.assert_allclose(clusters(sizes, 5), clusters(sizes[::-1], 5))


def test_anchors_of_a_data_set_are_three_for_each_map():
    data = load("shapes", image_size=64, batch_size=4, limit=30)
    anchors = anchors_of(data)
    assert np.shape(anchors) == (3, 3, 2)
    areas = np.prod(anchors, -1).ravel()
    assert (np.diff(areas) >= 0).all() and areas[0] >= 9 and areas[-1] <= 64 * 64
    with pytest.raises(ValueError, match="boxes for 3000 anchors"):
        anchors_of(data, each=1000)
