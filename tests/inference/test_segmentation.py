"""Answers of segmenters: masks in pixels of the pictures themselves, drawn, as JSON and CSV, and their evaluation.

The segmenter is planted: each pixel is of the class whose channel is the brightest.
"""

import csv
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

import tfdl
from tfdl.commands import evaluate as evaluate_command
from tfdl.commands import predict as predict_command
from tfdl.core.batches import IGNORE
from tfdl.core.files import write_json
from tfdl.core.task import Task
from tfdl.export.exporter import export_model
from tfdl.figures.masks import painted
from tfdl.inference.segmentation_scores import evaluate

SIDE = 32
LABELS = ("red", "green", "blue")
TASK = Task(kind="segmentation", labels=LABELS, image_shape=(SIDE, SIDE, 3), resize="pad")


def planted():
    images = keras.Input((SIDE, SIDE, 3), name="images")
    return keras.Model(images, keras.layers.Conv2D(3, 1, kernel_initializer=own, name="logits")(images), name="planted")


@keras.saving.register_keras_serializable(package="tests")
def own(shape, dtype=None):
    return keras.ops.reshape(keras.ops.eye(3), shape)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "run"
    (folder / "checkpoints" / "best").mkdir(parents=True)
    planted().save(folder / "checkpoints" / "best" / "model.keras")
    write_json(folder / "task.json", TASK.to_json())
    return folder


@pytest.fixture
def pictures(tmp_path):
    """images/ and masks/: halves of 64 x 128 pixels, red and blue; and a green square of 40."""
    for kind in ("images", "masks"):
        (tmp_path / kind / "test").mkdir(parents=True)
    halves, masks = np.zeros((64, 128, 3), "uint8"), np.zeros((64, 128), "uint8")
    halves[:, :64, 0], halves[:, 64:, 2], masks[:, 64:] = 200, 200, 2
    square = np.zeros((40, 40, 3), "uint8")
    square[..., 1] = 255
    for name, pixels, mask in (("a", halves, masks), ("b", square, np.ones((40, 40), "uint8"))):
        Image.fromarray(pixels).save(tmp_path / "images" / "test" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / "test" / f"{name}.png")
    return tmp_path


def test_masks_are_those_of_the_picture_itself(run_folder, pictures):
    first, second = tfdl.load(run_folder).predict([pictures / "images"])
    assert first.mask.shape == (64, 128)
    np.testing.assert_array_equal(first.mask, np.repeat([[0, 2]], 64, 1).repeat(64, 0).reshape(64, 128))
    assert first.shares() == [("red", 0.5), ("blue", 0.5)] and second.shares() == [("green", 1.0)]
    assert "red 50.0%" in repr(first)


def test_table_json_csv_and_drawings(run_folder, pictures, tmp_path, capsys):
    words = [str(run_folder), str(pictures / "images")]
    predict_command.main(words)
    assert "red     50.0 %  blue  50.0 %" in capsys.readouterr().out
    predict_command.main([*words, "--json", "--out", str(tmp_path / "drawn")])
    row = json.loads(capsys.readouterr().out.splitlines()[1])
    assert row["height"] == 40 and row["classes"] == [{"label": "green", "share": 1.0}]
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"a.png", "b.png", "contact_sheet.png"}
    predict_command.main([*words, "--csv", "--top", "2"])
    table = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert table[0] == ["path", "label_1", "share_1", "label_2", "share_2"] and table[2][1:] == ["green", "1", "", ""]


def test_evaluation_of_right_answers_is_1(run_folder, pictures, tmp_path, capsys):
    for kind in ("images", "masks"):
        (pictures / kind / "train").symlink_to(pictures / kind / "test")
        (pictures / kind / "val").symlink_to(pictures / kind / "test")
    (pictures / "labels.txt").write_text("\n".join(LABELS))
    out = tmp_path / "checked"
    assert evaluate_command.main([str(run_folder), "--data", f"folder:{pictures}", "--out", str(out)]) == 0
    assert "mean iou           1.0000" in capsys.readouterr().out
    found = json.loads((out / "metrics.json").read_text())
    assert found["metrics"]["pixel_accuracy"] == 1 and found["classes"]["green"]["iou"] == 1
    assert (out / "mistakes.png").is_file()


def test_worst_pictures_have_the_fewest_right_pixels(run_folder):
    model = tfdl.load(run_folder)
    images, masks = np.zeros((3, SIDE, SIDE, 3), "float32"), np.zeros((3, SIDE, SIDE), "int32")
    images[..., 0] = 1
    masks[1, :16], masks[2, :4], masks[2, 4:8] = 1, 1, IGNORE
    scores = evaluate(model, [(images, masks)], LABELS)
    assert [picture.index for picture in scores.worst] == [1, 2, 0]
    assert scores.worst[1].accuracy == pytest.approx(24 / 28)
    assert scores.metrics["pixel_accuracy"] == pytest.approx((32 + 16 + 24) * 32 / (92 * 32))
    assert scores.classes["green"]["iou"] == 0


def test_files_of_an_export_answer_as_the_model(run_folder, tmp_path):
    images = np.random.default_rng(0).random((12, SIDE, SIDE, 3), "float32")
    formats = ("tflite", "tflite_int8")
    export_model(planted(), tmp_path / "e", formats=formats, representative=images, task=TASK, progress=None)
    live = tfdl.load(run_folder).predict(images)
    for file in ("model.tflite", "model_int8.tflite"):
        for found, expected in zip(tfdl.load(tmp_path / "e", file=file).predict(images), live):
            assert np.mean(found.mask == expected.mask) > (0.97 if "int8" in file else 0.9999)


def test_painted_pictures_keep_unknown_pixels():
    image = np.full((2, 2, 3), 100, "uint8")
    drawn = painted(image, np.array([[0, 1], [IGNORE, 0]]), 2)
    np.testing.assert_array_equal(drawn[1, 0], [100] * 3)
    np.testing.assert_array_equal(drawn[0, 0], drawn[1, 1])
    assert not np.array_equal(drawn[0, 0], drawn[0, 1])


def test_other_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="There are 2 labels for 3 classes"):
        folder = tmp_path / "run"
        (folder / "checkpoints" / "best").mkdir(parents=True)
        planted().save(folder / "checkpoints" / "best" / "model.keras")
        write_json(folder / "task.json", TASK.to_json() | {"labels": ["a", "b"]})
        tfdl.load(folder)
