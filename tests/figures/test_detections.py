"""Pictures with boxes have the boxes, and curves their classes."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from tfdl.figures.detections import detected_picture, detection_grid, precision_recall
from tfdl.figures.style import png

IMAGES = np.random.default_rng(0).random((2, 40, 60, 3))
FOUND = {
    "boxes": np.array([[[5, 5, 20, 30], [1, 1, 9, 9]], [[0, 0, 0, 0], [0, 0, 0, 0]]], "float32"),
    "scores": np.array([[0.9, 0.1], [0.0, 0.0]]),
    "labels": np.array([[1, 0], [-1, -1]]),
}


def frames(axes):
    return [patch.get_bbox().extents.tolist() for patch in axes.patches if isinstance(patch, Rectangle)]


def test_grid_has_the_sure_boxes_and_the_true_ones():
    truth = {"boxes": FOUND["boxes"][:, :1] + 1, "labels": np.array([[0], [-1]])}
    figure = detection_grid(IMAGES, FOUND, ["cat", "$dog$"], truth=truth, title="two")
    first, second = figure.axes
    assert frames(first) == [[6, 6, 21, 31], [5, 5, 20, 30]] and frames(second) == []
    assert [text.get_text() for text in first.texts] == [r"\$dog\$ 90%"]
    assert len(png(figure)) > 1000


def test_picture_scales_boxes_to_inches():
    figure = detected_picture(IMAGES[0], [[0, 0, 60, 40]], ["cat 50%"], [0])
    (box,) = [b for b in frames(figure.axes[0]) if b[2] - b[0] > 1]
    np.testing.assert_allclose(box, [0, 0, 5, 5 * 40 / 60])
    assert len(png(detected_picture(IMAGES[0], [], [], []))) > 1000


def test_curves_have_a_line_and_the_mean_for_each_class():
    recall = np.linspace(0, 1, 101)
    figure = precision_recall({"cat": (recall, 1 - recall), "dog": (recall, recall * 0)}, title="both")
    assert [line.get_label() for line in figure.axes[0].lines] == ["cat  0.500", "dog  0.000"]
    with pytest.raises(ValueError, match="no curves"):
        precision_recall({})


def test_masks_have_the_colors_of_their_classes():
    masks = np.zeros((2, 2, 40, 60), "float32")
    masks[0, 0, 10:20, 5:15] = 0.9
    masks[0, 1, :, :] = 0.9  # of a detection that is not shown
    (first, second) = detection_grid(IMAGES, {**FOUND, "masks": masks}, ["cat", "dog"]).axes
    drawn = first.images[0].get_array()
    orange = np.array([213, 94, 0]) / 255
    np.testing.assert_allclose(drawn[12, 7], (IMAGES[0][12, 7] + orange) / 2, atol=0.01)
    np.testing.assert_allclose(drawn[25:], IMAGES[0][25:], atol=1e-6)
    np.testing.assert_allclose(second.images[0].get_array(), IMAGES[1], atol=1e-6)
    gray = (IMAGES[0][..., :1] * 255).astype("uint8")
    figure = detected_picture(gray, FOUND["boxes"][0], ["a", "b"], [1, 0], masks[0])
    inside = figure.axes[0].images[0].get_array()[12, 7]
    np.testing.assert_allclose(inside, (gray[12, 7] / 255 + orange) / 2, atol=0.02)
