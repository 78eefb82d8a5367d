"""How good a segmenter is on pictures with known masks: IoU of each class, and the pictures it is worst at."""

import heapq
from dataclasses import dataclass

import numpy as np

from tfdl.core.batches import IGNORE
from tfdl.inference.scores import matched
from tfdl.metrics.segmentation import confusion, scores_of

WORST = 6  # pictures that are kept


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture (H, W, C) in [0, 1], its place in the split, its masks (H, W), and its share of right pixels."""

    image: np.ndarray
    index: int
    truth: np.ndarray
    found: np.ndarray
    accuracy: float


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentationScores:
    """What was measured.

    Attributes:
        labels: names of all classes of the model.
        count: pictures.
        confusion: (classes, classes) numbers of pixels; rows are true classes, columns answers.
        worst: `Picture`s with the fewest right pixels, the worst first.
    """

    labels: tuple[str, ...]
    count: int
    confusion: np.ndarray
    worst: tuple[Picture, ...]

    @property
    def metrics(self):
        return scores_of(self.confusion)[0]

    @property
    def classes(self):
        """label -> {"iou", "pixels"} of the classes that the data have."""
        _, iou = scores_of(self.confusion)
        pixels = self.confusion.sum(1)
        return {
            label: {"iou": float(iou[number]), "pixels": int(pixels[number])}
            for number, label in enumerate(self.labels)
            if pixels[number]
        }


def evaluate(predictor, batches, labels):
    """Runs a segmenter over batches (images (B, H, W, C) in [0, 1], masks (B, H, W)).  -> `SegmentationScores`

    Args:
        labels: class names of the masks; they are matched with the model's by name.

    Raises:
        ValueError: a class of the data that the model does not have, or no picture.
    """
    reader = predictor.reader
    places = np.full(256, IGNORE)
    places[: len(labels)] = matched(labels, reader.labels, known=bool(predictor.task.labels))
    table, worst, count = np.zeros((reader.num_classes,) * 2, "int64"), [], 0
    for images, masks in batches:
        truths, found = places[np.asarray(masks)], reader.masks(predictor.outputs(images))
        for row, (image, truth, answer) in enumerate(zip(np.asarray(images), truths, found)):
            own = confusion(truth, answer, reader.num_classes)
            table += own
            accuracy = float(np.diag(own).sum() / max(1, own.sum()))
            picture = Picture(image=image, index=count + row, truth=truth, found=answer, accuracy=accuracy)
            entry = (-accuracy, -picture.index, picture)
            (heapq.heappushpop if len(worst) >= WORST else heapq.heappush)(worst, entry)
        count += len(images)
    if not count:
        raise ValueError("There is nothing to evaluate; choose another --split.")
    pictures = tuple(picture for *_, picture in sorted(worst, key=lambda entry: entry[:2], reverse=True))
    return SegmentationScores(labels=reader.labels, count=count, confusion=table, worst=pictures)
