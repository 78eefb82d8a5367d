"""Losses of two-stage detectors against loops and, where it is installed, torchvision; and what is drawn at random."""

import importlib

import numpy as np
import pytest

from tests.parity.references import torch, torchvision
from tfdl.core.draws import uniform
from tfdl.losses import two_stage
from tfdl.ops.boxes import encode, pairwise_iou


def scene(seed=0, anchors=40, objects=4):
    """Boxes of which some overlap much with objects, two pictures, of which the second has fewer objects."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (2, objects, 2))
    true_boxes = np.concatenate([low, low + rng.uniform(10, 30, (2, objects, 2))], -1).astype("float32")
    labels = rng.integers(0, 3, (2, objects)).astype("int32")
    labels[1, 2:], true_boxes[1, 2:] = -1, 0
    near = true_boxes.reshape(-1, 4)[rng.integers(0, 6, anchors // 2)] + rng.normal(0, 3, (anchors // 2, 4))
    low = rng.uniform(0, 70, (anchors // 2, 2))
    far = np.concatenate([low, low + rng.uniform(5, 40, (anchors // 2, 2))], -1)
    boxes = np.concatenate([near, far]).astype("float32")
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    return boxes, true_boxes, labels


def plain_match(boxes, true_boxes, labels, positive, negative, always):
    """One picture: -1 is ignored, 0 negative, 1 positive; and the object."""
    kinds, owners = np.full(len(boxes), -1), np.zeros(len(boxes), int)
    real = np.flatnonzero(labels >= 0)
    iou = np.array(pairwise_iou(boxes, true_boxes[real]))
    for a in range(len(boxes)):
        owners[a] = real[iou[a].argmax()]
        kinds[a] = 1 if iou[a].max() >= positive else 0 if iou[a].max() < negative else -1
        if always and any(iou[a, n] == iou[:, n].max() and iou[a, n] > 0 for n in range(len(real))):
            kinds[a] = 1
    return kinds, owners


@pytest.mark.parametrize("always", [True, False])
def test_anchors_are_matched_as_by_loops(always):
    boxes, true_boxes, labels = scene()
    options = dict(positive=0.7, negative=0.3, always=always)
    owner, is_positive, is_negative = (np.array(x) for x in two_stage.matched(boxes, true_boxes, labels, **options))
    for picture in range(2):
        kinds, owners = plain_match(boxes, true_boxes[picture], labels[picture], **options)
        np.testing.assert_array_equal(is_positive[picture], kinds == 1)
        np.testing.assert_array_equal(is_negative[picture], kinds == 0)
        np.testing.assert_array_equal(owner[picture][kinds == 1], owners[kinds == 1])
    assert is_positive.sum() > 4 and not is_positive.all() and (~is_positive & ~is_negative).any()


def test_a_picture_without_objects_has_negatives_alone():
    boxes, true_boxes, labels = scene()
    _, is_positive, is_negative = two_stage.matched(
        boxes, 0 * true_boxes, np.full_like(labels, -1), positive=0.7, negative=0.3, always=True
    )
    assert not np.array(is_positive).any() and np.array(is_negative).all()


def test_drawn_are_as_many_as_wanted_positives_first_and_every_box_has_its_chance():
    kinds = np.array([[1] * 10 + [0] * 20 + [-1] * 5, [1] * 2 + [0] * 3 + [-1] * 30])
    counts = np.zeros(kinds.shape)
    for update in range(300):
        numbers = uniform((35,), 7, update)
        rows, is_positive, is_drawn = (np.array(x) for x in two_stage.drawn(kinds == 1, kinds == 0, numbers, 12, 0.25))
        assert is_drawn.sum(1).tolist() == [12, 5] and is_positive.sum(1).tolist() == [3, 2]
        assert is_positive[0, :3].all() and is_positive[1, :2].all()
        for picture in range(2):
            chosen = rows[picture][is_drawn[picture]]
            assert len(set(chosen)) == len(chosen) and (kinds[picture, chosen] >= 0).all()
            np.testing.assert_array_equal(kinds[picture, chosen] == 1, is_positive[picture][is_drawn[picture]])
            counts[picture, chosen] += 1
    np.testing.assert_allclose(counts[0, :10] / 300, 0.3, atol=0.1)
    np.testing.assert_allclose(counts[0, 10:30] / 300, 9 / 20, atol=0.12)
    assert (counts[1, :5] == 300).all()


def test_numbers_are_a_function_of_seed_and_update():
    first, again = (np.array(uniform((9,), 1, 5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, uniform((9,), 1, 6)) and not np.array_equal(first, uniform((9,), 2, 5))


def plain_smooth_l1(error):
    return np.where(abs(error) < 1 / 9, 4.5 * error**2, abs(error) - 1 / 18).sum()


def plain_bce(target, logit):
    return -np.log(1 / (1 + np.exp(-logit if target else logit)))


def test_loss_of_regions_is_that_of_loops():
    """With so many draws that every anchor with a meaning is drawn, but for half of them negatives."""
    boxes, true_boxes, labels = scene()
    rng = np.random.default_rng(1)
    objectness = rng.normal(size=(2, 40)).astype("float32")
    offsets = rng.normal(size=(2, 40, 4)).astype("float32")
    numbers = uniform((40,), 0, 0)
    terms = two_stage.region_terms(objectness, offsets, boxes, true_boxes, labels, numbers, count=40)
    crossed, distance, count = 0.0, 0.0, 0
    for picture in range(2):
        kinds, owners = plain_match(boxes, true_boxes[picture], labels[picture], 0.7, 0.3, True)
        assert (kinds == 1).sum() <= 20
        for a in np.flatnonzero(kinds >= 0):
            count += 1
            crossed += plain_bce(kinds[a], objectness[picture, a])
            if kinds[a]:
                target = np.array(encode(true_boxes[picture, owners[a]], boxes[a]))
                distance += plain_smooth_l1(offsets[picture, a] - target)
    (found, number), (found_distance, same) = ([float(x) for x in term] for term in terms)
    assert number == same == count
    np.testing.assert_allclose([found, found_distance], [crossed, distance], rtol=1e-4)


def test_regions_are_proposals_and_objects_with_their_classes():
    boxes, true_boxes, labels = scene(3)
    proposals = np.stack([boxes, boxes])
    proposals[1, 30:] = 0  # padding
    regions = two_stage.drawn_regions(proposals, true_boxes, labels, uniform((44,), 0, 1), count=44, share=1.0)
    regions = {name: np.array(x) for name, x in regions.items()}
    for picture in range(2):
        real = np.flatnonzero(labels[picture] >= 0)
        for n in real:
            assert (regions["boxes"][picture] == true_boxes[picture, n]).all(-1).any(), "objects are regions too"
        candidates = np.concatenate([proposals[picture], true_boxes[picture]])
        area = (candidates[:, 2:] - candidates[:, :2]).prod(-1)
        assert (regions["labels"][picture] >= 0).sum() == (area > 0).sum(), "all but padding is drawn"
        iou = np.array(pairwise_iou(regions["boxes"][picture], true_boxes[picture][real]))
        for box, (label, owner) in enumerate(zip(regions["labels"][picture], regions["object"][picture])):
            if label < 0:
                continue
            assert (label > 0) == (iou[box].max() >= 0.5)
            if label:
                assert label == labels[picture, owner] + 1 and iou[box, list(real).index(owner)] == iou[box].max()


def test_losses_of_the_second_network_are_those_of_loops():
    boxes, true_boxes, labels = scene(3)
    regions = two_stage.drawn_regions(
        np.stack([boxes, boxes]), true_boxes, labels, uniform((44,), 0, 1), count=24, share=0.25
    )
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(2, 24, 4)).astype("float32")
    offsets = rng.normal(size=(2, 24, 4, 4)).astype("float32")
    terms = two_stage.class_terms(logits, offsets, regions, (0.1, 0.2))
    regions = {name: np.array(x) for name, x in regions.items()}
    crossed = distance = 0.0
    for picture, box in np.argwhere(regions["labels"] >= 0):
        label = regions["labels"][picture, box]
        own = logits[picture, box]
        crossed -= own[label] - np.log(np.exp(own).sum())
        if label:
            target = encode(regions["true_boxes"][picture, box], regions["boxes"][picture, box], (0.1, 0.2))
            distance += plain_smooth_l1(offsets[picture, box, label] - np.array(target))
    (found, number), (found_distance, same) = ([float(x) for x in term] for term in terms)
    assert number == same == 48 and distance > 0
    np.testing.assert_allclose([found, found_distance], [crossed, distance], rtol=1e-4)


def test_a_mask_is_what_its_object_covers_of_the_box():
    instances = np.full((1, 20, 30), -1, "int32")
    instances[0, 4:12, 6:18], instances[0, 8:12, 6:10] = 0, 1
    boxes = np.array([[[6, 4, 18, 12], [6, 4, 18, 12], [0, 0, 12, 8], [25, 15, 40, 30]]], "float32")
    covered = np.array(two_stage.covered(instances, boxes, np.array([[0, 1, 0, 0]]), 4))[0]
    np.testing.assert_array_equal(covered[0], [[1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]])
    np.testing.assert_array_equal(covered[1], 1 - covered[0])
    np.testing.assert_array_equal(covered[2], [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    assert not covered[3].any(), "outside of the picture is its border, which shows nothing here"


def test_masks_learn_for_the_true_class_alone():
    instances = np.zeros((1, 8, 8), "int32")
    regions = {
        "boxes": np.array([[[0, 0, 8, 8], [0, 0, 8, 8], [0, 0, 8, 8]]], "float32"),
        "labels": np.array([[2, 0, -1]], "int32"),  # an object of class 1, no object, and nothing drawn
        "object": np.zeros((1, 3), "int32"),
    }
    masks = np.zeros((1, 3, 4, 4, 3), "float32")
    masks[..., 2] = 1.5
    masks[..., 1] = -30.0
    total, number = two_stage.mask_term(masks, regions, instances)
    assert float(number) == 1
    np.testing.assert_allclose(total, np.log(1 + np.exp(-1.5)), rtol=1e-5)


@pytest.mark.parity
def test_matching_and_losses_are_torchvision_s():
    torchvision()
    utils = importlib.import_module("torchvision.models.detection._utils")
    heads = importlib.import_module("torchvision.models.detection.roi_heads")
    tensor = torch().from_numpy
    boxes, true_boxes, labels = scene(3)
    iou = np.array(pairwise_iou(true_boxes[0], boxes))
    theirs = utils.Matcher(0.7, 0.3, allow_low_quality_matches=True)(tensor(iou)).numpy()
    owner, is_positive, is_negative = (
        np.array(x)[0] for x in two_stage.matched(boxes, true_boxes, labels, positive=0.7, negative=0.3, always=True)
    )
    np.testing.assert_array_equal(is_positive, theirs >= 0)
    np.testing.assert_array_equal(is_negative, theirs == -1)
    np.testing.assert_array_equal(owner[is_positive], theirs[is_positive])

    regions = two_stage.drawn_regions(boxes[None], true_boxes[:1], labels[:1], uniform((44,), 0, 1), count=24)
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(1, 24, 4)).astype("float32")
    offsets = rng.normal(size=(1, 24, 4, 4)).astype("float32")
    terms = two_stage.class_terms(logits, offsets, regions, (0.1, 0.2))
    regions = {name: np.array(x)[0] for name, x in regions.items()}
    coder = utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
    (targets,) = coder.encode([tensor(regions["true_boxes"])], [tensor(regions["boxes"])])
    rows = tensor(regions["labels"].astype("int64"))
    expected = heads.fastrcnn_loss(tensor(logits[0]), tensor(offsets[0].reshape(24, -1)), [rows], [targets])
    for (total, number), value in zip(terms, expected):
        np.testing.assert_allclose(float(total) / float(number), float(value), rtol=1e-5)
