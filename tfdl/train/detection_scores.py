"""Average precision on the validation split while a detector is trained."""

import keras

from tfdl.metrics.detection import mean_average_precision
from tfdl.metrics.detection_3d import average_precision_3d


class Scores(keras.callbacks.Callback):
    """Abstract: adds the numbers of `computed()` to the logs of each epoch, so that they can pick the best one.

    Args:
        data: has `validation`, batches of inputs and truth.
        every: epochs between two computations; in between the logs repeat the last numbers.
    """

    def __init__(self, data, every=1):
        super().__init__()
        self.data, self.every, self.last = data, every, {}

    def computed(self):
        """{"map": ..., }: the numbers, which the logs have as val_map and so on."""
        raise NotImplementedError

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params["epochs"]
        if not self.last or is_last or (epoch + 1) % self.every == 0:
            self.last = {f"val_{name}": value for name, value in self.computed().items()}
        if logs is not None:
            logs.update(self.last)


class DetectionScores(Scores):
    """val_map and val_map50 of a detector in pictures, and val_mask_map and val_mask_map50 if there are masks; `data`
    also has `labels`."""

    def computed(self):
        metric = mean_average_precision(self.model, self.data.validation, self.data.labels)
        names = ["map", "map50"] + ["mask_map", "mask_map50"] * (metric.masks is not None)
        numbers = metric.result()
        return {name: numbers.get(name, 0.0) for name in names}


class PrecisionIn3D(Scores):
    """val_bev_ap and val_ap_3d of a detector in clouds of points."""

    def computed(self):
        numbers = average_precision_3d(self.model, self.data.validation).result()
        return {name: numbers.get(name, 0.0) for name in ("bev_ap", "ap_3d")}
