"""What a classifier predicts for the validation images, in one pass: for the confusion matrix and for pictures."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """Images to draw: images (N, H, W, C), true classes (N,) and probabilities (N, classes)."""

    images: np.ndarray
    truth: np.ndarray
    scores: np.ndarray

    def __len__(self):
        return len(self.images)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Of a whole split: true and predicted classes (N,), the first examples, and the most confident mistakes."""

    truth: np.ndarray
    guesses: np.ndarray
    first: Shown
    mistakes: Shown

    @property
    def accuracy(self):
        return float(np.mean(self.truth == self.guesses))

    def counts(self, classes):
        """Examples of each true class (row) and predicted class (column).  -> (classes, classes) int"""
        table = np.zeros((classes, classes), int)
        np.add.at(table, (self.truth, self.guesses), 1)
        return table


def forward_pass(model):
    """Inference as a graph, traced once: images -> outputs."""
    return tf.function(lambda images: model(images, training=False), reduce_retracing=True)


def is_classifier(data):
    """Whether the data has what predictions need: classes of whole images with names, and a validation split."""
    others = ("detection", "segmentation", "point_segmentation", "point_detection")
    has_classes = bool(getattr(data, "labels", None)) and kind_of(data) not in others
    return has_classes and getattr(data, "validation", None) is not None


def is_detection(data):
    """Whether the data has boxes."""
    return kind_of(data) == "detection"


def kind_of(data):
    """The kind of the task of a model of these data, or None."""
    return getattr(getattr(data, "task", None), "kind", None)


def predict(model, data, *, first=8, mistakes=8):
    """One pass over the validation split.

    Args:
        model: images -> logits or probabilities (B, classes), or one logit or probability (B, 1) of the second class.
        data: has `validation`, batches of (images, labels) with or without sample weights.
        first, mistakes: examples to keep for a picture.

    Returns:
        `Predictions`, or None if the model's outputs are something else.
    """
    forward = forward_pass(model)
    truth, guesses, seen, worst = [], [], [], []
    for batch in data.validation:
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
        scores = probabilities(model, forward(images))
        if scores is None:
            return None
        numbers = class_numbers(labels)
        truth.append(numbers)
        guesses.append(scores.argmax(-1))
        rows = [Example(*row) for row in zip(np.asarray(images), numbers, scores)] if is_picture(images) else []
        seen += rows[: first - len(seen)]
        wrong = [row for row in rows if row.scores.argmax() != row.label]
        worst = sorted([*worst, *wrong], key=lambda row: -row.scores.max())[:mistakes]
    return Predictions(np.concatenate(truth), np.concatenate(guesses), together(seen), together(worst))


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """One image (H, W, C), its class number and its probabilities (classes,)."""

    image: np.ndarray
    label: int
    scores: np.ndarray


def together(examples):
    """Examples -> `Shown`."""
    return Shown(*(np.array([getattr(row, name) for row in examples]) for name in ("image", "label", "scores")))


def is_picture(images):
    """Whether these inputs can be drawn: (B, H, W, 1 or 3)."""
    shape = getattr(images, "shape", ())
    return len(shape) == 4 and shape[-1] in (1, 3)


def probabilities(model, outputs):
    """Logits or probabilities (B, classes), or (B, 1) of the second of two classes -> probabilities (B, classes).

    None if the outputs are no such table, as those of a detector.
    """
    if not hasattr(outputs, "shape") or len(outputs.shape) != 2:
        return None
    outputs = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    if outputs.shape[1] == 1:
        second = outputs if ends_in_sigmoid(model) else keras.ops.convert_to_numpy(keras.ops.sigmoid(outputs))
        return np.concatenate([1 - second, second], axis=1)
    is_distribution = outputs.min() >= 0 and np.allclose(outputs.sum(-1), 1, atol=1e-2)  # bfloat16's rounding
    return outputs if is_distribution else keras.ops.convert_to_numpy(keras.ops.softmax(outputs))


def ends_in_sigmoid(model):
    """Whether the last layer's activation is the sigmoid, so that outputs are probabilities."""
    activation = getattr(model.layers[-1], "activation", None) if model.layers else None
    return getattr(activation, "__name__", "") == "sigmoid"


def class_numbers(labels):
    """Labels (B,) or (B, 1), or probabilities (B, classes) as of mixed labels -> (B,) int."""
    labels = keras.ops.convert_to_numpy(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(-1)
    return labels.reshape(len(labels)).astype(int)


def class_names(labels, numbers):
    """`labels`, and "class 12" and so on for outputs of a model that has more of them than the data has labels."""
    return [*labels, *(f"class {i}" for i in range(len(labels), numbers))]
