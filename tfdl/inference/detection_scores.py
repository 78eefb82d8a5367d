"""How good a detector is on pictures with known objects: mean average precision, and the pictures it is worst at."""

import heapq
from dataclasses import dataclass

import numpy as np

from tfdl.core.batches import PADDING
from tfdl.inference.detection import THRESHOLD
from tfdl.inference.scores import matched
from tfdl.metrics.detection import MeanAveragePrecision
from tfdl.ops.boxes import pairwise_iou

WORST = 8  # pictures that are kept
RIGHT = 0.5  # IoU from which a detection is right


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistakes:
    """A picture (H, W, C) in [0, 1] with its truth and detections, and what is wrong with these.

    Attributes:
        index: place in the split.
        missed: objects that no detection of their class overlaps with.
        invented: scores of detections that no object of their class overlaps with.
    """

    image: np.ndarray
    index: int
    truth: dict
    found: dict
    missed: int
    invented: tuple[float, ...]

    @property
    def cost(self):
        """One for each object that was missed, and the scores of those that were invented."""
        return self.missed + sum(self.invented)


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionScores:
    """What was measured.

    Attributes:
        labels: names of all classes of the model.
        metric: the `MeanAveragePrecision` of all pictures.
        worst: `Mistakes` of the pictures that cost most, the worst first.
    """

    labels: tuple[str, ...]
    metric: MeanAveragePrecision
    worst: tuple[Mistakes, ...]
    unit: str = "images"

    @property
    def count(self):
        """Pictures."""
        return len(self.metric.images)

    @property
    def metrics(self):
        return self.metric.result()

    @property
    def classes(self):
        return self.metric.per_class()


def evaluate(predictor, batches, labels):
    """Runs a detector over labeled batches.

    Args:
        predictor: a `Predictor` of a detector.
        batches: yields (images (B, H, W, C) in [0, 1], truth), as `tfdl.data.detection` gives them.
        labels: class names of the truth; they are matched with the model's by name.

    Returns:
        `DetectionScores`; boxes and sizes are in pixels of the network's pictures.

    Raises:
        ValueError: a class of the data that the model does not have, or no picture.
    """
    reader = predictor.reader
    places = np.array(matched(labels, reader.labels, known=bool(predictor.task.labels)))
    metric, worst, count = MeanAveragePrecision(reader.labels), [], 0
    for images, truth in batches:
        truth = {name: np.asarray(values) for name, values in truth.items()}
        truth["labels"] = np.where(truth["labels"] == PADDING, PADDING, places[truth["labels"]])
        found = reader.found(predictor.outputs(images))
        metric.update_state(truth, found)
        for row, image in enumerate(np.asarray(images)):
            parts = [{name: values[row] for name, values in side.items()} for side in (truth, found)]
            mistakes = mistakes_of(image, count + row, *parts)
            if mistakes.cost:
                entry = (mistakes.cost, -mistakes.index, mistakes)
                (heapq.heappushpop if len(worst) >= WORST else heapq.heappush)(worst, entry)
        count += len(images)
    if not count:
        raise ValueError("There is nothing to evaluate; choose another --split.")
    worst = tuple(mistakes for _, _, mistakes in sorted(worst, key=lambda entry: entry[:2], reverse=True))
    return DetectionScores(labels=reader.labels, metric=metric, worst=worst)


def mistakes_of(image, index, truth, found):
    """What is wrong in one picture, of the detections that a person would be shown."""
    shown = (found["labels"] >= 0) & (found["scores"] >= THRESHOLD)
    real = truth["labels"] != PADDING
    crowd = truth["crowd"][real] if "crowd" in truth else np.zeros(real.sum(), bool)
    iou = np.asarray(pairwise_iou(truth["boxes"][real], found["boxes"][shown]))
    agree = (iou >= RIGHT) & (truth["labels"][real][:, None] == found["labels"][shown])
    free = np.ones(len(crowd), bool)
    invented = []
    for place, score in enumerate(found["scores"][shown]):  # the best detection first
        able = np.flatnonzero(agree[:, place] & (free | crowd))
        if len(able):
            free[able[np.argmax(iou[able, place])]] = False
        else:
            invented.append(float(score))
    missed = int(np.sum(free & ~crowd))
    return Mistakes(image=image, index=index, truth=truth, found=found, missed=missed, invented=tuple(invented))
