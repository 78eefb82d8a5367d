"""Objects in pictures: outputs -> boxes, as lines of a table, JSON, CSV and drawings.

A kind of task, see `tfdl.inference.classification`.  Boxes are xyxy in pixels of the picture as a person sees it.
Shapes: B pictures, A points, C classes, n objects found.
"""

import collections
import itertools
from dataclasses import dataclass, replace

import numpy as np
from keras import ops
from pycocotools import mask as coco_mask

from tfdl.core import pictures
from tfdl.core.batches import PADDING
from tfdl.figures.answers import contact_sheet
from tfdl.figures.detections import detected_picture
from tfdl.inference.segmentation import fitted
from tfdl.ops.mask_suppression import MASK, with_masks
from tfdl.ops.suppression import best_classes, non_max_suppression

UNIT = "images"
TOP = 100  # objects of a picture that are shown, if nothing else is said
THRESHOLD = 0.25  # of the scores that are shown
SAME = 0.5  # IoU above which two boxes show the same object
SURE = 0.001  # of the scores that count in an evaluation


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """What a detector finds in one picture, from the highest score down.

    Attributes:
        labels: class names, or the classes' numbers as text.
        boxes: (n, 4) xyxy in pixels of the picture.
        scores: (n,) in [0, 1].
        numbers: (n,) of the classes.
        size: (height, width) of the picture.
        path: of the picture; None for an array.
        time: of a frame in seconds from the beginning of its video; None for a picture.
        masks: (n, h, w) bool, of the whole picture but mostly smaller than it; None from a network without masks.
    """

    labels: tuple[str, ...]
    boxes: np.ndarray
    scores: np.ndarray
    numbers: np.ndarray
    size: tuple[int, int]
    path: str | None = None
    time: float | None = None
    masks: np.ndarray | None = None

    @property
    def name(self):
        """What was looked at."""
        return self.path

    def __len__(self):
        return len(self.scores)

    def objects(self, count=None):
        """[(label, score, (x1, y1, x2, y2))], the best first."""
        rows = zip(self.numbers, self.scores, self.boxes)
        found = [(self.labels[i], float(score), tuple(map(float, box))) for i, score, box in rows]
        return found[:count]

    def counts(self):
        """{label: number of objects}, the most frequent first."""
        return dict(collections.Counter(self.labels[i] for i in self.numbers).most_common())

    def __repr__(self):
        where = "" if self.path is None else f"{self.path}: "
        return f"<{where}{summary(self)}>"


class Reader:
    """Turns outputs to `Detections`.

    Args:
        task: with labels, image_shape and resize.
        backend: see `tfdl.inference.backends`.

    Raises:
        ValueError: the network is no detector, or has another number of classes than labels.
    """

    threshold = THRESHOLD

    def __init__(self, task, backend):
        # A network that suppresses itself says what it found beside what it learns from
        self.prefix = "found_" if "found_boxes" in backend.outputs else ""
        shapes = {name.removeprefix(self.prefix): shape for name, shape in backend.outputs.items()}
        self.is_suppressed = "labels" in shapes  # inside of the file
        self.has_masks = self.is_suppressed and "masks" in shapes
        if not {"boxes", "scores"} <= shapes.keys() or len(shapes["scores"]) != 2 - self.is_suppressed:
            known = ", ".join(f"{name} (B, {', '.join(map(str, shape))})" for name, shape in shapes.items())
            raise ValueError(f"A detector has the outputs boxes (B, A, 4) and scores (B, A, C), this model {known}.")
        self.is_set = "places" in shapes  # a network that finds every object once
        self.num_classes = len(task.labels) if self.is_suppressed else shapes["scores"][-1]
        if task.labels and len(task.labels) != self.num_classes:
            raise ValueError(f"There are {len(task.labels)} labels for {self.num_classes} classes; give one a class.")
        self.task = task
        self.labels = task.labels or tuple(map(str, range(self.num_classes)))

    def __call__(self, outputs):
        found = self.found(outputs, score_threshold=self.threshold)
        results = []
        for i, (boxes, scores, numbers) in enumerate(zip(found["boxes"], found["scores"], found["labels"])):
            here = numbers >= 0
            results.append(
                Detections(
                    labels=self.labels,
                    boxes=boxes[here],
                    scores=scores[here],
                    numbers=numbers[here],
                    size=self.task.image_shape[:2],
                    masks=found["masks"][i][here] > MASK if "masks" in found else None,
                )
            )
        return results

    def found(self, outputs, *, score_threshold=SURE):
        """The detections in pixels of the network's pictures, padded: NumPy boxes (B, D, 4), scores (B, D), labels; and
        masks (B, D, H, W) in [0, 1] from a network that has any.

        A file that suppresses has its own thresholds; only those with a lower score are left out.
        """
        if self.is_suppressed:
            names = [name for name in ("boxes", "scores", "labels", "masks") if self.prefix + name in outputs]
            found = {name: outputs[self.prefix + name] for name in names}
            labels = np.round(found["labels"]).astype("int32")
            found["labels"] = np.where(found["scores"] >= score_threshold, labels, PADDING)
            if self.has_masks and found["masks"].shape[2:] != tuple(self.task.image_shape[:2]):
                found = with_masks(found, self.task.image_shape[:2])
            return {name: ops.convert_to_numpy(values) for name, values in found.items()}
        boxes, scores = ops.convert_to_tensor(outputs["boxes"]), ops.sigmoid(outputs["scores"])
        if self.is_set:
            found = best_classes(boxes, scores, score_threshold=score_threshold)
        else:
            found = non_max_suppression(
                boxes, scores, score_threshold=score_threshold, iou_threshold=SAME, candidates=300
            )
        return {name: ops.convert_to_numpy(values) for name, values in found.items()}

    def placed(self, result, size):
        """A result of the network's picture as one of the picture itself, of `size` (height, width)."""
        scale, offset = pictures.placement(size, self.task.image_shape, self.task.resize)
        boxes = (result.boxes - np.tile(offset[::-1], 2)) / np.tile(scale[::-1], 2)
        height, width = size
        masks = result.masks
        if masks is not None:  # without the borders of "pad"
            first, last = np.round(offset).astype(int), np.round(offset + np.multiply(size, scale)).astype(int)
            masks = masks[:, first[0] : last[0], first[1] : last[1]]
        boxes = np.clip(boxes, 0, [width, height, width, height])
        return replace(result, boxes=boxes, size=tuple(size), masks=masks)


