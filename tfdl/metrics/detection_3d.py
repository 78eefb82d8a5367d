"""Average precision of boxes in space, seen from above (BEV) and of volumes (3-D).

    metric = AveragePrecision3D()
    for points, truth in data.test:
        metric.update_state(truth, model.detect(points))
    metric.result()          # {"bev_ap": 0.83, "ap_3d": 0.71, "bev_ap50": 0.95, "ap_3d_50": 0.93}

Detections of all clouds, from the highest score down: each takes, of the objects of its cloud that none has taken, the
one with which it overlaps most, and is right if that IoU is at least the threshold.  One that is not right, but that
overlaps as much with an ignored object, counts neither as right nor as wrong.  With the precision p and the recall r of
the first k

    AP = 1/40 sum over r in {1/40, 2/40 ... 1} of the largest p at a recall of r or more

the interpolation that KITTI uses since 2019: Simonelli et al. 2019, arXiv:1905.12365, section 4.3.  KITTI's own program
reads the curve at about 40 scores only, and has three difficulties; here every score counts, and all objects that are
not ignored.  Its IoU for cars is 0.7.
Shapes: B clouds, N objects with padding, D detections with padding.
"""

import numpy as np
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.ops.boxes_3d import overlaps

RECALLS = np.arange(1, 41) / 40
CARS = 0.7  # KITTI's threshold
KINDS = ("bev", "3d")


class AveragePrecision3D:
    """The numbers of all clouds since the last `reset_state`; of one class.

    Args:
        threshold: of the IoU; beside it there are the numbers at 0.5.
    """

    def __init__(self, threshold=CARS):
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}; give an IoU above 0, at most 1.")
        self.threshold = threshold
        self.reset_state()

    def reset_state(self):
        """Forgets all clouds."""
        self.clouds = []  # of each: scores (D'), ignored (N'), and for each of KINDS the IoU (D', N')

    def update_state(self, truth, detections):
        """Adds a batch of clouds.

        Args:
            truth: dict of boxes (B, N, 7) and labels (B, N), -1 where padded; and, where there are any, ignored (B, N).
            detections: dict of boxes (B, D, 7), scores (B, D) and labels (B, D), -1 where padded.

        Raises:
            ValueError: other numbers of clouds, or a box or score that is not finite.
        """
        truth, detections = ({k: ops.convert_to_numpy(v) for k, v in rows.items()} for rows in (truth, detections))
        if len(truth["labels"]) != len(detections["labels"]):
            raise ValueError(f"There are {len(truth['labels'])} clouds, and {len(detections['labels'])} answers.")
        pairs = overlaps(detections["boxes"][:, :, None], truth["boxes"][:, None])
        pairs = [ops.convert_to_numpy(values) for values in pairs]
        for row, (labels, found) in enumerate(zip(truth["labels"], detections["labels"])):
            here, said = labels != PADDING, found != PADDING
            scores = detections["scores"][row, said]
            if not (np.isfinite(scores).all() and np.isfinite(detections["boxes"][row, said]).all()):
                raise ValueError("A detection has a box or a score that is not finite; train with a lower rate.")
            ignored = truth["ignored"][row, here] if "ignored" in truth else np.zeros(here.sum(), bool)
            self.clouds.append((scores, ignored, *(values[row][said][:, here] for values in pairs)))

    def result(self):
        """{"bev_ap", "ap_3d", "bev_ap50", "ap_3d_50"}; without an object to be found, none of them."""
        if not self.clouds:
            raise ValueError("There are no clouds to evaluate; call update_state first.")
        if not self.objects():
            return {}
        asked = {"bev_ap": ("bev", self.threshold), "ap_3d": ("3d", self.threshold)}
        asked |= {"bev_ap50": ("bev", 0.5), "ap_3d_50": ("3d", 0.5)}
        return {name: average_precision(*self.curve(*kind_and_threshold)) for name, kind_and_threshold in asked.items()}

    def objects(self):
        """How many objects are to be found."""
        return sum(int((~ignored).sum()) for _, ignored, *_ in self.clouds)

    def curve(self, kind="bev", threshold=None):
        """(recall, precision) of the first 1, 2 ... detections that count."""
        threshold = self.threshold if threshold is None else threshold
        scores, verdicts = [], []
        for own, ignored, *pairs in self.clouds:
            scores.append(own)
            verdicts.append(judged(own, ignored, pairs[KINDS.index(kind)], threshold))
        scores, verdicts = np.concatenate(scores), np.concatenate(verdicts)
        verdicts = verdicts[np.argsort(-scores, kind="stable")]
        right = np.cumsum(verdicts[verdicts != NEITHER] == RIGHT)
        return right / max(1, self.objects()), right / np.arange(1, 1 + len(right))


WRONG, RIGHT, NEITHER = 0, 1, 2


def judged(scores, ignored, iou, threshold):
    """The verdict on each detection of a cloud.  (D), (N), (D, N) -> (D)"""
    verdicts = np.zeros(len(scores), int)
    is_free = ~ignored
    for place in np.argsort(-scores, kind="stable"):
        open_to = np.where(is_free, iou[place], -1.0)
        if len(open_to) and open_to.max() >= threshold:
            is_free[open_to.argmax()] = False
            verdicts[place] = RIGHT
        elif (iou[place][ignored] >= threshold).any():
            verdicts[place] = NEITHER
    return verdicts


def average_precision(recall, precision):
    """AP of the module's equation."""
    highest = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or a later one
    places = np.searchsorted(recall, RECALLS - 1e-9)  # the first that reaches it
    return float(np.append(highest, 0.0)[np.minimum(places, len(highest))].mean())


def average_precision_3d(model, dataset, threshold=CARS):
    """The `AveragePrecision3D` of a detector on a data set of clouds and truth."""
    metric = AveragePrecision3D(threshold)
    for points, truth in dataset:
        metric.update_state(truth, model.detect(points))
    return metric
