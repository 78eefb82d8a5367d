"""How good a network is on clouds of points: the classes of points, or the objects in scenes, and the worst clouds."""

import heapq
from dataclasses import dataclass

import numpy as np

from tfdl.core.batches import IGNORE, PADDING
from tfdl.inference.point_detection import THRESHOLD
from tfdl.inference.scores import matched
from tfdl.metrics.detection_3d import NEITHER, WRONG, AveragePrecision3D, judged
from tfdl.metrics.segmentation import confusion, scores_of

WORST = 8  # clouds that are kept


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """A cloud (N, D), its place in the split, what is true of it and what was found, and what its mistakes cost."""

    points: np.ndarray
    index: int
    truth: object
    found: object
    cost: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PointScores:
    """What was measured of the classes of points.

    Attributes:
        labels: names of all classes of the model.
        count: clouds.
        confusion: (classes, classes) numbers of points; rows are true classes, columns answers.
        worst: `Cloud`s with the most wrong points, the worst first.
    """

    labels: tuple[str, ...]
    count: int
    confusion: np.ndarray
    worst: tuple[Cloud, ...]

    @property
    def metrics(self):
        """{"mean_iou", "accuracy"}: IoU is a mean over the classes that the data have."""
        numbers, _ = scores_of(self.confusion)
        return {"mean_iou": numbers["mean_iou"], "accuracy": numbers["pixel_accuracy"]}

    @property
    def classes(self):
        """label -> {"iou", "points"} of the classes that the data have."""
        _, iou = scores_of(self.confusion)
        points = self.confusion.sum(1)
        return {
            label: {"iou": float(iou[number]), "points": int(points[number])}
            for number, label in enumerate(self.labels)
            if points[number]
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneScores:
    """What was measured of a detector: the `AveragePrecision3D` of all clouds, and the worst `Cloud`s."""

    metric: AveragePrecision3D
    worst: tuple[Cloud, ...]

    @property
    def count(self):
        return len(self.metric.clouds)


def evaluate_points(predictor, batches, labels):
    """Runs a network over batches (points (B, N, D), labels (B, N), -1 where unknown).  -> `PointScores`

    Args:
        labels: class names of the data; they are matched with the model's by name.

    Raises:
        ValueError: a class of the data that the model does not have, or no cloud.
    """
    reader = predictor.reader
    places = np.array(matched(labels, reader.labels, known=bool(predictor.task.labels)))
    table, worst, count = np.zeros((reader.num_classes,) * 2, "int64"), Worst(), 0
    for points, numbers in batches:
        truths = np.where(numbers == PADDING, IGNORE, places[numbers])
        for cloud, truth, found in zip(points, truths, reader.classes(predictor.outputs(points))):
            own = confusion(truth, found, reader.num_classes)
            table += own
            worst.add(Cloud(points=cloud, index=count, truth=truth, found=found, cost=float(own.sum() - np.trace(own))))
            count += 1
    check(count)
    return PointScores(labels=reader.labels, count=count, confusion=table, worst=worst.sorted())


def evaluate_scenes(predictor, batches):
    """Runs a detector over batches (points (B, P, D), truth), see `AveragePrecision3D`.  -> `SceneScores`

    A cloud costs one for each object that was missed, and the scores of those that were invented.
    """
    metric, worst, count = AveragePrecision3D(), Worst(), 0
    for points, truth in batches:
        found = predictor.reader.found(predictor.outputs(points))
        metric.update_state(truth, found)
        for row, cloud in enumerate(points):
            scores, ignored, iou, _ = metric.clouds[count]
            shown = scores >= THRESHOLD
            verdicts = judged(scores[shown], ignored, iou[shown], 0.5)
            right = len(verdicts) - (verdicts == WRONG).sum() - (verdicts == NEITHER).sum()
            cost = float((~ignored).sum() - right + scores[shown][verdicts == WRONG].sum())
            own = [{name: values[row : row + 1] for name, values in side.items()} for side in (truth, found)]
            worst.add(Cloud(points=cloud, index=count, truth=own[0], found=own[1], cost=cost))
            count += 1
    check(count)
    return SceneScores(metric=metric, worst=worst.sorted())


class Worst:
    """The clouds that cost most."""

    def __init__(self):
        self.heap = []

    def add(self, cloud):
        if cloud.cost:
            entry = (cloud.cost, -cloud.index, cloud)
            (heapq.heappushpop if len(self.heap) >= WORST else heapq.heappush)(self.heap, entry)

    def sorted(self):
        return tuple(cloud for *_, cloud in sorted(self.heap, key=lambda entry: entry[:2], reverse=True))


def check(count):
    if not count:
        raise ValueError("There is nothing to evaluate; choose another --split.")
