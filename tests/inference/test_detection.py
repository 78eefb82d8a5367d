"""Answers of detectors: boxes in pixels of the pictures themselves, drawn, as JSON and CSV, and their evaluation.

The detector is planted: a 2 x 2 grid of cells, each of which says how red, green and blue it is, and one box a cell.
"""

import csv
import io
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import tfdl
from tfdl.commands import evaluate as evaluate_command
from tfdl.commands import predict as predict_command
from tfdl.core.files import write_json
from tfdl.core.task import Task
from tfdl.inference.detection import Reader
from tfdl.inference.detection_scores import evaluate

SIDE = 32
COLORS = ("red", "green", "blue")
CELLS = np.array([[x, y, x + 16, y + 16] for y in (0, 16) for x in (0, 16)], "float32")


def planted():
    """Images (B, 32, 32, 3) -> boxes (B, 4, 4) and logits (B, 4, 3)."""
    images = keras.Input((SIDE, SIDE, 3), name="images")
    cells = keras.layers.AveragePooling2D(16)(images)
    scores = keras.layers.Rescaling(20.0, -10.0)(keras.layers.Reshape((4, 3))(cells))
    fixed = keras.layers.Dense(16, kernel_initializer="zeros", name="fixed")
    boxes = keras.layers.Reshape((4, 4))(fixed(keras.layers.Flatten()(cells)))
    fixed.bias.assign(CELLS.ravel())
    return keras.Model(images, {"boxes": boxes, "scores": scores}, name="planted")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "run"
    (folder / "checkpoints" / "best").mkdir(parents=True)
    planted().save(folder / "checkpoints" / "best" / "model.keras")
    task = Task(kind="detection", labels=COLORS, image_shape=(SIDE, SIDE, 3), resize="pad")
    write_json(folder / "task.json", task.to_json())
    return folder


def save(path, size, fills, orientation=None):
    """A black picture (height, width) with colored rectangles (channel, x1, y1, x2, y2)."""
    pixels = np.zeros((*size, 3), "uint8")
    for channel, x1, y1, x2, y2 in fills:
        pixels[y1:y2, x1:x2, channel] = 255
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {}))


