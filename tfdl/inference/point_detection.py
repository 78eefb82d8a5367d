"""Objects in clouds of points: outputs -> boxes in space, as a table, JSON, CSV and drawings from above.

A kind of task, see `point_classification`.  Boxes are x, y, z, l, w, h, yaw in meters, see `tfdl.ops.boxes_3d`.
Shapes: B clouds, A anchors, n objects found.
"""

import collections
import itertools
from dataclasses import dataclass

import numpy as np
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.figures.clouds import scene_grid
from tfdl.ops.boxes_3d import NUMBERS, pairwise_bev_iou
from tfdl.ops.suppression import non_max_suppression

UNIT = "clouds"
TOP = 50  # objects of a cloud that are shown, if nothing else is said
THRESHOLD = 0.3  # of the scores that are shown
SAME = 0.1  # IoU from above over which two boxes show the same object
SURE = 0.01  # of the scores that count in an evaluation


@dataclass(frozen=True, kw_only=True, eq=False)
class Objects:
    """What a detector finds in one cloud, from the highest score down.

    Attributes:
        labels: class names, or the classes' numbers as text.
        boxes: (n, 7); scores: (n,) in [0, 1]; numbers: (n,) of the classes.
        path: of the cloud; None for an array.
    """

    labels: tuple[str, ...]
    boxes: np.ndarray
    scores: np.ndarray
    numbers: np.ndarray
    path: str | None = None

    @property
    def name(self):
        """What was looked at."""
        return self.path

    def __len__(self):
        return len(self.scores)

    def objects(self, count=None):
        """[(label, score, box)], the best first."""
        rows = zip(self.numbers, self.scores, self.boxes)
        return [(self.labels[i], float(score), tuple(map(float, box))) for i, score, box in rows][:count]

    def __repr__(self):
        where = "" if self.path is None else f"{self.path}: "
        return f"<{where}{summary(self)}>"


class Reader:
    """Turns outputs to `Objects`.

    Raises:
        ValueError: the network is no detector in space, or has another number of classes than labels.
    """

    threshold = THRESHOLD

    def __init__(self, task, backend):
        shapes = backend.outputs
        if not {"boxes", "scores"} <= shapes.keys() or shapes["boxes"][-1] != len(NUMBERS):
            raise ValueError(f"A detector in space has the outputs boxes (B, A, 7) and scores, this model {shapes}.")
        self.is_suppressed = "labels" in shapes  # inside of the file
        self.num_classes = len(task.labels) if self.is_suppressed else shapes["scores"][-1]
        if task.labels and len(task.labels) != self.num_classes:
            raise ValueError(f"There are {len(task.labels)} labels for {self.num_classes} classes; give one a class.")
        self.labels = task.labels or tuple(map(str, range(self.num_classes)))

    def __call__(self, outputs, clouds=(), fitted=()):
        found = self.found(outputs, self.threshold)
        rows = zip(found["boxes"], found["scores"], found["labels"])
        return [
            Objects(labels=self.labels, boxes=boxes[own >= 0], scores=scores[own >= 0], numbers=own[own >= 0])
            for boxes, scores, own in rows
        ]

    def found(self, outputs, score_threshold=SURE):
        """The detections, padded: NumPy boxes (B, D, 7), scores (B, D), labels (B, D), -1 where padded."""
        if self.is_suppressed:
            labels = np.round(outputs["labels"]).astype("int32")
            labels = np.where(outputs["scores"] >= score_threshold, labels, PADDING)
            return {"boxes": outputs["boxes"], "scores": outputs["scores"], "labels": labels}
        found = non_max_suppression(
            ops.convert_to_tensor(outputs["boxes"]),
            ops.sigmoid(outputs["scores"]),
            iou_threshold=SAME,
            score_threshold=score_threshold,
            max_detections=TOP,
            candidates=200,
            pairwise=pairwise_bev_iou,
        )
        return {name: ops.convert_to_numpy(found[name]) for name in ("boxes", "scores", "labels")}


def summary(result):
    """ "3 car", or "nothing"."""
    counts = collections.Counter(result.labels[i] for i in result.numbers)
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing"


def title(result):
    return result.path


def cells(result, top):
    """["3 car", "car", "97.1 %", "12.3,4.5,-0.9", ...]"""
    rows = ((label, f"{100 * score:.1f} %", place(box)) for label, score, box in result.objects(min(top, 5)))
    return [summary(result), *itertools.chain.from_iterable(rows)]


def place(box):
    return ",".join(f"{side:.1f}" for side in box[:3])


def record(result, top):
    """{"path", "objects": [{"label", "number", "score", "box": {"x", "y", "z", "l", "w", "h", "yaw"}}]}"""
    objects = [
        {
            "label": label,
            "number": int(number),
            "score": score,
            "box": {name: round(value, 3) for name, value in zip(NUMBERS, box)},
        }
        for (label, score, box), number in zip(result.objects(top), result.numbers)
    ]
    return {"path": result.path, "objects": objects}


def header(top):
    columns = ("label", "score", *NUMBERS)
    return ["path", "objects", *(f"{name}_{i}" for i in range(1, top + 1) for name in columns)]


def row(result, top):
    filled = [
        cell
        for label, score, box in result.objects(top)
        for cell in (label, f"{score:.6g}", *(f"{side:.3f}" for side in box))
    ]
    return [result.name, len(result), *filled, *[""] * (9 * top - len(filled))]


def drawing(cloud, result, top):
    """The cloud from above with its boxes."""
    return scene_grid([cloud], padded([result]), threshold=0.0, columns=1, title=title(result), width=6.0)


def sheet(clouds, results, title):
    """Many clouds from above with their boxes."""
    return scene_grid(clouds, padded(results), threshold=0.0, title=title)


def padded(results):
    """The results as one dict of detections."""
    most = max(1, *map(len, results))
    found = {
        "boxes": np.zeros((len(results), most, 7), "float32"),
        "scores": np.zeros((len(results), most), "float32"),
        "labels": np.full((len(results), most), PADDING),
    }
    for place, result in enumerate(results):
        count = len(result)
        found["boxes"][place, :count], found["scores"][place, :count] = result.boxes, result.scores
        found["labels"][place, :count] = result.numbers
    return found
