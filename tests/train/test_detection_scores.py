"""A detector's precision while it is trained: in the logs, so that it picks the best epoch, and as pictures."""

import numpy as np
import pytest
import tensorflow as tf

from tests.train.test_tensorboard import board, steps
from tfdl.data.detection import load
from tfdl.train.detection_scores import DetectionScores
from tfdl.train.reports.tensorboard import DetectedPictures


class Oracle:
    """Finds a part of the true boxes; counts how often it is asked."""

    def __init__(self, data):
        self.truths = {images.numpy().tobytes(): truth for images, truth in data.validation}
        self.asked, self.part = 0, 1

    def detect(self, images):
        self.asked += 1
        truth = next(iter(self.truths.values()))
        known = self.truths.get(images.numpy().tobytes(), truth)
        labels = known["labels"].numpy()[: len(images)]
        hidden = np.cumsum(labels >= 0, axis=1) > self.part
        scores = np.where(labels >= 0, 0.9, 0.0)
        return {
            "boxes": known["boxes"].numpy()[: len(images)],
            "scores": scores,
            "labels": np.where(hidden, -1, labels),
        }


@pytest.fixture(scope="module")
def data():
    return load("shapes", image_size=32, batch_size=8, limit=8)


def test_logs_have_the_precision_and_repeat_it_in_between(data):
    callback, model = DetectionScores(data, every=2), Oracle(data)
    callback.set_model(model)
    callback.set_params({"epochs": 5})
    values = []
    for epoch in range(5):
        logs = {"loss": 1.0}
        callback.on_epoch_end(epoch, logs)
        values.append(logs["val_map50"])
        model.part += 2
    assert model.asked == 4, "the first epoch, each second one, and the last"
    assert values[2] == values[1] > values[0] and values[4] == pytest.approx(1)
    assert set(logs) == {"loss", "val_map", "val_map50"}


def test_board_shows_what_is_found(data, tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    pictures = DetectedPictures(writer, data, every=1)
    pictures.set_model(Oracle(data))
    pictures.draw(0)
    writer.close()
    assert steps(board(tmp_path), "visuals/detections") == [0]
