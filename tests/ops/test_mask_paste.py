"""Masks pasted into their boxes, against loops over pixels and, where it is installed, torchvision."""

import importlib

import numpy as np
import pytest

from tests.parity.references import torch, torchvision
from tfdl.ops.mask_paste import paste_masks

SHAPE = (30, 37)
BOXES = [[3.2, 4.7, 20.9, 25.1], [-4.0, -6.3, 12.0, 9.0], [30.0, 20.0, 60.0, 50.0], [8.0, 8.0, 8.4, 8.4], [0, 0, 0, 0]]


def scene():
    masks = np.random.default_rng(0).uniform(size=(1, len(BOXES), 6, 6)).astype("float32")
    return masks, np.array([BOXES], "float32")


def plain_paste(mask, box):
    """One mask, pixel by pixel."""
    points = len(mask) + 2
    mask = np.pad(mask, 1)
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * points / (points - 2)
    (x1, y1), (x2, y2) = (np.trunc(center - half).astype(int), np.trunc(center + half).astype(int))
    width, height = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    pasted = np.zeros(SHAPE, "float32")
    for row in range(max(y1, 0), min(y1 + height, SHAPE[0])):
        for column in range(max(x1, 0), min(x1 + width, SHAPE[1])):
            y = np.clip((row - y1 + 0.5) * points / height - 0.5, 0, points - 1)
            x = np.clip((column - x1 + 0.5) * points / width - 0.5, 0, points - 1)
            (low, high), (left, right) = ((int(v), min(int(v) + 1, points - 1)) for v in (y, x))
            above = mask[low, left] * (1 - x % 1) + mask[low, right] * (x % 1)
            below = mask[high, left] * (1 - x % 1) + mask[high, right] * (x % 1)
            pasted[row, column] = above * (1 - y % 1) + below * (y % 1)
    return pasted


def test_pasted_masks_are_those_of_a_loop_over_pixels():
    masks, boxes = scene()
    found = np.array(paste_masks(masks, boxes, SHAPE))
    assert found.shape == (1, len(BOXES), *SHAPE)
    for mask, box, own in zip(masks[0], boxes[0], found[0]):
        np.testing.assert_allclose(own, plain_paste(mask, box), atol=1e-5)
    assert found[0, 0].max() > 0.8 and found[0, 1].max() > 0.5


def test_a_full_mask_covers_its_box_and_nothing_far_from_it():
    found = np.array(paste_masks(np.ones((1, 1, 28, 28), "float32"), np.array([[[5, 6, 25, 20]]], "float32"), SHAPE))
    rows, columns = np.nonzero(found[0, 0] > 0.5)
    np.testing.assert_allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], [5, 6, 25, 20], atol=1)


@pytest.mark.parity
def test_pasted_masks_are_torchvision_s():
    torchvision()
    theirs = importlib.import_module("torchvision.models.detection.roi_heads").paste_masks_in_image
    masks, boxes = scene()
    expected = theirs(torch().from_numpy(masks[0][:, None]), torch().from_numpy(boxes[0]), SHAPE).numpy()[:, 0]
    np.testing.assert_allclose(paste_masks(masks, boxes, SHAPE)[0], expected, atol=1e-5)
