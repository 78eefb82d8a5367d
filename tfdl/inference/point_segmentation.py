"""Classes of points: outputs -> a class for each point of a cloud, as a table, JSON, CSV and drawings.

A kind of task, see `point_classification`.  A point that the network did not see has the class of the nearest one that
it saw.  Shapes: B clouds, n points of a cloud, N of them that the network sees, C classes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from tfdl.core.clouds import normalized
from tfdl.figures.answers import contact_sheet, labeled_picture
from tfdl.figures.clouds import cloud_picture
from tfdl.inference.segmentation import cells, header, row, title

__all__ = ["UNIT", "Reader", "cells", "drawing", "header", "record", "row", "sheet", "title"]

UNIT = "clouds"


@dataclass(frozen=True, kw_only=True, eq=False)
class PointClasses:
    """What a network says of each point of a cloud.

    Attributes:
        labels: class names, or the classes' numbers as text.
        numbers: (n,) of the points' classes.
        path: of the cloud; None for an array.
    """

    labels: tuple[str, ...]
    numbers: np.ndarray
    path: str | None = None

    @property
    def name(self):
        """What was looked at."""
        return self.path

    def shares(self, count=None):
        """[(label, part of the points)], the largest first, without classes that no point has."""
        counts = np.bincount(self.numbers, minlength=len(self.labels))
        order = [number for number in np.argsort(-counts, kind="stable") if counts[number]]
        return [(self.labels[number], float(counts[number] / len(self.numbers))) for number in order][:count]

    def __repr__(self):
        where = "" if self.path is None else f"{self.path}: "
        return f"<{where}{', '.join(f'{label} {share:.1%}' for label, share in self.shares(3))}>"


class Reader:
    """Turns outputs to `PointClasses`.

    Raises:
        ValueError: the network does not classify points, or has another number of classes than labels.
    """

    def __init__(self, task, backend):
        scores = [name for name, shape in backend.outputs.items() if len(shape) == 2]
        if len(scores) != 1:
            raise ValueError(f"A network for points has one output (B, N, classes), this one {backend.outputs}.")
        (self.output,) = scores
        self.num_classes = backend.outputs[self.output][-1]
        if task.labels and len(task.labels) != self.num_classes:
            raise ValueError(f"There are {len(task.labels)} labels for {self.num_classes} classes; give one a class.")
        self.task = task
        self.labels = task.labels or tuple(map(str, range(self.num_classes)))

    def __call__(self, outputs, clouds, fitted):
        results = []
        for own, cloud, seen in zip(self.classes(outputs), clouds, fitted):
            _, nearest = cKDTree(seen[:, :3]).query(normalized(cloud[:, :3]))
            results.append(PointClasses(labels=self.labels, numbers=own[nearest]))
        return results

    def classes(self, outputs):
        """(B, N) int64 of the points that the network saw."""
        return outputs[self.output].argmax(-1)


def record(result, top):
    """{"path", "points", "classes": [{"label", "share"}], "numbers": the class of each point}, the largest first."""
    classes = [{"label": label, "share": share} for label, share in result.shares(top)]
    return {
        "path": result.path,
        "points": len(result.numbers),
        "classes": classes,
        "numbers": [int(number) for number in result.numbers],
    }


def drawing(cloud, result, top):
    """The cloud in the colors of its classes, with their shares below it."""
    return labeled_picture(cloud_picture(cloud, result.numbers), result.shares(top))


def sheet(clouds, results, title):
    """Many clouds in the colors of their classes, each with the largest."""
    pictures = [cloud_picture(cloud, result.numbers) for cloud, result in zip(clouds, results)]
    captions = [result.shares(1)[0] for result in results]
    return contact_sheet(pictures, captions, names=[result.path for result in results], title=title)