def summary(result):
    """ "3 RBC, 1 WBC", or "nothing"."""
    return ", ".join(f"{count} {label}" for label, count in result.counts().items()) or "nothing"


def title(result):
    return result.path


def cells(result, top):
    """["3 RBC, 1 WBC", "RBC", "97.1 %", "12,30,88,104", ...]"""
    rows = ((label, f"{100 * score:.1f} %", place(box)) for label, score, box in result.objects(min(top, 5)))
    return [summary(result), *itertools.chain.from_iterable(rows)]


def place(box):
    return ",".join(f"{side:.0f}" for side in box)


def record(result, top):
    """{"path", "height", "width", "objects": [{"label", "number", "score", "box": [x1, y1, x2, y2]}]}

    Each object of a network with masks has a "mask" too, as COCO writes it: {"size", "counts"}, run lengths.
    """
    objects = [
        {"label": label, "number": int(number), "score": score, "box": [round(side, 2) for side in box]}
        for (label, score, box), number in zip(result.objects(top), result.numbers)
    ]
    for i, row in enumerate(objects if result.masks is not None else ()):
        coded = coco_mask.encode(np.asfortranarray(fitted(result.masks[i], result.size), "uint8"))
        row["mask"] = {"size": list(map(int, coded["size"])), "counts": coded["counts"].decode()}
    height, width = result.size
    return {"path": result.path, "height": int(height), "width": int(width), "objects": objects}


def header(top):
    columns = ("label", "score", "x1", "y1", "x2", "y2")
    return ["path", "objects", *(f"{name}_{i}" for i in range(1, top + 1) for name in columns)]


def row(result, top):
    filled = [
        cell
        for label, score, box in result.objects(top)
        for cell in (label, f"{score:.6g}", *(f"{side:.2f}" for side in box))
    ]
    return [result.name, len(result), *filled, *[""] * (6 * top - len(filled))]


def drawing(image, result, top):
    """The photograph with its objects framed."""
    scale = image.shape[1] / result.size[1]
    objects = result.objects(top)
    texts = [f"{label} {score:.0%}" for label, score, _ in objects]
    boxes = [np.multiply(box, scale) for *_, box in objects]
    masks = None if result.masks is None else [fitted(m, image.shape[:2]) for m in result.masks[: len(objects)]]
    return detected_picture(image, boxes, texts, result.numbers, masks)


def sheet(images, results, title):
    """Many photographs, each with what is in it and the highest score."""
    captions = [(summary(result), float(result.scores.max(initial=0))) for result in results]
    return contact_sheet(images, captions, names=[result.path for result in results], title=title)
