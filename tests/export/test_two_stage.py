"""Files of Faster and Mask R-CNN: proposals, suppression and masks inside, they find what the live model finds."""

import numpy as np
import pytest

import tfdl
from tests.harness import images_of
from tests.learners.test_two_stage_detector import detector
from tfdl.core.task import Task
from tfdl.export.exporter import export_model
from tfdl.export.verify import verify_export

LABELS = ("a", "b", "c", "d")
IMAGES = images_of(8, 32, 32, 3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(model, report, folder) of Mask R-CNN with classes and masks that say something."""
    model, rng = detector(), np.random.default_rng(1)
    for name, size in (("logits", 3.0), ("mask_logits", 6.0), ("rpn_objectness", 2.0)):
        layer = model.network.get_layer(name)
        kernel, bias = layer.get_weights()
        layer.set_weights([rng.normal(0, size, kernel.shape), bias])
    folder = tmp_path_factory.mktemp("two_stage") / "export"
    task = Task(kind="detection", labels=LABELS, image_shape=(32, 32, 3), resize="pad")
    formats = ("tflite", "tflite_int8", "mediapipe")
    report = export_model(model, folder, formats=formats, representative=IMAGES, task=task, progress=None)
    return model, report, folder


def test_file_has_both_stages_inside_and_built_in_operators_only(exported):
    _, report, folder = exported
    assert set(report["artifacts"]) == {"model.tflite"}
    assert "8 bits are too coarse" in report["left_out"]["tflite_int8"]
    assert "MediaPipe takes no file with loops" in report["left_out"]["mediapipe"]
    row = report["artifacts"]["model.tflite"]
    assert row["decided_agreement"] == 1.0 and row["control"] is not None
    assert row["operators"]["WHILE"] and not any(operator.startswith("CUSTOM") for operator in row["operators"])
    assert set(report["signature"]["outputs"]) == {"boxes", "scores", "labels", "masks"}
    assert verify_export(folder)["files"]["model.tflite"] == "ok"


def test_file_answers_as_the_model(exported):
    model, _, folder = exported
    live = {name: np.array(x) for name, x in model.detect(IMAGES).items()}
    loaded = tfdl.load(folder, file="model.tflite")
    count = 0
    for i, found in enumerate(loaded.predict(IMAGES)):
        shown = (live["labels"][i] >= 0) & (live["scores"][i] >= loaded.reader.threshold)
        np.testing.assert_array_equal(found.numbers, live["labels"][i][shown])
        np.testing.assert_allclose(found.scores, live["scores"][i][shown], atol=1e-3)
        np.testing.assert_allclose(found.boxes, live["boxes"][i][shown], atol=1e-2)
        assert np.mean(found.masks != (live["masks"][i][shown] > 0.5)) < 1e-3
        count += len(found)
    assert count > 8
