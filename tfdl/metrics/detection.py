"""Mean average precision of boxes and of masks, computed by pycocotools itself.

    metric = MeanAveragePrecision(labels)
    for images, truth in data.test:
        metric.update_state(truth, model.detect(images))
    metric.result()          # {"map": 0.41, "map50": 0.66, "map75": 0.43, "map_small": ...}

A detection is right if its IoU with an object of its class, that no better detection has taken, reaches a threshold.
Sorted by score, the first k detections have a precision and a recall; average precision (AP) is the mean of the
interpolated precision at the recalls 0, 0.01 ... 1.  map is the mean of AP over classes and over the thresholds 0.5,
0.55 ... 0.95: Lin et al. 2014, arXiv:1405.0312; cocodataset.org/#detection-eval.  The same of masks, whose IoU counts
pixels, are mask_map, mask_map50 and mask_map75.
Shapes: B images of H x W pixels, N objects (with padding), D detections (with padding), C classes, R = 101 recalls.
"""

import contextlib
import io
from dataclasses import dataclass, field

import numpy as np
from keras import ops
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfdl.core.batches import PADDING

NAMES = ("map", "map50", "map75", "map_small", "map_medium", "map_large")  # the first six of COCO's twelve numbers
MASK_NAMES = ("mask_map", "mask_map50", "mask_map75")  # the first three, of masks
RECALL = "mar100"  # the ninth: mean recall of 100 detections a picture
AT_50 = 0  # its place among the thresholds


@dataclass(eq=False)
class Rows:
    """Objects and detections in COCO's form, and what comes of them.

    Attributes:
        kind: "bbox" or "segm", what is compared.
    """

    kind: str
    objects: list = field(default_factory=list)
    found: list = field(default_factory=list)
    evaluated: COCOeval | None = None

    def add_object(self, **row):
        """An object; its id is its place."""
        self.objects.append({"id": len(self.objects) + 1, **row})  # COCOeval takes an object with the id 0 for none

    def evaluation(self, images, labels):
        """pycocotools' own `COCOeval`, evaluated."""
        if self.evaluated is None:
            with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress there
                truth = COCO()
                truth.dataset = {
                    "info": {},
                    "images": images,
                    "annotations": self.objects,
                    "categories": [{"id": number, "name": name} for number, name in enumerate(labels)],
                }
                truth.createIndex()
                found = truth.loadRes(self.found) if self.found else COCO()
                if not self.found:
                    found.dataset = {**truth.dataset, "annotations": []}
                    found.createIndex()
                self.evaluated = COCOeval(truth, found, self.kind)
                self.evaluated.evaluate()
                self.evaluated.accumulate()
                self.evaluated.summarize()
        return self.evaluated


