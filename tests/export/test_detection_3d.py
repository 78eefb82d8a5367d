"""Files of detectors in space: grouping, network and turned suppression are builtins, and find the same."""

import keras
import numpy as np
import pytest

import tfdl
from tfdl.core.task import Task
from tfdl.export.detection_3d import agreement, suppressed
from tfdl.export.exporter import COARSE, export_model
from tfdl.models.three_d.voxelnet import voxelnet

POINTS = 60
TASK = Task(kind="point_detection", labels=("car",), points=POINTS, features=4)


def clouds(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform([0, -3.2, -3, 0], [6.4, 3.2, 1, 1], (count, POINTS, 4)).astype("float32")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(report, folder) of a small network that finds something everywhere."""
    keras.utils.set_random_seed(0)
    model = voxelnet("nano", points=POINTS)
    folder = tmp_path_factory.mktemp("detector") / "export"
    formats = ("savedmodel", "tflite", "tflite_int8")
    report = export_model(model, folder, formats=formats, representative=clouds(20), task=TASK, progress=None)
    return report, folder


def test_suppression_is_inside_and_eight_bits_are_refused(exported):
    report, folder = exported
    assert set(report["artifacts"]) == {"saved_model", "model.tflite"}
    assert report["left_out"] == {"tflite_int8": COARSE}
    (row,) = report["detectors"].values()
    assert row["agreement_bev_ap50"] >= 0.98
    assert {"CONV_3D", "SCATTER_ND", "TOPK_V2"} <= row["operators"].keys()
    assert not any(name.startswith(("CUSTOM", "FLEX")) or name == "WHILE" for name in row["operators"])
    assert report["task"]["kind"] == "point_detection" and report["labels"] == ["car"]
    assert (folder / "detector.tflite").stat().st_size == row["bytes"]


@pytest.mark.parametrize("file", ["saved_model", "model.tflite", "detector.tflite"])
def test_every_file_answers_alike(exported, file):
    points = clouds(3, seed=5)
    live, found = (tfdl.load(exported[1], file=name) for name in ("model.tflite", file))
    for model in (live, found):
        model.reader.threshold = 0.3
    for expected, result in zip(live.predict(points), found.predict(points)):
        assert len(result) == len(expected) > 0
        np.testing.assert_allclose(result.scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(result.boxes, expected.boxes, atol=1e-3)


def test_agreement_sees_other_boxes():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 30, (2, 40, 3)), np.tile([3.9, 1.6, 1.5, 0.3], (2, 40, 1))], axis=-1)
    outputs = {"boxes": boxes.astype("float32"), "scores": rng.normal(1, 1, (2, 40, 1)).astype("float32")}
    found = {name: np.array(values) for name, values in suppressed(outputs).items()}
    assert agreement(found, found) == 1.0
    moved = found | {"boxes": found["boxes"] + np.array([1.5, 1.5, 0, 0, 0, 0, 0], "float32")}
    assert agreement(moved, found) < 0.5
    assert agreement(found, found | {"scores": found["scores"] * 0}) is None
