"""One person from frame to frame: a detector finds them once, then each frame's key points say where the next ones are.

    tracker = Tracker(tfdl.load("runs/figures_blaze_pose"), BODIES["coco"])
    for frame in frames:                                   # (h, w, 3) uint8
        pose = tracker(frame)                              # a `Pose` in pixels of the frame, or None

The network looks at a square region that is turned upright, so that it need not know people that lean or lie.  As long
as the points of a frame are visible, their region, a little larger, is that of the next frame; otherwise the detector
is asked again.  Source: Bazarevsky et al. 2020, arXiv:2006.10204, sections 2.1 and 2.2.  There the network puts out the
next region as well; here it is the one around its points.
Shapes: K key points.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from tfdl.core.bodies import BODIES, Body

MARGIN = 1.25  # times the region around the points: they move until the next frame
PRESENT = 0.5  # mean score of the points from which on there is a person
SEEN = 0.3  # score of a point from which on it says where the person is


@dataclass(frozen=True)
class Region:
    """A square: its center x, y and side in pixels of a frame, and the angle in radians by which it is turned clockwise
    from upright."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_frame(self, points, size):
        """Points (K, 2) in pixels of the cut-out picture of `size` (height, width) -> the same in the frame."""
        scale = self.side / max(size)
        turned = (np.asarray(points, "float64") - [size[1] / 2, size[0] / 2]) * scale @ self.rotation().T
        return turned + [self.x, self.y]

    def from_frame(self, points, size):
        """The inverse of `to_frame`."""
        scale = self.side / max(size)
        moved = (np.asarray(points, "float64") - [self.x, self.y]) @ self.rotation() / scale
        return moved + [size[1] / 2, size[0] / 2]

    def rotation(self):
        """Turns a vector x, y (y goes down) clockwise by the angle: (2, 2)."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    def cut(self, frame, size):
        """The region of a frame (h, w, 3) uint8 as an upright picture of `size` (height, width); black outside."""
        height, width = size
        finer = max(1, int(self.side / max(size)))  # pixels of the frame are averaged where many become one
        image = Image.fromarray(frame).reduce(finer) if finer > 1 else Image.fromarray(frame)
        corners = self.to_frame([[0, 0], [1, 0], [0, 1]], size) / finer
        (x, y), (dx, dy) = corners[0], corners[1:] - corners[0]
        data = (dx[0], dy[0], x, dx[1], dy[1], y)
        return np.asarray(image.transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR))


def whole(frame):
    """The region that shows a whole frame."""
    height, width = frame.shape[:2]
    return Region(width / 2, height / 2, max(height, width))


def body_of(task, names):
    """The `Body` of a task of poses by the names of its points; one that tfdl does not know has no axis."""
    known = (body for body in BODIES.values() if body.names == tuple(names))
    return next(known, Body(names=tuple(names), lines=task.lines, mirror=tuple(range(len(names)))))


def region_between(middle, top, margin=MARGIN):
    """The region of a person from two points of `person_detector`, (2,) each: the middle of the hips, and the top of
    the circle around the person, which is as far above them as the circle's radius."""
    (x, y), (dx, dy) = np.asarray(middle, "float64"), np.asarray(top, "float64") - middle
    return Region(float(x), float(y), 2 * margin * math.hypot(dx, dy), math.atan2(dx, -dy))


def region_of(keypoints, body, margin=MARGIN):
    """The region of the next frame around key points (K, 3) x, y, score; None if fewer than two are seen.

    Args:
        body: whose `axis` says where is up; if that is unknown or hidden, the region is upright.
        margin: times the longer side of the box around the points, in the direction of the axis.
    """
    points = np.asarray(keypoints, "float64")
    seen = points[:, 2] >= SEEN
    if seen.sum() < 2:
        return None
    angle = 0.0
    if body.axis and all(seen[list(group)].all() for group in body.axis):
        low, high = (points[list(group), :2].mean(0) for group in body.axis)
        angle = math.atan2(high[0] - low[0], low[1] - high[1])
    upright = Region(0.0, 0.0, 1.0, angle)
    turned = points[seen, :2] @ upright.rotation()
    low, high = turned.min(0), turned.max(0)
    x, y = upright.rotation() @ ((low + high) / 2)
    side = float((high - low).max())
    return Region(float(x), float(y), margin * side, angle) if side > 0 else None


class Tracker:
    """Follows one person, or face, through frames.

    Args:
        predictor: a `Predictor` of poses.
        body: of its key points, see `tfdl.core.bodies`.
        find: frame -> `Region` or None, a detector; `whole` looks at all of the frame.
        present: mean score of the points below which the person is lost.

    Attributes:
        region: where the next frame is looked at; None asks the detector.
        searches: how often the detector was asked.

    Raises:
        ValueError: the predictor's points are not those of the body.
    """

    def __init__(self, predictor, body, find=whole, *, present=PRESENT):
        if tuple(predictor.reader.labels) != tuple(body.names):
            raise ValueError(
                f"The model has the points {', '.join(predictor.reader.labels[:3])} ..., and the body"
                f" {', '.join(body.names[:3])} ...; give the body that the model was trained on."
            )
        self.predictor, self.body, self.find, self.present = predictor, body, find, present
        self.region, self.searches = None, 0

    def __call__(self, frame):
        """The `Pose` in a frame (h, w, 3) uint8, in its pixels, or None."""
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"A frame has the shape {frame.shape} and is {frame.dtype}; give (h, w, 3) of uint8.")
        if self.region is None:
            self.searches += 1
            self.region = self.find(frame)
        if self.region is None:
            return None
        size = self.predictor.task.image_shape[:2]
        (pose,) = self.predictor.predict(self.region.cut(frame, size))
        points = pose.keypoints.copy()
        points[:, :2] = self.region.to_frame(points[:, :2], size)
        is_present = points[:, 2].mean() >= self.present
        self.region = region_of(points, self.body) if is_present else None
        return replace(pose, keypoints=points, size=frame.shape[:2]) if is_present else None
