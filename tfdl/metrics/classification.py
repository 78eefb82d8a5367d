"""What a trained classifier says of every image of a data set: the input of scikit-learn's classification scores.

recall = recall_score(*answers(model, data.test), average=None)
"""

import numpy as np
from keras import ops


def answers(model, dataset):
    """The class of every image, and the class that the model holds for the most probable.  -> (N,), (N,) int64

    Args:
        model: gives logits or probabilities (B, C).
        dataset: yields images and labels, (B,) or, as of mixed ones, (B, C).  A training set gives the epoch at its
            `position`, augmented if it is.
    """
    truth, guesses = [], []
    for images, labels in dataset:
        labels = ops.convert_to_numpy(labels)
        truth.append(labels.argmax(-1) if labels.ndim == 2 else labels)
        guesses.append(ops.convert_to_numpy(model(images, training=False)).argmax(-1))
    return np.concatenate(truth).astype("int64"), np.concatenate(guesses).astype("int64")
