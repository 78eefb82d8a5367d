"""Files that say which objects are in a picture, suppression included: do two of them say the same?

An object that one side has and the other has not moves all that follow, so that numbers cannot be compared place by
place.  Objects are paired instead: of one class, with an IoU of SAME or more, each once, the surest first.

    agreement = pairs of objects that one side shows with any of the other's / objects shown, of both sides together

Shapes: B pictures, D detections with padding, h w of masks.
"""

import numpy as np

from tfdl.ops.boxes import pairwise_iou

NAMES = ("boxes", "scores", "labels", "masks")  # the last where there are any
SHOWN = 0.25  # score from which on an app shows an object
SAME = 0.5  # IoU of the masks, or without masks of the boxes


def finds_objects(outputs):
    """Whether a dict of outputs is that of objects after suppression."""
    return isinstance(outputs, dict) and set(NAMES[:3]) <= set(outputs) <= set(NAMES)


def compare_objects(outputs, live):
    """The row of `tfdl.export.parity.compare`: the agreement, and what it lacks to 1."""
    pairs = shown = 0
    for i in range(len(live["labels"])):
        file, model = ({name: values[i] for name, values in side.items()} for side in (outputs, live))
        same = (overlaps(model, file) >= SAME) & (np.round(model["labels"])[:, None] == np.round(file["labels"]))
        for side, able in ((model, same), (file, same.T)):
            wanted = (side["labels"] >= 0) & (side["scores"] >= SHOWN)
            pairs += matched(able[wanted])
            shown += wanted.sum()
    value = float(pairs / shown) if shown else 1.0
    return {"difference": 1 - value, "noise": 1 - value, "agreement": value, "decided_agreement": value}


def overlaps(first, second):
    """IoU of the objects of one picture, of their boxes where there are no masks or both are empty: (D, D')."""
    of_boxes = np.asarray(pairwise_iou(first["boxes"], second["boxes"]))
    if "masks" not in first:
        return of_boxes
    flat = [(side["masks"] > 0.5).reshape(len(side["masks"]), -1).astype("float32") for side in (first, second)]
    common = flat[0] @ flat[1].T
    union = flat[0].sum(1)[:, None] + flat[1].sum(1) - common
    return np.where(union > 0, common / np.maximum(union, 1.0), of_boxes)


def matched(same):
    """How many rows get a column of their own, the first free one.  (N, M) bool"""
    free, count = np.ones(same.shape[1], bool), 0
    for row in same:
        able = np.flatnonzero(row & free)
        if len(able):
            free[able[0]] = False
            count += 1
    return count