class MeanAveragePrecision:
    """COCO's numbers of all pictures since the last `reset_state`.

    Args:
        labels: names of the C classes.
    """

    def __init__(self, labels):
        if not labels:
            raise ValueError("labels is empty; give the names of the classes.")
        self.labels = tuple(labels)
        self.reset_state()

    def reset_state(self):
        """Forgets all pictures."""
        self.images, self.boxes, self.masks = [], Rows("bbox"), None

    def update_state(self, truth, detections):
        """Adds a batch of pictures.

        Args:
            truth: dict of boxes (B, N, 4) xyxy in pixels and labels (B, N), -1 where padded; and, where there are any,
                crowd (B, N), true for regions that are ignored: whatever is found in them is neither right nor wrong;
                area (B, N), by which sizes are told apart, else that of the box; and instances (B, H, W), the row of
                the object that each pixel shows, -1 for none.
            detections: dict of boxes (B, D, 4) in the same pixels, scores (B, D) and labels (B, D), -1 where padded;
                and, where there are any, masks (B, D, H, W), numbers of which those above 1/2 are on the object.  Masks
                are compared if both sides have them.

        Raises:
            ValueError: a class that there is not, a box or score that is not finite, masks of another size than
                instances, or masks in some batches only.
        """
        truth, detections = as_numpy(truth), as_numpy(detections)
        if len(truth["labels"]) != len(detections["labels"]):
            raise ValueError(f"There are {len(truth['labels'])} pictures, and {len(detections['labels'])} answers.")
        check("objects", truth, self.labels)
        check("detections", detections, self.labels)
        has_masks = "instances" in truth and "masks" in detections
        if has_masks and truth["instances"].shape[1:] != detections["masks"].shape[2:]:
            sizes = (list(values) for values in (detections["masks"].shape[2:], truth["instances"].shape[1:]))
            raise ValueError("Masks have {} pixels, the pictures {}; paste them into the pictures.".format(*sizes))
        if self.images and has_masks != (self.masks is not None):
            raise ValueError("Some batches have masks and some have none; call reset_state in between.")
        if has_masks and self.masks is None:
            self.masks = Rows("segm")
        self.boxes.evaluated = None
        if has_masks:
            self.masks.evaluated = None
        for row in range(len(truth["labels"])):
            size = dict(zip(("height", "width"), truth["instances"].shape[1:])) if has_masks else {}
            self.images.append({"id": len(self.images) + 1, **size})
            self.add_picture({k: v[row] for k, v in truth.items()}, {k: v[row] for k, v in detections.items()})

    def add_picture(self, truth, detections):
        """The rows of one picture, the last of `images`."""
        image = len(self.images)
        places = np.flatnonzero(truth["labels"] != PADDING)
        drawn = self.masks and run_lengths(truth["instances"] == places[:, None, None])
        for i, place in enumerate(places):
            row = {"image_id": image, "category_id": int(truth["labels"][place])}
            row["iscrowd"] = int("crowd" in truth and bool(truth["crowd"][place]))
            box = xywh(truth["boxes"][place])
            area = float(truth["area"][place]) if "area" in truth else box[2] * box[3]
            self.boxes.add_object(**row, bbox=box, area=area)
            if self.masks:
                self.masks.add_object(**row, segmentation=drawn[i], area=float(coco_mask.area(drawn[i])))
        places = np.flatnonzero(detections["labels"] != PADDING)
        drawn = self.masks and run_lengths(detections["masks"][places] > 0.5)
        for i, place in enumerate(places):
            row = {"image_id": image, "category_id": int(detections["labels"][place])}
            row["score"] = float(detections["scores"][place])
            self.boxes.found.append(row | {"bbox": xywh(detections["boxes"][place])})
            if self.masks:
                self.masks.found.append(row | {"segmentation": drawn[i]})

    def evaluation(self):
        """pycocotools' own `COCOeval` of the boxes in these pictures, evaluated.

        Raises:
            ValueError: there are no pictures.
        """
        if not self.images:
            raise ValueError("There are no pictures to evaluate; call update_state first.")
        return self.boxes.evaluation(self.images, self.labels)

    def result(self):
        """{"map", "map50", "map75", "map_small", "map_medium", "map_large", "mar100"}, and of masks {"mask_map",
        "mask_map50", "mask_map75"}.

        Sizes are those of COCO: small below 32 x 32 pixels, large above 96 x 96.  A number of which there is no object
        is left out.
        """
        stats = self.evaluation().stats
        numbers = dict(zip(NAMES, stats[:6])) | {RECALL: stats[8]}
        if self.masks:
            numbers |= dict(zip(MASK_NAMES, self.masks.evaluation(self.images, self.labels).stats[:3]))
        return {name: float(value) for name, value in numbers.items() if value >= 0}

    def per_class(self):
        """Label -> {"map", "map50", "objects"} of the classes that have objects."""
        precision = self.evaluation().eval["precision"][:, :, :, 0, -1]  # (thresholds, R, C) of all sizes
        counts = np.bincount(
            [o["category_id"] for o in self.boxes.objects if not o["iscrowd"]], minlength=len(self.labels)
        )
        return {
            label: {
                "map": float(precision[:, :, number].mean()),
                "map50": float(precision[AT_50, :, number].mean()),
                "objects": int(counts[number]),
            }
            for number, label in enumerate(self.labels)
            if counts[number]
        }

    def curves(self):
        """Label -> (recall (R,), precision (R,)) at an IoU of 0.5, of the classes that have objects."""
        evaluated = self.evaluation()
        precision = evaluated.eval["precision"][AT_50, :, :, 0, -1]  # (R, C)
        labels = self.per_class()
        return {
            label: (np.array(evaluated.params.recThrs), precision[:, number])
            for number, label in enumerate(self.labels)
            if label in labels
        }


def mean_average_precision(model, dataset, labels):
    """The `MeanAveragePrecision` of a detector on a data set.

    Args:
        model: has a method `detect(images)`, as `tfdl.learners.detection.Detector`.
        dataset: yields (images (B, H, W, C), truth), see `update_state`.
        labels: names of the classes.
    """
    metric = MeanAveragePrecision(labels)
    for images, truth in dataset:
        metric.update_state(truth, model.detect(images))
    return metric


# Parts


def as_numpy(fields):
    return {name: ops.convert_to_numpy(values) for name, values in fields.items()}


def check(what, fields, labels):
    """Raises ValueError for a class that there is not, or a number that isn't finite."""
    here = fields["labels"] != PADDING
    numbers = fields["labels"][here]
    if wrong := [number for number in np.unique(numbers) if not 0 <= number < len(labels)]:
        raise ValueError(f"The {what} have the class {wrong[0]}; the classes are 0 to {len(labels) - 1}.")
    for name in ("boxes", "scores"):
        if name in fields and not np.isfinite(fields[name][here]).all():
            raise ValueError(f"The {what} have {name} that are not finite; train with a lower learning rate.")


def run_lengths(masks):
    """Masks (n, H, W) bool as pycocotools keeps them: n dicts."""
    return coco_mask.encode(np.asfortranarray(np.moveaxis(masks, 0, -1), "uint8"))


def xywh(box):
    x1, y1, x2, y2 = map(float, box)
    return [x1, y1, x2 - x1, y2 - y1]
