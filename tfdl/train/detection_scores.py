"""Mean average precision on the validation split while a detector is trained."""

import keras

from tfdl.metrics.detection import mean_average_precision


class DetectionScores(keras.callbacks.Callback):
    """Adds val_map and val_map50 to the logs of each epoch, so that they can pick the best one; and val_mask_map and
    val_mask_map50 if there are masks.

    Args:
        data: has `validation`, batches of images and truth, and `labels`.
        every: epochs between two computations; in between the logs repeat the last numbers.
    """

    def __init__(self, data, every=1):
        super().__init__()
        self.data, self.every, self.last = data, every, {}

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params["epochs"]
        if not self.last or is_last or (epoch + 1) % self.every == 0:
            metric = mean_average_precision(self.model, self.data.validation, self.data.labels)
            names = ["map", "map50"] + ["mask_map", "mask_map50"] * (metric.masks is not None)
            numbers = metric.result()
            self.last = {f"val_{name}": numbers.get(name, 0.0) for name in names}
        if logs is not None:
            logs.update(self.last)
