"""How good an estimator of poses is on pictures with known key points: errors of all points, and the worst pictures."""

import heapq
from dataclasses import dataclass

import numpy as np

from tfdl.core.bodies import Body
from tfdl.inference.scores import matched
from tfdl.metrics.keypoints import KeypointPrecision, PointErrors

WORST = 8  # pictures that are kept


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture (H, W, C) in [0, 1], its place in the split, its key points (K, 3), the answers, and their error."""

    image: np.ndarray
    index: int
    truth: np.ndarray
    found: np.ndarray
    error: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseScores:
    """What was measured.

    Attributes:
        body: the key points of the data.
        errors: the `PointErrors` of all pictures.
        precision: the `KeypointPrecision` of all pictures; None for key points without sigmas.
        count: pictures.
        worst: `Picture`s with the largest normalized mean error, the worst first.
    """

    body: Body
    errors: PointErrors
    precision: KeypointPrecision | None
    count: int
    worst: tuple[Picture, ...]

    @property
    def metrics(self):
        return self.errors.result() | (self.precision.result() if self.precision is not None else {})

    @property
    def points(self):
        """name -> {"nme", "pck"} of the points that the data have."""
        rows = zip(self.body.names, *self.errors.per_point())
        return {name: {"nme": float(nme), "pck": float(pck)} for name, nme, pck in rows if np.isfinite(nme)}


def evaluate(predictor, batches, body):
    """Runs an estimator over batches (images (B, H, W, C) in [0, 1], truth), as `tfdl.data.keypoints` gives them.

    Args:
        body: of the data; its points are matched with the model's by name.

    Returns:
        `PoseScores`; lengths are in pixels of the network's pictures.

    Raises:
        ValueError: a point of the data that the model does not have, or no picture.
    """
    reader = predictor.reader
    places = np.array(matched(body.names, reader.labels, known=bool(predictor.task.labels)))
    errors, worst, count = PointErrors(body.ends), [], 0
    precision = KeypointPrecision(body.sigmas) if body.sigmas else None
    for images, truth in batches:
        points, area = np.asarray(truth["keypoints"]), np.asarray(truth["area"])
        found = reader.keypoints(predictor.outputs(images))[:, places]
        errors.update_state(points[:, 0], found)
        if precision is not None:
            precision.update_state(points, area, found[:, None], found[:, None, :, 2].mean(-1))
        for row, error in enumerate(errors.per_picture()[count:]):
            if np.isfinite(error):
                picture = Picture(
                    image=np.asarray(images[row]),
                    index=count + row,
                    truth=points[row, 0],
                    found=found[row],
                    error=float(error),
                )
                entry = (picture.error, -picture.index, picture)
                (heapq.heappushpop if len(worst) >= WORST else heapq.heappush)(worst, entry)
        count += len(images)
    if not count:
        raise ValueError("There is nothing to evaluate; choose another --split.")
    pictures = tuple(picture for *_, picture in sorted(worst, key=lambda entry: entry[:2], reverse=True))
    return PoseScores(body=body, errors=errors, precision=precision, count=count, worst=pictures)
