"""An estimator's errors while it is trained are in the logs, so that they pick the best epoch."""

import numpy as np
import pytest

from tfdl.data.keypoints import load
from tfdl.train.keypoint_scores import KeypointScores


class Oracle:
    """Answers with the true points, moved by some pixels."""

    def __init__(self, data):
        self.truths = {images.numpy().tobytes(): truth["keypoints"].numpy()[:, 0] for images, truth in data.validation}
        self.shift = 9.0

    def estimate(self, images):
        return self.truths[images.numpy().tobytes()] + np.array([self.shift, 0, 0], "float32")


def test_logs_have_the_errors_of_each_epoch():
    data = load("figures", image_size=48, batch_size=4, limit=6)
    callback, model = KeypointScores(data), Oracle(data)
    callback.set_model(model)
    callback.set_params({"epochs": 2})
    values = []
    for epoch in range(2):
        logs = {"loss": 1.0}
        callback.on_epoch_end(epoch, logs)
        values.append(logs)
        model.shift = 0.0
    assert set(values[0]) == {"loss", "val_nme", "val_pck"}
    assert values[0]["val_nme"] > 0.3 and values[1]["val_nme"] == pytest.approx(0, abs=1e-6)
    assert values[0]["val_pck"] < 0.5 and values[1]["val_pck"] == 1
