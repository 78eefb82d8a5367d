"""RoIAlign against a loop over samples; levels of a pyramid; gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops.roi_align import levels_of, roi_align

STRIDES = (4, 8)


def plain(map_, box, stride, bins, samples):
    """One box on one map (H, W, C), sample by sample."""
    height, width, channels = map_.shape
    x1, y1, x2, y2 = np.asarray(box, "float64") / stride
    h, w = max(y2 - y1, 1.0) / bins, max(x2 - x1, 1.0) / bins
    out = np.zeros((bins, bins, channels))
    for i, j, a, b in np.ndindex(bins, bins, samples, samples):
        y = np.clip(y1 + h * (i + (a + 0.5) / samples), 0, height - 1)
        x = np.clip(x1 + w * (j + (b + 0.5) / samples), 0, width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        above = map_[top, left] * (1 - x + left) + map_[top, right] * (x - left)
        below = map_[bottom, left] * (1 - x + left) + map_[bottom, right] * (x - left)
        out[i, j] += (above * (1 - y + top) + below * (y - top)) / samples**2
    return out


def scene(boxes=6):
    """Maps of two strides and boxes, of which some leave the picture (50, 70) or are thinner than a cell."""
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(2, -(-50 // s), -(-70 // s), 3)).astype("float32") for s in STRIDES]
    low = rng.uniform(-5, 40, (2, boxes, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.5, 40, (2, boxes, 2))], -1).astype("float32")
    boxes[0, 0] = [60, 45, 90, 80]
    return maps, boxes


@pytest.mark.parametrize("bins, samples", [(7, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("level", [0, 1])
def test_bins_are_means_of_samples(bins, samples, level):
    maps, boxes = scene()
    found = np.array(roi_align([maps[level]], boxes, STRIDES[level : level + 1], bins=bins, samples=samples))
    assert found.shape == (2, 6, bins, bins, 3)
    for picture, row in np.ndindex(2, 6):
        expected = plain(maps[level][picture], boxes[picture, row], STRIDES[level], bins, samples)
        np.testing.assert_allclose(found[picture, row], expected, atol=1e-5)


def test_each_box_is_read_at_its_level():
    assert np.array(levels_of(np.array([[0, 0, 112, 112], [0, 0, 111, 111], [0, 0, 224, 448]]), 2, 5)).tolist() == [
        3,
        2,
        4,
    ]
    assert np.array(levels_of(np.array([[0.0, 0, 1, 1], [0, 0, 9999, 9999], [3, 3, 3, 3]]), 2, 5)).tolist() == [2, 5, 2]
    maps, boxes = scene()
    boxes[1, 2] = [0, 0, 150, 110]
    found = np.array(roi_align(maps, boxes, STRIDES, bins=3))
    level = np.array(levels_of(boxes, 2, 3)) - 2
    assert set(level.ravel()) == {0, 1}
    for picture, row in np.ndindex(2, 6):
        n = level[picture, row]
        expected = plain(maps[n][picture], boxes[picture, row], STRIDES[n], 3, 2)
        np.testing.assert_allclose(found[picture, row], expected, atol=1e-5)


def test_gradient_reaches_the_points_under_a_box_and_no_others():
    maps, _ = scene()
    variable = tf.Variable(maps[0])
    boxes = np.array([[[8, 8, 24, 16]], [[4, 4, 8, 8]]], "float32")
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(roi_align([variable], boxes, (4,), bins=2))
    gradient = np.array(tf.convert_to_tensor(tape.gradient(total, variable)))
    assert gradient.sum() == pytest.approx(2 * 4 * 3, rel=1e-5)  # weights of every bin add up to 1
    ys, xs = np.nonzero(gradient[0, ..., 0])
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (2, 4, 2, 6)


def test_linear_map_gives_its_value_in_the_middle_of_each_bin():
    y, x = np.mgrid[:12, :12].astype("float32")
    found = np.array(roi_align([np.stack([y, x], -1)[None]], np.array([[[8, 16, 24, 40]]], "float32"), (4,), bins=2))
    np.testing.assert_allclose(found[0, 0, :, 0, 0], [5.5, 8.5], atol=1e-5)
    np.testing.assert_allclose(found[0, 0, 0, :, 1], [3.0, 5.0], atol=1e-5)


def test_strides_that_are_no_pyramid_are_refused():
    maps, boxes = scene()
    with pytest.raises(ValueError, match=r"There are 2 maps and the strides \(4, 16\); give one each, doubling"):
        roi_align(maps, boxes, (4, 16))
