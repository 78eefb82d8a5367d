"""Key points of one person or face in each picture: outputs -> points, as lines of a table, JSON, CSV and drawings.

A kind of task, see `tfdl.inference.classification`.  A network puts out heat maps (B, h, w, K), or keypoints (B, K, 2)
in pixels with visibility (B, K, 1), logits; files put out scores in [0, 1] in place of these.
Points are in pixels of the picture as a person sees it.
Shapes: B pictures, K key points.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from keras import ops

from tfdl.core import pictures
from tfdl.figures.answers import contact_sheet
from tfdl.figures.poses import pose_picture
from tfdl.ops.heatmaps import decode

UNIT = "images"
CELLS = 3  # points that stand in a line of the table


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """The key points of one picture.

    Attributes:
        labels: names of the K points, or their numbers as text.
        keypoints: (K, 3): x, y in pixels of the picture, score in [0, 1].
        lines: pairs of points that are joined in a drawing.
        size: (height, width) of the picture.
        path: of the picture; None for an array.
        time: of a frame in seconds from the beginning of its video; None for a picture.
    """

    labels: tuple[str, ...]
    keypoints: np.ndarray
    lines: tuple[tuple[int, int], ...]
    size: tuple[int, int]
    path: str | None = None
    time: float | None = None

    @property
    def name(self):
        """What was looked at."""
        return self.path

    def points(self, count=None):
        """[(label, score, (x, y))] in the order of the points."""
        rows = zip(self.labels, self.keypoints)
        return [(label, float(score), (float(x), float(y))) for label, (x, y, score) in rows][:count]

    def __repr__(self):
        where = "" if self.path is None else f"{self.path}: "
        return f"<{where}{summary(self)}>"


class Reader:
    """Turns outputs to `Pose`s.

    Args:
        task: with labels, lines, image_shape and resize.
        backend: see `tfdl.inference.backends`.

    Raises:
        ValueError: the network has other outputs, or another number of points than labels.
    """

    def __init__(self, task, backend):
        shapes = backend.outputs
        if len(shapes.get("heatmaps", ())) == 3:
            count = shapes["heatmaps"][-1]
            self.stride = task.image_shape[0] / shapes["heatmaps"][0]
        elif len(shapes.get("keypoints", ())) == 2 and {"scores", "visibility"} & shapes.keys():
            count, self.stride = shapes["keypoints"][0], None
        else:
            known = ", ".join(f"{name} (B, {', '.join(map(str, shape))})" for name, shape in shapes.items())
            raise ValueError(
                f"An estimator of poses has the outputs heatmaps (B, h, w, K), or keypoints (B, K, 2) and scores (B,"
                f" K, 1), this model {known}."
            )
        if task.labels and len(task.labels) != count:
            raise ValueError(f"There are {len(task.labels)} labels for {count} key points; give one a point.")
        if any(point >= count for line in task.lines for point in line):
            raise ValueError(f"The lines {task.lines} join points from {count} on, of which there are none.")
        self.task = task
        self.labels = task.labels or tuple(map(str, range(count)))
        self.top = count  # points that are told, if nothing else is said

    def __call__(self, outputs):
        size = tuple(self.task.image_shape[:2])
        return [
            Pose(labels=self.labels, keypoints=points, lines=self.task.lines, size=size)
            for points in self.keypoints(outputs)
        ]

    def keypoints(self, outputs):
        """NumPy (B, K, 3): x, y in pixels of the network's pictures, score in [0, 1]."""
        if self.stride is not None:
            found = ops.convert_to_numpy(decode(ops.convert_to_tensor(outputs["heatmaps"]), stride=self.stride))
        else:
            scores = outputs["scores"] if "scores" in outputs else sigmoid(outputs["visibility"])
            found = np.concatenate([outputs["keypoints"], scores], axis=-1)
        return np.concatenate([found[..., :2], np.clip(found[..., 2:], 0, 1)], axis=-1)

    def placed(self, result, size):
        """A result of the network's picture as one of the picture itself, of `size` (height, width)."""
        scale, offset = pictures.placement(size, self.task.image_shape, self.task.resize)
        points = result.keypoints.astype("float64")
        points[:, :2] = (points[:, :2] - offset[::-1]) / scale[::-1]
        return replace(result, keypoints=points, size=tuple(size))


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -80, 80)))


def summary(result):
    """ "17 points, mean score 81 %" """
    return f"{len(result.keypoints)} points, mean score {result.keypoints[:, 2].mean():.0%}"


def title(result):
    return result.path


def cells(result, top):
    """["17 points, mean score 81 %", "nose", "97.1 %", "48,20", ...]"""
    rows = ((label, f"{100 * score:.1f} %", f"{x:.0f},{y:.0f}") for label, score, (x, y) in result.points())
    return [summary(result), *itertools.chain.from_iterable(itertools.islice(rows, min(top, CELLS)))]


def record(result, top):
    """{"path", "height", "width", "keypoints": [{"label", "number", "score", "x", "y"}]}"""
    points = [
        {"label": label, "number": number, "score": score, "x": round(x, 2), "y": round(y, 2)}
        for number, (label, score, (x, y)) in enumerate(result.points(top))
    ]
    height, width = result.size
    return {"path": result.path, "height": int(height), "width": int(width), "keypoints": points}


def header(top):
    return ["path", *(f"{name}_{i}" for i in range(1, top + 1) for name in ("label", "score", "x", "y"))]


def row(result, top):
    points = result.points(top)
    filled = [cell for label, score, (x, y) in points for cell in (label, f"{score:.6g}", f"{x:.2f}", f"{y:.2f}")]
    return [result.name, *filled, *[""] * (4 * (top - len(points)))]


def drawing(image, result, top):
    """The photograph with its points and lines."""
    scale = image.shape[1] / result.size[1]
    return pose_picture(image, result.keypoints * [scale, scale, 1], result.lines)


def sheet(images, results, title):
    """Many photographs, each with the mean score of its points."""
    captions = [(f"{len(result.keypoints)} points", float(result.keypoints[:, 2].mean())) for result in results]
    return contact_sheet(images, captions, names=[result.path for result in results], title=title)
