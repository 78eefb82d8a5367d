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
