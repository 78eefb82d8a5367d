"""mIoU and pixel accuracy against plain counting, with pixels that count nowhere."""

import numpy as np
import pytest

from tfdl.core.batches import IGNORE
from tfdl.metrics.segmentation import MeanIoU, PixelAccuracy, confusion, scores_of

CLASSES = 4


def scene(seed=0):
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, CLASSES - 1, (3, 6, 5)).astype("int32")  # the last class is never true
    logits = rng.normal(size=(3, 6, 5, CLASSES)).astype("float32")
    logits[np.arange(3)[:, None, None], np.arange(6)[:, None], np.arange(5), masks] += 1.5
    masks[rng.random(masks.shape) < 0.2] = IGNORE
    return masks, logits


def counted(masks, found):
    known = masks != IGNORE
    ious = []
    for number in range(CLASSES):
        true, said = (masks == number) & known, (found == number) & known
        ious.append((true & said).sum() / (true | said).sum() if (true | said).any() else np.nan)
    return ious, (masks == found)[known].mean()


def test_metrics_are_those_of_plain_counting_over_batches():
    masks, logits = scene()
    ious, accuracy = counted(masks, logits.argmax(-1))
    iou, right = MeanIoU(CLASSES), PixelAccuracy()
    for part in (slice(0, 1), slice(1, 3)):
        iou.update_state(masks[part], logits[part])
        right.update_state(masks[part], logits[part])
    assert float(iou.result()) == pytest.approx(np.nanmean(ious), abs=1e-6)
    assert float(right.result()) == pytest.approx(accuracy, abs=1e-6)
    assert MeanIoU.from_config(iou.get_config()).num_classes == CLASSES


def test_scores_of_a_confusion_are_over_the_classes_of_the_truth():
    masks, logits = scene(1)
    found = logits.argmax(-1)
    table = confusion(masks, found, CLASSES)
    assert table.sum() == (masks != IGNORE).sum()
    ious, accuracy = counted(masks, found)
    metrics, own = scores_of(table)
    np.testing.assert_allclose(own[:3], ious[:3])
    assert np.isnan(own[3]) and metrics["mean_iou"] == pytest.approx(np.mean(ious[:3]))
    assert metrics["pixel_accuracy"] == pytest.approx(accuracy)
