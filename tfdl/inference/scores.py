"""How good a classifier of images or texts is: accuracy, cross-entropy, precision and recall, confusions, mistakes."""

import heapq
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from tfdl.core.names import nearest

TOP = 5  # classes of the second accuracy, where there are more
MISTAKES = 16  # that are kept, the most confident ones


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistake:
    """A wrong answer: the image (H, W, C) in [0, 1] or text, its place in the split, true class, answer (classes,)."""

    example: np.ndarray | str
    index: int
    truth: int
    probabilities: np.ndarray

    @property
    def guess(self):
        return int(np.argmax(self.probabilities))


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """What was measured.  Class numbers are the model's.

    Attributes:
        labels: names of all classes of the model.
        present: numbers of the classes that the data have.
        metrics: {"accuracy", "top_5_accuracy" where there are more classes, "loss", "macro_f1"}.
        classes: number -> {"precision", "recall", "f1", "images" or "texts"} of those that the data have.
        confusion: (classes, classes) numbers of examples; rows are true classes, columns answers.
        mistakes: the most confident wrong answers, the worst first.
        unit: what the examples are, "images" or "texts".
    """

    labels: tuple[str, ...]
    present: tuple[int, ...]
    metrics: dict[str, float]
    classes: dict[int, dict]
    confusion: np.ndarray
    mistakes: tuple[Mistake, ...]
    unit: str = "images"

    @property
    def count(self):
        """Examples."""
        return int(self.confusion.sum())


def evaluate(predictor, batches, labels):
    """Runs a classifier over labeled batches.

    Args:
        predictor: a `Predictor` of a classifier, or a `TextPredictor`.
        batches: yields (images (B, H, W, C) in [0, 1], labels (B)), or (texts (B), labels (B)).
        labels: class names of these labels; they are matched with the model's by name.

    Returns:
        `Scores`.

    Raises:
        ValueError: a class of the data that the model does not have, or no example.
    """
    reader = predictor.reader
    places = np.array(matched(labels, reader.labels, known=bool(predictor.task.labels)))
    truths, guesses, losses, ranks, worst, count = [], [], [], [], [], 0
    for examples, numbers in batches:
        examples, truth = np.asarray(examples), places[np.asarray(numbers)]
        outputs = predictor.outputs(examples)
        probabilities = reader.probabilities(outputs)
        rows = np.arange(len(truth))
        truths.append(truth)
        guesses.append(probabilities.argmax(-1))
        losses.append(-reader.log_probabilities(outputs)[rows, truth])
        ranks.append((probabilities > probabilities[rows, truth][:, None]).sum(-1))
        for row in np.flatnonzero(guesses[-1] != truth):
            # The number decides between equals, so that examples are never compared.
            entry = (float(probabilities[row].max()), -(count + row), examples[row], truth[row], probabilities[row])
            (heapq.heappushpop if len(worst) >= MISTAKES else heapq.heappush)(worst, entry)
        count += len(truth)
    if not count:
        raise ValueError("There is nothing to evaluate; choose another --split.")
    truth, guess = np.concatenate(truths), np.concatenate(guesses)
    metrics = {"accuracy": float(np.mean(truth == guess))}
    if reader.num_classes > TOP:
        metrics[f"top_{TOP}_accuracy"] = float(np.mean(np.concatenate(ranks) < TOP))
    metrics["loss"] = float(np.mean(np.concatenate(losses), dtype="float64"))
    present = np.unique(truth)
    columns = precision_recall_fscore_support(truth, guess, labels=present, zero_division=0.0)
    unit = predictor.answers.UNIT
    classes = {
        int(number): {"precision": float(p), "recall": float(r), "f1": float(f), unit: int(n)}
        for number, p, r, f, n in zip(present, *columns)
    }
    metrics["macro_f1"] = float(np.mean([row["f1"] for row in classes.values()]))
    return Scores(
        labels=reader.labels,
        present=tuple(classes),
        metrics=metrics,
        classes=classes,
        confusion=confusion_matrix(truth, guess, labels=range(reader.num_classes)),
        mistakes=tuple(
            Mistake(example=example, index=-int(place), truth=int(is_class), probabilities=probabilities)
            for _, place, example, is_class, probabilities in sorted(worst, key=lambda entry: entry[:2], reverse=True)
        ),
        unit=unit,
    )


def matched(labels, own, *, known):
    """The model's number of each class of the data.

    Args:
        labels: names of the data's classes.
        own: of the model's classes.
        known: whether those are names; numbers are matched by their place.

    Raises:
        ValueError: the model lacks a class, or has other ones and no names to match them by.
    """
    if not known:
        if len(labels) != len(own):
            raise ValueError(
                f"The model has {len(own)} classes without names and the data {len(labels)}; name the model's with "
                "--labels FILE."
            )
        return range(len(labels))
    number = {label: place for place, label in enumerate(own)}
    if missing := [label for label in labels if label not in number]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(
            f"The data have the class {missing[0]!r}{more}, which the model lacks; its nearest are "
            f"{nearest(missing[0], own)}. --labels FILE names the model's classes anew."
        )
    return [number[label] for label in labels]
