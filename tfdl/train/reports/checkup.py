"""What a run that went wrong should say by itself: it learned nothing, or inference does not use what it learned.

for sentence in checkup(model, data, history):
    print(sentence)
"""

import math

import keras
import numpy as np

from tfdl.train.statistics import placed_at

ACCURACIES = (
    "val_accuracy",
    "val_acc",
    "val_sparse_categorical_accuracy",
    "val_categorical_accuracy",
    "val_binary_accuracy",
)
MARGIN = 0.01  # above the commonest class's share, or a standard deviation of that share where it is more
APART = 0.15  # between training and inference mode; a small folder of photographs with stale statistics: 0.80 and 0.38
IMAGES = 256  # of the training split, to compare the two modes on


def checkup(model, data, history):
    """Sentences on what is wrong with a classifier after training; [] if nothing is, or if it is no classifier.

    Args:
        model: as it was trained.
        data: has `train`, and `validation`, `class_counts` and `position` where it knows them; labels (B) or
            probabilities (B, C).
        history: a list of a dict for each epoch, or what Keras's `fit` returns.
    """
    sentences = [at_commonest_class(data, rows_of(history)), modes_apart(model, data)]
    return [sentence for sentence in sentences if sentence]


def rows_of(history):
    """One dict for each epoch."""
    columns = getattr(history, "history", history)
    if not isinstance(columns, dict):
        return list(columns)
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def at_commonest_class(data, rows):
    """Whether the best or the last epoch is no better than always giving the same answer."""
    key = next((name for name in ACCURACIES if rows and name in rows[-1]), None)
    counts = None if key is None else validation_counts(data)
    if counts is None:
        return None
    number, share = counts.sum(), counts.max() / counts.sum()
    level = share + max(MARGIN, math.sqrt(share * (1 - share) / number))
    values = [row[key] for row in rows if key in row]
    commonest = name_of(data, counts.argmax())
    guessing = f"always answering {commonest} would give ({share:.3f} of {number} images)"
    if max(values) <= level:
        return (
            f"The best validation accuracy, {max(values):.3f}, is what {guessing}: nothing was learned that holds on"
            " new images. Look at a few images with their labels, then try a smaller learning rate, more epochs or"
            " weights to start from."
        )
    if values[-1] <= level:
        return (
            f"The last epoch's validation accuracy, {values[-1]:.3f}, is what {guessing}, after {max(values):.3f} in"
            f" epoch {int(np.argmax(values)) + 1}: training has come apart. Try a smaller learning rate, or clip"
            " gradients."
        )
    return None


def validation_counts(data):
    """Images of each class in the validation split, or None if its labels are no classes of whole images."""
    known = getattr(data, "class_counts", None)
    if known is not None and "validation" in known:
        counts = np.asarray(known["validation"])
        return counts if counts.sum() else None
    if getattr(data, "validation", None) is None:
        return None
    labels = []
    for batch in data.validation:
        found = classes_of(keras.utils.unpack_x_y_sample_weight(batch)[1])
        if found is None:
            return None
        labels.append(found)
    return np.bincount(np.concatenate(labels)) if labels else None


def classes_of(labels):
    """Numbers (B) of labels (B) or (B, 1), or of probabilities (B, C); None for anything else."""
    if labels is None or keras.tree.is_nested(labels):
        return None
    labels = np.asarray(labels)
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(1)
    return labels.astype("int64") if labels.ndim == 1 and (labels >= 0).all() else None


def name_of(data, number):
    labels = getattr(data, "labels", None)
    return repr(labels[number]) if labels else f"class {number}"


def modes_apart(model, data):
    """Whether the model does much worse on training images in inference than in training, by the same weights."""
    with placed_at(getattr(data, "position", None), 0):
        found = right_answers(model, data.train)
    if found is None:
        return None
    number, training, inference = found
    spread = math.sqrt(training * (1 - training) / number)
    if training - inference <= max(APART, 3 * spread):
        return None
    return (
        f"On {number} training images the accuracy is {inference:.3f} in inference mode and {training:.3f} in training"
        " mode: BatchNorm's statistics do not fit its weights. Call tfdl.train.statistics.refresh(model, data) before"
        " you use it, or train with larger batches."
    )


def right_answers(model, batches):
    """Images looked at, and the share that is right in training mode and in inference mode; None for no classifier."""
    number, right = 0, np.zeros(2)
    for batch in batches:
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
        labels = classes_of(labels)
        if labels is None or not model._call_has_training_arg:
            return None
        for place, training in enumerate((True, False)):
            with keras.StatelessScope():  # weights, statistics and random generators stay as they are
                outputs = model(images, training=training)
            if keras.tree.is_nested(outputs) or len(outputs.shape) != 2 or outputs.shape[-1] < 2:
                return None
            right[place] += np.sum(np.asarray(outputs, "float32").argmax(-1) == labels)
        number += len(labels)
        if number >= IMAGES:
            break
    return (number, *(right / number)) if number else None
