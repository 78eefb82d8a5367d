"""Classes of pictures: outputs -> probabilities, as lines of a table, JSON, CSV and drawings.

A kind of task is a file such as this one, named in `tfdl.inference.kinds`.  It has

| name                          | what it does                                                          |
|-------------------------------|-----------------------------------------------------------------------|
| Reader(task, backend)         | checks that they fit; `reader(outputs)` -> a result for each image    |
| cells(result, top)            | texts for the table, after the path                                   |
| record(result, top)           | a dict for JSON                                                       |
| header(top), row(result, top) | for CSV                                                               |
| drawing(image, result, top)   | a figure of the annotated picture                                     |
| sheet(images, results, title) | a figure of many                                                      |
| title(result)                 | what was classified, for the table                                    |
| UNIT                          | what is classified, in the plural                                     |

Kinds without `drawing` have no drawings.  A Reader whose answers depend on the size of the picture also has
`placed(result, size)`; TOP is how much is shown if nothing else is said.

Results are frozen dataclasses with a field `path` or `text`, which the predictor fills in.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from tfdl.figures.answers import contact_sheet, labeled_picture

PROBES = 8  # pictures of noise that show whether a network gives logits or probabilities
UNIT = "images"
CLOSE = 1e-3  # how far a sum of float probabilities may be from 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Classification:
    """What a classifier says of one picture or text.

    Attributes:
        labels: class names, or the classes' numbers as text.
        probabilities: (classes,) float32.
        path: of the picture; None for an array.
        time: of a frame in seconds from the beginning of its video; None for a picture.
        text: that was classified, in place of a picture.
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray
    path: str | None = None
    time: float | None = None
    text: str | None = None

    @property
    def name(self):
        """What was classified."""
        return self.path if self.text is None else self.text

    @property
    def number(self):
        """Of the most probable class."""
        return int(np.argmax(self.probabilities))

    @property
    def label(self):
        return self.labels[self.number]

    @property
    def probability(self):
        return float(self.probabilities[self.number])

    def top(self, count=5):
        """The most probable classes: [(label, probability)], the best first."""
        return [(self.labels[i], float(self.probabilities[i])) for i in self.numbers(count)]

    def numbers(self, count):
        order = np.argsort(-self.probabilities, kind="stable")  # of equals the first class, as argmax has it
        return [int(number) for number in order[:count]]

    def __repr__(self):
        where = "" if self.name is None else f"{self.name}: "
        return f"<{where}{', '.join(f'{label} {share:.1%}' for label, share in self.top(3))}>"


class Reader:
    """Turns outputs to `Classification`s.

    Args:
        task: with the labels; empty ones become the classes' numbers.
        backend: see `tfdl.inference.backends`.

    Raises:
        ValueError: the network is no classifier, or has another number of classes than labels.
    """

    def __init__(self, task, backend):
        scores = [name for name, shape in backend.outputs.items() if len(shape) == 1]
        if len(scores) != 1:
            shapes = ", ".join(f"{name} (B, {', '.join(map(str, s))})" for name, s in backend.outputs.items())
            raise ValueError(f"A classifier has one output (B, classes), but this model has {shapes}.")
        (self.output,) = scores
        (self.num_classes,) = backend.outputs[self.output]
        if task.labels and len(task.labels) != self.num_classes:
            raise ValueError(f"There are {len(task.labels)} labels for {self.num_classes} classes; give one a class.")
        self.backend, self.task = backend, task
        self.labels = task.labels or tuple(map(str, range(self.num_classes)))
        self.is_probabilities = None if task.image_shape else False  # of pictures known after the first call

    def __call__(self, outputs):
        return [Classification(labels=self.labels, probabilities=row) for row in self.probabilities(outputs)]

    def probabilities(self, outputs):
        """(B, classes) float32: the outputs as they are if they sum to one, else their softmax."""
        scores = outputs[self.output]
        return scores if self.gives_probabilities() else np.exp(log_softmax(scores))

    def log_probabilities(self, outputs):
        """(B, classes) float32; probabilities of 0 count as the smallest that float32 knows."""
        scores = outputs[self.output]
        if self.gives_probabilities():
            return np.log(np.maximum(scores, np.finfo("float32").tiny))
        return log_softmax(scores)

    def gives_probabilities(self):
        """Whether the network ends in a softmax: found once, with pictures of noise, so that no batch differs."""
        if self.is_probabilities is None:
            height, width, channels = self.task.image_shape
            low, high = self.task.input_range
            noise = np.random.default_rng(0).random((PROBES, height, width, channels), dtype="float32")
            scores = self.backend(low + (high - low) * noise)[self.output]
            # Rounding to multiples of `step` moves each class by half a step at most, and many small ones to 0.
            allowed = CLOSE + min(0.5, self.num_classes * self.backend.step / 2)
            self.is_probabilities = bool(scores.min() >= 0 and np.all(np.abs(scores.sum(-1) - 1) <= allowed))
        return self.is_probabilities


def log_softmax(scores):
    """(B, classes) logits -> logarithms of probabilities."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def title(result):
    return result.path


def cells(result, top):
    """["cat", "97.1 %", "dog", "2.0 %", ...]"""
    return list(itertools.chain.from_iterable((label, f"{100 * share:.1f} %") for label, share in result.top(top)))


def record(result, top):
    """{"path", "classes": [{"label", "number", "probability"}]}, the best first."""
    classes = [
        {"label": result.labels[i], "number": i, "probability": float(result.probabilities[i])}
        for i in result.numbers(top)
    ]
    return {"path": result.path, "classes": classes}


def header(top):
    return ["path", *(f"{name}_{i}" for i in range(1, top + 1) for name in ("label", "probability"))]


def row(result, top):
    classes = result.top(top)
    filled = list(itertools.chain.from_iterable((label, f"{share:.6g}") for label, share in classes))
    return [result.name, *filled, *[""] * (2 * (top - len(classes)))]


def drawing(image, result, top):
    """The photograph with its classes below it."""
    return labeled_picture(image, result.top(top))


def sheet(images, results, title):
    """Many photographs, each with its best class."""
    captions = [(result.label, result.probability) for result in results]
    return contact_sheet(images, captions, names=[result.path for result in results], title=title)
