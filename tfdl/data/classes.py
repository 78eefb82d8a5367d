"""Classes of labeled examples: their names in order, and weights that make all of them count equally."""

import numpy as np


def names_of(labels):
    """The different labels, in the order of the numbers if all are whole numbers, else of the alphabet."""
    labels = {str(label) for label in labels}
    are_numbers = all(label.removeprefix("-").isdecimal() for label in labels)
    return tuple(sorted(labels, key=int if are_numbers else None))


def class_weights(counts, names):
    """Class number -> weight that makes all classes count equally; its mean over the examples is 1.

    Args:
        counts: training examples of each class.

    Raises:
        ValueError: a class has none.
    """
    counts = np.asarray(counts)
    if not counts.all():
        missing = names[int(np.flatnonzero(counts == 0)[0])]
        raise ValueError(f"The class {missing!r} has no training examples, so it has no weight.")
    return {number: float(counts.sum() / (len(counts) * count)) for number, count in enumerate(counts)}
