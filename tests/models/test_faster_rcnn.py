"""Faster and Mask R-CNN: counts as published, anchors, proposals against a plain suppression, what is found, files."""

import keras
import numpy as np
import pytest

from tests.harness import images_of, outline
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.detection.faster_rcnn import (
    FasterRCNNConfig,
    Proposals,
    anchors_of,
    detections_of,
    faster_rcnn,
)
from tfdl.models.detection.mask_rcnn import mask_rcnn
from tfdl.ops.boxes import decode, pairwise_iou

# Of torchvision, whose 91 classes have "no object" among them
COUNTS = {faster_rcnn: 41_755_286, mask_rcnn: 44_401_393}
SHAPE = (64, 96, 3)


def count(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


@pytest.mark.parametrize("build", COUNTS, ids=lambda build: build.__name__)
def test_counts_are_the_published_ones(build):
    model = outline(build, "r50_fpn", image_shape=(320, 320, 3))
    in_norms = count(w for n in model.layers if isinstance(n, keras.layers.BatchNormalization) for w in n.weights)
    assert count(model.weights) - in_norms == COUNTS[build]
    assert count(model.weights) - in_norms - count(model.trainable_weights) == 222_400  # the stem and the first stage


@pytest.fixture(scope="module")
def nano():
    keras.utils.set_random_seed(0)
    return mask_rcnn("nano", image_shape=SHAPE, num_classes=3)


def test_outputs_are_those_of_anchors_proposals_and_detections(nano):
    anchors = 3 * sum(-(-64 // s) * -(-96 // s) for s in (4, 8, 16, 32, 64))
    assert {name: x.shape[1:] for name, x in nano.output.items()} == {
        "objectness": (anchors,),
        "anchor_offsets": (anchors, 4),
        "proposals": (12, 4),
        "logits": (12, 4),
        "box_offsets": (12, 4, 4),
        "found_boxes": (100, 4),
        "found_scores": (100,),
        "found_labels": (100,),
        "masks": (100, 28, 28),
        "found_masks": (100, 64, 96),
    }


def test_without_classes_there_is_the_pyramid():
    maps = outline(faster_rcnn, "nano", image_shape=SHAPE, num_classes=None).output
    assert {name: x.shape[1:] for name, x in maps.items()} == {
        f"stride{s}": (-(-64 // s), -(-96 // s), 8) for s in (4, 8, 16, 32, 64)
    }


def test_anchors_have_their_size_and_stand_at_their_cells():
    anchors = anchors_of((32, 64), ((4, 8), (2, 4)), (16, 32))
    assert anchors.shape == (3 * (32 + 8), 4)
    x1, y1, x2, y2 = anchors.reshape(-1, 3, 4)[8 + 2].T  # of the second row, the third cell, one for each ratio
    np.testing.assert_array_equal([(x1 + x2) / 2, (y1 + y2) / 2], [[16] * 3, [8] * 3])
    np.testing.assert_allclose((y2 - y1) / (x2 - x1), [0.5, 1, 2], rtol=0.1)
    np.testing.assert_allclose((y2 - y1) * (x2 - x1), 16**2, rtol=0.1)


def plain_proposals(layer, objectness, offsets):
    """One picture, box by box."""
    boxes = np.array(decode(offsets, layer.anchors))
    height, width = layer.image_shape
    boxes = np.clip(boxes, 0, [width, height, width, height])
    iou = np.array(pairwise_iou(boxes, boxes))
    kept, start = [], 0
    for size in layer.level_sizes:
        order = start + np.argsort(-objectness[start : start + size])[: layer.candidates]
        start += size
        level = []
        for i in order:
            if (boxes[i, 2:] - boxes[i, :2]).min() < 1e-3:
                continue
            if all(iou[i, j] <= layer.iou_threshold for j in level):
                level.append(i)
        kept += level
    kept = sorted(kept, key=lambda i: -objectness[i])[: layer.count]
    return boxes[kept]


@pytest.mark.parametrize("count", [15, 90])
def test_proposals_are_the_best_boxes_of_each_level_that_do_not_overlap(count):
    rng = np.random.default_rng(0)
    layer = Proposals((32, 64), ((4, 8), (2, 4)), (16, 32), 30, count, 0.5)
    objectness = rng.normal(size=(2, 120)).astype("float32")
    offsets = rng.normal(0, 0.3, (2, 120, 4)).astype("float32")
    found = np.array(layer(objectness, offsets))
    assert found.shape == (2, count, 4)
    for picture in range(2):
        expected = plain_proposals(layer, objectness[picture], offsets[picture])
        np.testing.assert_allclose(found[picture, : len(expected)], expected, atol=1e-4)
        assert not found[picture, len(expected) :].any()
        assert (len(expected) == 15) == (count == 15)


def test_found_are_pairs_of_box_and_class_and_classes_leave_each_other_alone():
    proposals = np.array([[[10, 10, 30, 40], [11, 10, 30, 40], [0, 0, 0, 0]]], "float32")  # the last is padding
    logits = np.full((1, 3, 3), -9.0, "float32")
    logits[0, 0, 1], logits[0, 1, 1], logits[0, 1, 2], logits[0, 2, 2] = 5.0, 4.0, 4.0, 20.0
    offsets = np.zeros((1, 3, 3, 4), "float32")
    offsets[0, 1, 2] = [0.5, 0, 0, 0]  # a twentieth of its width to the right
    found = {name: np.array(x)[0] for name, x in detections_of(logits, offsets, proposals, (50, 60), count=4).items()}
    assert found["labels"].tolist() == [0, 1, -1, -1]  # the second of class 0 is suppressed, padding is never found
    np.testing.assert_allclose(found["boxes"][:2], [[10, 10, 30, 40], [11.95, 10, 30.95, 40]], atol=1e-4)
    np.testing.assert_allclose(found["scores"][:2], [1.0, 0.5], atol=1e-4)


def test_saved_model_is_the_same(nano, tmp_path):
    images = images_of(2, *SHAPE)
    nano.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)(images)
    for name, expected in nano(images).items():
        np.testing.assert_allclose(loaded[name], expected, atol=1e-4)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"image_shape is \(100, 64, 3\); faster_rcnn needs .* multiples of 32"):
        faster_rcnn("nano", image_shape=(100, 64, 3))
    with pytest.raises(ValueError, match="positive sizes and five anchors"):
        FasterRCNNConfig(backbone=RESNETS["nano"], anchors=(32.0,))
