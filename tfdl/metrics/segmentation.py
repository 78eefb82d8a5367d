"""How well pixels are classified: accuracy, and the mean intersection over union.

IoU of a class: the pixels that are of it and were said to be, over those that are of it or were said to be; mIoU is the
mean over the classes that the truth has: Everingham et al. 2010, "The Pascal Visual Object Classes Challenge", section
4.4.  Pixels of the class IGNORE count nowhere.
"""

import keras
import numpy as np
from keras import ops

from tfdl.core.batches import IGNORE
from tfdl.core.serial import serializable


@serializable
class MeanIoU(keras.metrics.MeanIoU):
    """mIoU of masks (B, H, W) and logits (B, H, W, C): Keras's own, which leaves IGNORE out.

    It is a mean over the classes that the truth or the answers have.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes, name="mean_iou", **kwargs):
        super().__init__(num_classes, name=name, ignore_class=IGNORE, sparse_y_pred=False, **kwargs)

    def get_config(self):
        return {"num_classes": self.num_classes, "name": self.name}


@serializable
class PixelAccuracy(keras.metrics.Mean):
    """Share of the pixels, IGNORE left out, whose most probable class is the right one."""

    def __init__(self, name="pixel_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Masks (B, H, W) and logits (B, H, W, C); `sample_weight` (B,)."""
        weights = ops.cast(ops.not_equal(y_true, IGNORE), self.dtype)
        if sample_weight is not None:
            weights = weights * ops.cast(sample_weight, self.dtype)[:, None, None]
        right = ops.equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        return super().update_state(ops.reshape(right, [-1]), ops.reshape(weights, [-1]))


def confusion(truth, found, num_classes):
    """Numbers of pixels of each true class (row) and answer (column); NumPy (C, C).  Masks of any equal shapes."""
    known = truth != IGNORE
    pairs = truth[known].astype("int64") * num_classes + found[known]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def scores_of(table):
    """(metrics, IoU of each class) of a confusion matrix; NaN for classes that the truth does not have."""
    right, true, said = np.diag(table).astype("float64"), table.sum(1), table.sum(0)
    iou = np.full(len(table), np.nan)
    present = true > 0
    iou[present] = right[present] / (true + said - right)[present]
    accuracy = right.sum() / max(1, table.sum())
    return {"mean_iou": float(np.nanmean(iou)), "pixel_accuracy": float(accuracy)}, iou
