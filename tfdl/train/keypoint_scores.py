"""Errors of key points on the validation split while an estimator is trained."""

import keras

from tfdl.metrics.keypoints import point_errors


class KeypointScores(keras.callbacks.Callback):
    """Adds val_nme and val_pck to the logs of each epoch, so that they can pick the best one.

    Args:
        data: has `validation`, batches of images and truth, and `body`.
    """

    def __init__(self, data):
        super().__init__()
        self.data = data

    def on_epoch_end(self, epoch, logs=None):
        numbers = point_errors(self.model, self.data.validation, self.data.body.ends).result()
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in numbers.items()})
