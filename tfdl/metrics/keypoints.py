"""How far key points are from where they should be: normalized mean error, PCK, OKS and its average precision.

With the distances d of the visible points of a picture, and a length s of it, such as that between the eyes:

    NME   = mean of d / s                              Sagonas et al. 2013, "300 Faces in-the-Wild Challenge", section 4
    PCK@t = share of the points with d < t s           Yang & Ramanan 2013, "Articulated Human Detection", section 4.2
    OKS   = mean of exp(-d^2 / (2 area (2 sigma)^2))   cocodataset.org/#keypoints-eval

OKS takes the part that IoU has for boxes, with standard deviations `sigma` that differ from point to point;
`KeypointPrecision` is average precision by it, computed by pycocotools itself.
Shapes: B pictures, N objects (with padding), D answers (with padding), K key points.
"""

import contextlib
import io

import numpy as np
from keras import ops
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

THRESHOLD = 0.2  # of PCK, as Bazarevsky et al. 2020, arXiv:2006.10204, Table 1
NAMES = ("oks_ap", "oks_ap50", "oks_ap75", "oks_ap_medium", "oks_ap_large")  # the first five of COCO's ten numbers
RECALL = "oks_ar"  # the sixth


def distances(truth, found):
    """Euclidean distances of the points (..., K, 2 or more), NumPy (..., K)."""
    return np.linalg.norm(truth[..., :2].astype("float64") - found[..., :2], axis=-1)


def lengths(keypoints, ends):
    """Of each object, the distance between the means of its two groups of points; NaN unless all of them are visible.

    Args:
        keypoints: (..., K, 3): x, y, visible.
        ends: two groups of numbers of points, see `tfdl.core.bodies`; () gives the longer side of the box around all
            visible points.
    """
    if not ends:
        here = keypoints[..., 2:] > 0
        low = np.min(keypoints[..., :2], -2, where=here, initial=np.inf)
        high = np.max(keypoints[..., :2], -2, where=here, initial=-np.inf)
        length = np.max(high - low, -1)  # -inf without a visible point
        return np.where(length > 0, length, np.nan)
    first, second = (keypoints[..., list(group), :] for group in ends)
    known = np.all(first[..., 2] > 0, -1) & np.all(second[..., 2] > 0, -1)
    length = np.linalg.norm(first[..., :2].mean(-2) - second[..., :2].mean(-2), axis=-1)
    return np.where(known & (length > 0), length, np.nan)


def oks(truth, found, area, sigmas):
    """OKS of each pair (..., K, 3) and (..., K, 2 or more) with areas (...): NumPy (...); 0 without a visible point."""
    variances = (2.0 * np.asarray(sigmas)) ** 2
    visible = truth[..., 2] > 0
    area = np.asarray(area, "float64")[..., None] + np.spacing(1)  # as pycocotools
    parts = np.exp(-(distances(truth, found) ** 2) / (2.0 * area * variances))
    return (parts * visible).sum(-1) / np.maximum(visible.sum(-1), 1)


class PointErrors:
    """NME and PCK of all pictures since the last `reset_state`.

    A picture without a length, because a point that it is measured between is hidden, counts in neither.

    Args:
        ends: see `lengths`.
        threshold: t of PCK.
    """

    def __init__(self, ends, threshold=THRESHOLD):
        if not threshold > 0:
            raise ValueError(f"threshold is {threshold}; give a part of the length above 0, such as 0.2.")
        self.ends, self.threshold = ends, threshold
        self.reset_state()

    def reset_state(self):
        """Forgets all pictures."""
        self.relative = []  # of each batch, d / s (B, K), NaN where it does not count

    def update_state(self, truth, found):
        """Adds a batch: truth (B, K, 3) x, y, visible, and found (B, K, 2 or more) x, y in the same pixels.

        Raises:
            ValueError: other shapes, or a point that is not finite.
        """
        truth, found = ops.convert_to_numpy(truth), ops.convert_to_numpy(found)
        if truth.shape[:-1] != found.shape[:-1]:
            raise ValueError(f"There are {truth.shape} key points, and answers of {found.shape}; give as many of both.")
        if not np.isfinite(found).all():
            raise ValueError("The found key points are not all finite; train with a lower learning rate.")
        relative = distances(truth, found) / lengths(truth, self.ends)[:, None]
        self.relative.append(np.where(truth[..., 2] > 0, relative, np.nan))

    def per_picture(self):
        """NME of each picture, NaN where it does not count: (pictures,)."""
        relative = np.concatenate(self.relative or [np.zeros((0, 1))])
        known = np.isfinite(relative)
        return np.where(known.any(1), np.nansum(relative, 1) / np.maximum(known.sum(1), 1), np.nan)

    def per_point(self):
        """(NME, PCK) of each point over all pictures: two arrays (K,), NaN for a point that no picture has.

        Raises:
            ValueError: there are no pictures.
        """
        if not self.relative:
            raise ValueError("There are no pictures to measure; call update_state first.")
        relative = np.concatenate(self.relative)
        known = np.isfinite(relative)
        count = np.where(known.any(0), known.sum(0), np.nan)
        right = np.where(known, relative, np.inf) < self.threshold
        return np.nansum(relative, 0) / count, right.sum(0) / count

    def result(self):
        """{"nme": the mean over pictures, "pck": the share of all points}; {} if no point counts."""
        per_picture = self.per_picture()
        if not np.isfinite(per_picture).any():
            return {}
        relative = np.concatenate(self.relative)
        known = relative[np.isfinite(relative)]
        return {"nme": float(np.nanmean(per_picture)), "pck": float(np.mean(known < self.threshold))}


