"""Files of networks that suppress themselves find the objects and masks of the live model, whatever their order."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

import tfdl
from tests.harness import images_of
from tests.learners.test_grid_segmenter import segmenter
from tfdl.commands import evaluate as evaluate_command
from tfdl.commands import predict as predict_command
from tfdl.core.task import Task
from tfdl.data import detection, shapes
from tfdl.export.exporter import export_model
from tfdl.export.objects import compare_objects, finds_objects, matched
from tfdl.export.verify import verify_export

LABELS = shapes.SHAPES
IMAGES = images_of(12, 32, 32, 3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(model, report, folder) of SOLO with classes that say something."""
    model, rng = segmenter(), np.random.default_rng(3)
    classes = model.get_layer("class_logits")
    kernel, bias = classes.get_weights()
    classes.set_weights([rng.normal(0, 0.7, kernel.shape), np.full_like(bias, -3)])
    folder = tmp_path_factory.mktemp("objects") / "export"
    task = Task(kind="detection", labels=LABELS, image_shape=(32, 32, 3), resize="pad")
    formats = ("savedmodel", "tflite", "tflite_int8")
    report = export_model(model, folder, formats=formats, representative=IMAGES, task=task, progress=None)
    return model, report, folder


def test_files_have_the_suppression_inside_and_built_in_operators_only(exported):
    _, report, folder = exported
    assert set(report["artifacts"]) == {"saved_model", "model.tflite"}
    assert "8 bits are too coarse" in report["left_out"]["tflite_int8"]
    row = report["artifacts"]["model.tflite"]
    assert row["decided_agreement"] == 1.0 and row["control"] is not None
    assert not any(operator.startswith("CUSTOM") for operator in row["operators"])
    assert set(report["signature"]["outputs"]) == {"boxes", "scores", "labels", "masks"}
    assert verify_export(folder)["files"]["model.tflite"] == "ok"


@pytest.mark.parametrize("file", ["saved_model", "model.tflite"])
def test_every_file_answers_as_the_model(exported, file):
    model, _, folder = exported
    live = {name: np.array(x) for name, x in model.detect(IMAGES).items()}
    loaded = tfdl.load(folder, file=file)
    loaded.reader.threshold = 0.25
    count = 0
    for i, found in enumerate(loaded.predict(IMAGES)):
        shown = (live["labels"][i] >= 0) & (live["scores"][i] >= 0.25)
        np.testing.assert_array_equal(found.numbers, live["labels"][i][shown])
        np.testing.assert_allclose(found.scores, live["scores"][i][shown], atol=1e-4)
        np.testing.assert_allclose(found.boxes, live["boxes"][i][shown], atol=1e-3)
        assert np.mean(found.masks != (live["masks"][i][shown] > 0.5)) < 1e-3
        count += len(found)
    assert count > 12


def test_masks_are_those_of_the_picture_itself(exported, tmp_path, capsys):
    """A wide picture, which the network sees with borders above and below."""
    _, _, folder = exported
    pixels = (255 * images_of(1, 20, 40, 3)[0]).astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = tfdl.load(folder)
    (found,) = loaded.predict(tmp_path / "a.png")
    assert found.masks.shape[1:] == (16, 32) and len(found)
    predict_command.main([str(folder), str(tmp_path / "a.png"), "--json", "--out", str(tmp_path / "drawn")])
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["objects"][0]["mask"]["size"] == [20, 40]
    mask = coco_mask.decode(row["objects"][0]["mask"])
    np.testing.assert_allclose(mask.mean(), found.masks[0].mean(), atol=0.05)
    assert (tmp_path / "drawn" / "a.png").is_file()


def test_evaluation_compares_masks(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(detection, "SHAPE_COUNTS", {"train": 1, "validation": 1, "test": 5})
    out = tmp_path / "checked"
    assert evaluate_command.main([str(exported[2]), "--data", "shapes", "--out", str(out)]) == 0
    assert "mask map50" in capsys.readouterr().out and (out / "mistakes.png").is_file()


def detections(seed=0):
    """Two pictures with four objects, the last place padded: boxes, scores, labels, masks (2, 5, 8, 8)."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, 5, 8, 8), "float32")
    for i in range(2):
        for n in range(4):
            masks[i, n, n * 2 : n * 2 + 2, rng.integers(0, 4) :] = 1
    boxes = np.zeros((2, 5, 4), "float32")
    boxes[:, :4] = [[0, 2 * n, 8, 2 * n + 2] for n in range(4)]
    scores = np.array([[0.9, 0.8, 0.7, 0.26, 0]] * 2, "float32")
    labels = np.array([[0, 1, 1, 2, -1]] * 2)
    return {"boxes": boxes, "scores": scores, "labels": labels, "masks": masks}


def test_order_does_not_matter_and_what_is_missing_does():
    live = detections()
    assert finds_objects(live) and not finds_objects({"boxes": 0, "scores": 0})
    order = [1, 0, 2, 3, 4]
    turned = {name: x[:, order] for name, x in live.items()}
    assert compare_objects(turned, live) == {"difference": 0, "noise": 0, "agreement": 1, "decided_agreement": 1}
    other = {**live, "labels": np.where(live["labels"] == 1, 3, live["labels"])}
    assert compare_objects(other, live)["agreement"] == 0.5, "two of four are missing and two invented"
    elsewhere = {**live, "masks": live["masks"][..., ::-1, :]}
    assert compare_objects(elsewhere, live)["agreement"] <= 0.5, "boxes alone would agree"
    faint = {**live, "scores": live["scores"] * 0.1}
    assert compare_objects(faint, live)["agreement"] == 1, "scores are not compared, but what is there"
    assert compare_objects(live, faint)["agreement"] == 1, "what the model is unsure of is there all the same"
    less = {**live, "scores": np.minimum(live["scores"], 0.3)}
    nothing = {**live, "labels": np.full_like(live["labels"], -1)}
    for one, other in ((live, nothing), (less, nothing)):  # a network that finds nothing is no other's copy
        assert compare_objects(one, other)["agreement"] == compare_objects(other, one)["agreement"] == 0


def test_boxes_are_compared_where_there_are_no_masks():
    faint = detections()
    faint["masks"] *= 0.4
    assert compare_objects(faint, faint)["agreement"] == 1
    live = {name: x for name, x in detections().items() if name != "masks"}
    assert compare_objects(live, live)["agreement"] == 1
    moved = {**live, "boxes": live["boxes"] + np.float32([0, 1.5, 0, 1.5])}
    assert compare_objects(moved, live)["agreement"] < 0.5


def test_each_object_is_paired_once():
    assert matched(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)) == 2
    assert matched(np.zeros((0, 3), bool)) == 0