@pytest.fixture
def pictures(tmp_path):
    """Of 64 x 128 pixels, so that the network's picture has black borders of 8 rows above and below."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    save(folder / "a.png", (64, 128), [(0, 0, 0, 64, 32), (2, 64, 32, 128, 64)])
    save(folder / "b.png", (128, 128), [(1, 64, 0, 128, 64)])
    save(folder / "c.png", (128, 128), [])
    return folder


def test_boxes_are_those_of_the_picture_itself(run_folder, pictures):
    model = tfdl.load(run_folder)
    first, second, nothing = model.predict([pictures])
    assert second.size == (128, 128)
    assert second.objects() == [("green", pytest.approx(1, abs=1e-4), (64, 0, 128, 64))]
    assert len(nothing) == 0 and nothing.counts() == {}
    # Half of each cell is the border: p = sigmoid(20 * 0.5 - 10)
    assert [label for label, _, _ in first.objects()] == ["red", "blue"]
    np.testing.assert_allclose(first.scores, 0.5, atol=1e-3)
    np.testing.assert_allclose(first.boxes, [[0, 0, 64, 32], [64, 32, 128, 64]], atol=1e-3)
    assert "1 red, 1 blue" in repr(first) and first.path.endswith("a.png")


def test_arrays_have_their_own_size(run_folder):
    pixels = np.zeros((64, 64, 3), "uint8")
    pixels[32:, :32, 2] = 255
    (found,) = tfdl.load(run_folder).predict(pixels)
    np.testing.assert_allclose(found.boxes, [[0, 32, 32, 64]], atol=1e-3)


def test_a_turned_picture_has_boxes_as_it_is_seen(run_folder, tmp_path):
    save(tmp_path / "turned.jpg", (64, 64), [(0, 0, 0, 32, 32)], orientation=6)  # seen turned to the right
    (found,) = tfdl.load(run_folder).predict(tmp_path / "turned.jpg")
    np.testing.assert_allclose(found.boxes, [[32, 0, 64, 32]], atol=1e-3)


def test_table_json_and_csv_say_the_same(run_folder, pictures, capsys):
    assert predict_command.main([str(run_folder), str(pictures)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "1 red, 1 blue" in lines[0] and "64,0,128,64" in lines[1] and "nothing" in lines[2]
    predict_command.main([str(run_folder), str(pictures), "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[1]["width"] == 128 and rows[2]["objects"] == []
    (found,) = rows[1]["objects"]
    assert found["label"] == "green" and found["number"] == 1 and found["box"] == [64, 0, 128, 64]
    predict_command.main([str(run_folder), str(pictures), "--csv", "--top", "1"])
    table = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert table[0] == ["path", "objects", "label_1", "score_1", "x1_1", "y1_1", "x2_1", "y2_1"]
    assert table[2][1:3] == ["1", "green"] and table[3][1:] == ["0"] + [""] * 6


def test_scores_below_the_threshold_are_left_out(run_folder, pictures, capsys):
    predict_command.main([str(run_folder), str(pictures), "--json", "--score", "0.6"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(row["objects"]) for row in rows] == [0, 1, 0]
    with pytest.raises(SystemExit):
        predict_command.main([str(run_folder), str(pictures), "--score", "2"])


def test_drawings_frame_the_objects(run_folder, pictures, tmp_path, capsys):
    predict_command.main([str(run_folder), str(pictures), "--out", str(tmp_path / "drawn")])
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == ["a.png", "b.png", "c.png", "contact_sheet.png"]
    with Image.open(tmp_path / "drawn" / "b.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    inner = pixels[pixels.shape[0] // 4, int(pixels.shape[1] * 0.75)]
    assert inner[1] > 200 and inner[0] < 60
    column = pixels[pixels.shape[0] // 4, : pixels.shape[1] // 2 + 20]
    assert (np.abs(column - column[0]).sum(-1) > 100).any(), "no frame is drawn at the object's left side"


def coco_of(pictures, folder):
    """The pictures as a data set, with the boxes of the planted cells."""
    rows = {"images": [], "annotations": [], "categories": [{"id": i, "name": name} for i, name in enumerate(COLORS)]}
    truth = {"a.png": [(0, [0, 0, 64, 32]), (2, [64, 32, 64, 32])], "b.png": [(1, [64, 0, 64, 64])], "c.png": []}
    for number, (name, boxes) in enumerate(truth.items()):
        rows["images"].append({"id": number, "file_name": name})
        rows["annotations"] += [{"image_id": number, "category_id": c, "bbox": box} for c, box in boxes]
    for split in ("train", "val", "test"):
        (pictures / f"{split}.json").write_text(json.dumps(rows))
    return f"coco:{pictures}"


def test_evaluation_of_right_answers_is_1(run_folder, pictures, tmp_path, capsys):
    out = tmp_path / "checked"
    words = [str(run_folder), "--data", coco_of(pictures, tmp_path), "--out", str(out)]
    assert evaluate_command.main(words) == 0
    said = capsys.readouterr().out
    assert "images                  3" in said and "map50              1.0000" in said
    found = json.loads((out / "metrics.json").read_text())
    assert found["metrics"]["map50"] == pytest.approx(1)
    assert found["classes"]["green"] == {"map": pytest.approx(1, abs=0.5), "map50": pytest.approx(1), "objects": 1}
    assert (out / "precision_recall.png").is_file() and not (out / "mistakes.png").exists()


def test_worst_pictures_are_those_with_missed_and_invented_objects(run_folder):
    model = tfdl.load(run_folder)
    images = np.zeros((3, SIDE, SIDE, 3), "float32")
    images[0, :16, :16, 0] = images[1, :16, :16, 0] = images[1, 16:, 16:, 1] = 1
    truth = {
        "boxes": np.tile(CELLS[None, :1], (3, 1, 1)),
        "labels": np.array([[0], [1], [0]]),  # right; of another class; not there
    }
    scores = evaluate(model, [(images, truth)], COLORS)
    assert [(worst.index, worst.missed, len(worst.invented)) for worst in scores.worst] == [(1, 1, 2), (2, 1, 0)]
    assert scores.count == 3 and 0 < scores.metrics["map50"] < 1
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(model, [], COLORS)


def test_other_models_and_labels_are_refused(run_folder, tmp_path):
    with pytest.raises(ValueError, match="There are 2 labels for 3 classes"):
        tfdl.load(run_folder, labels=["a", "b"])
    images = keras.Input((8, 8, 3), name="images")
    folder = tmp_path / "run"
    (folder / "checkpoints" / "best").mkdir(parents=True)
    keras.Model(images, keras.layers.Flatten()(images)).save(folder / "checkpoints" / "best" / "model.keras")
    write_json(folder / "task.json", Task(kind="detection", image_shape=(8, 8, 3)).to_json())
    with pytest.raises(ValueError, match="A detector has the outputs boxes .* this model"):
        tfdl.load(folder)


def test_a_set_of_objects_is_shown_whole():
    """A network that also gives places, as DETR does, finds every object once: nothing is suppressed."""
    outputs = {
        "boxes": np.array([[[4, 5, 20, 30], [4, 5, 20, 31], [0, 0, 9, 9]]], "float32"),
        "scores": np.array([[[3.0, -3.0], [2.0, -3.0], [-4.0, -5.0]]], "float32"),
    }
    shapes = {name: value.shape[1:] for name, value in outputs.items()}
    task = Task(kind="detection", labels=("a", "b"), image_shape=(32, 32, 3))
    for more, count in (({}, 1), ({"places": (3, 4)}, 2)):
        (found,) = Reader(task, SimpleNamespace(outputs=shapes | more))(outputs)
        assert found.numbers.tolist() == [0] * count