class KeypointPrecision:
    """COCO's numbers of key points of all pictures since the last `reset_state`.

    Args:
        sigmas: (K,), see `tfdl.core.bodies`.
    """

    def __init__(self, sigmas):
        if not len(sigmas) or not np.all(np.asarray(sigmas) > 0):
            raise ValueError(f"sigmas is {sigmas}; give a positive number for each key point.")
        self.sigmas = np.asarray(sigmas, "float64")
        self.reset_state()

    def reset_state(self):
        """Forgets all pictures."""
        self.images, self.objects, self.found = [], [], []

    def update_state(self, truth, area, found, scores):
        """Adds a batch of pictures.

        Args:
            truth: (B, N, K, 3) x, y in pixels, visible; objects without a visible point are padding.
            area: (B, N) of the objects.
            found: (B, D, K, 2 or more).
            scores: (B, D); answers that are not finite are padding.

        Raises:
            ValueError: another number of key points or pictures.
        """
        truth, area, found, scores = (ops.convert_to_numpy(values) for values in (truth, area, found, scores))
        counts = {len(self.sigmas), truth.shape[2], found.shape[2]}
        if len(counts) > 1 or len(truth) != len(found):
            raise ValueError(
                f"There are {len(self.sigmas)} sigmas for key points {truth.shape} and answers {found.shape}; give as"
                " many pictures and points everywhere."
            )
        for row in range(len(truth)):
            image = len(self.images) + 1
            self.images.append({"id": image})
            for place in np.flatnonzero((truth[row, ..., 2] > 0).any(-1)):
                points = truth[row, place].astype("float64")
                here = points[:, 2] > 0
                low, high = points[here, :2].min(0), points[here, :2].max(0)
                self.objects.append(
                    {
                        "id": len(self.objects) + 1,  # COCOeval takes an object with the id 0 for none
                        "image_id": image,
                        "category_id": 1,
                        "keypoints": (points * np.where(here, [[1], [1], [2]], 0).T).ravel().tolist(),
                        "num_keypoints": int(here.sum()),
                        "bbox": [*low, *(high - low)],
                        "area": float(area[row, place]),
                        "iscrowd": 0,
                    }
                )
            for place in np.flatnonzero(np.isfinite(scores[row])):
                points = np.concatenate([found[row, place, :, :2], np.ones((len(self.sigmas), 1))], -1)
                self.found.append(
                    {
                        "image_id": image,
                        "category_id": 1,
                        "keypoints": points.astype("float64").ravel().tolist(),
                        "score": float(scores[row, place]),
                    }
                )

    def evaluation(self):
        """pycocotools' own `COCOeval` of these pictures, evaluated.

        Raises:
            ValueError: there are no pictures, or no answers.
        """
        if not self.images or not self.found:
            raise ValueError("There are no pictures with answers to evaluate; call update_state first.")
        with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress there
            truth = COCO()
            truth.dataset = {
                "info": {},
                "images": self.images,
                "annotations": self.objects,
                "categories": [{"id": 1, "name": "person"}],
            }
            truth.createIndex()
            evaluated = COCOeval(truth, truth.loadRes(self.found), "keypoints")
            evaluated.params.kpt_oks_sigmas = self.sigmas
            evaluated.evaluate()
            evaluated.accumulate()
            evaluated.summarize()
        return evaluated

    def result(self):
        """{"oks_ap", "oks_ap50", "oks_ap75", "oks_ap_medium", "oks_ap_large", "oks_ar"}, those that there are."""
        stats = self.evaluation().stats
        numbers = dict(zip(NAMES, stats[:5])) | {RECALL: stats[5]}
        return {name: float(value) for name, value in numbers.items() if value >= 0}


def point_errors(model, dataset, ends):
    """The `PointErrors` of an estimator on a data set.

    Args:
        model: has a method `estimate(images)`, as `tfdl.learners.supervised.pose_estimator.PoseEstimator`.
        dataset: yields (images (B, H, W, C), {"keypoints": (B, 1, K, 3)}).
        ends: see `lengths`.
    """
    errors = PointErrors(ends)
    for images, truth in dataset:
        errors.update_state(truth["keypoints"][:, 0], model.estimate(images))
    return errors
