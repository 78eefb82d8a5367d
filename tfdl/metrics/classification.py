"""True and predicted labels of a whole data set: the input of scikit-learn's classification scores.

recall = recall_score(*true_and_predicted_labels(model, data.test), average=None)
"""

import numpy as np
from keras import ops


def true_and_predicted_labels(model, dataset):
    """The true class of every image, and its predicted class (argmax).  -> (N,), (N,) int64

    Args:
        model: gives logits or probabilities (B, C) of two classes or more.
        dataset: yields images and labels: class numbers (B,) or (B, 1), or probabilities (B, C), as of mixed images.  A
            training set gives the epoch at its `position`, augmented if it is.

    Raises:
        ValueError: no images, outputs of another shape or with NaN, or labels that do not fit the outputs.
    """
    truth, predicted = [], []
    for images, labels in dataset:
        outputs = ops.convert_to_numpy(model(images, training=False))
        predicted.append(predicted_labels(outputs))
        truth.append(true_labels(ops.convert_to_numpy(labels), outputs.shape))
    if not truth:
        raise ValueError("The data set is empty: there are no labels to compare.")
    return np.concatenate(truth), np.concatenate(predicted)


def predicted_labels(outputs):
    """Outputs (B, C) -> (B,) int64."""
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(f"The model's outputs have shape {outputs.shape}; give (B, C) with an output for each class.")
    if np.isnan(outputs).any():
        row = np.flatnonzero(np.isnan(outputs).any(-1))[0]
        raise ValueError(f"The model's output for image {row} of a batch is NaN, so it predicts no class.")
    return outputs.argmax(-1).astype("int64")


def true_labels(labels, shape):
    """Labels (B,), (B, 1) or (B, C) for outputs of `shape` (B, C) -> (B,) int64."""
    count, classes = shape
    if labels.shape == (count, classes):
        return labels.argmax(-1).astype("int64")
    if labels.shape not in ((count,), (count, 1)):
        raise ValueError(f"The labels have shape {labels.shape}, the outputs {shape}; give (B,), (B, 1) or (B, C).")
    labels = labels.reshape(count)
    known = (labels >= 0) & (labels < classes) & (labels % 1 == 0)
    if not known.all():
        raise ValueError(f"The label {labels[~known][0]} is not a class; give numbers from 0 to {classes - 1}.")
    return labels.astype("int64")
