"""Classes of pixels: outputs -> masks, as lines of a table, JSON, CSV and drawings.

A kind of task, see `tfdl.inference.classification`.  Shapes: B pictures, H W height and width, C classes.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from tfdl.core import pictures
from tfdl.core.batches import IGNORE
from tfdl.figures.answers import contact_sheet
from tfdl.figures.masks import painted, segmented_picture

UNIT = "images"


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation:
    """What a network says of each pixel of a picture.

    Attributes:
        labels: class names, or the classes' numbers as text.
        mask: (H, W) uint8, the class of each pixel of the picture.
        path: of the picture; None for an array.
        time: of a frame in seconds from the beginning of its video; None for a picture.
    """

    labels: tuple[str, ...]
    mask: np.ndarray
    path: str | None = None
    time: float | None = None

    @property
    def name(self):
        """What was looked at."""
        return self.path

    def shares(self, count=None):
        """[(label, part of the picture)], the largest first, without classes that it does not have."""
        counts = np.bincount(self.mask[self.mask != IGNORE], minlength=len(self.labels))
        order = [number for number in np.argsort(-counts, kind="stable") if counts[number]]
        return [(self.labels[number], float(counts[number] / max(1, counts.sum()))) for number in order][:count]

    def __repr__(self):
        where = "" if self.path is None else f"{self.path}: "
        return f"<{where}{', '.join(f'{label} {share:.1%}' for label, share in self.shares(3))}>"


class Reader:
    """Turns outputs to `Segmentation`s.

    Args:
        task: with labels, image_shape and resize.
        backend: see `tfdl.inference.backends`.

    Raises:
        ValueError: the network does not classify pixels, or has another number of classes than labels.
    """

    def __init__(self, task, backend):
        scores = [name for name, shape in backend.outputs.items() if len(shape) == 3]
        if len(scores) != 1:
            raise ValueError(f"A segmenter has one output (B, H, W, classes), this model {backend.outputs}.")
        (self.output,) = scores
        height, width, self.num_classes = backend.outputs[self.output]
        if (height, width) != tuple(task.image_shape[:2]):
            raise ValueError(f"The model takes images {task.image_shape} and answers for {height} x {width} pixels.")
        if task.labels and len(task.labels) != self.num_classes:
            raise ValueError(f"There are {len(task.labels)} labels for {self.num_classes} classes; give one a class.")
        self.task = task
        self.labels = task.labels or tuple(map(str, range(self.num_classes)))

    def __call__(self, outputs):
        return [Segmentation(labels=self.labels, mask=mask) for mask in self.masks(outputs)]

    def masks(self, outputs):
        """(B, H, W) uint8 of the network's pictures."""
        return outputs[self.output].argmax(-1).astype("uint8")

    def placed(self, result, size):
        """A result of the network's picture as one of the picture itself, of `size` (height, width)."""
        scale, offset = pictures.placement(size, self.task.image_shape, self.task.resize)
        rows, columns = (
            np.clip(np.floor((np.arange(side) + 0.5) * scale[axis] + offset[axis]), 0, self.task.image_shape[axis] - 1)
            for axis, side in enumerate(size)
        )
        return replace(result, mask=result.mask[rows.astype(int)[:, None], columns.astype(int)])


def title(result):
    return result.path


def cells(result, top):
    """["sky", "41.0 %", "road", "30.2 %", ...]"""
    return list(itertools.chain.from_iterable((label, f"{100 * share:.1f} %") for label, share in result.shares(top)))


def record(result, top):
    """{"path", "height", "width", "classes": [{"label", "share"}]}, the largest first."""
    height, width = result.mask.shape
    classes = [{"label": label, "share": share} for label, share in result.shares(top)]
    return {"path": result.path, "height": height, "width": width, "classes": classes}


def header(top):
    return ["path", *(f"{name}_{i}" for i in range(1, top + 1) for name in ("label", "share"))]


def row(result, top):
    shares = result.shares(top)
    filled = list(itertools.chain.from_iterable((label, f"{share:.6g}") for label, share in shares))
    return [result.name, *filled, *[""] * (2 * (top - len(shares)))]


def drawing(image, result, top):
    """The photograph under the colors of its classes."""
    return segmented_picture(image, fitted(result.mask, image.shape[:2]), result.labels)


def sheet(images, results, title):
    """Many photographs under the colors of their classes, each with the largest."""
    colored = [painted(i, fitted(r.mask, i.shape[:2]), len(r.labels)) for i, r in zip(images, results)]
    captions = [result.shares(1)[0] for result in results]
    return contact_sheet(colored, captions, names=[result.path for result in results], title=title)


def fitted(mask, size):
    """A mask in another size, by the nearest pixels."""
    rows, columns = (np.arange(new) * old // new for old, new in zip(mask.shape, size))
    return mask[rows[:, None], columns]
