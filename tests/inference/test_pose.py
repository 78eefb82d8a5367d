"""Answers of estimators of poses: points in pixels of the pictures themselves, drawn, as JSON and CSV, evaluated, and
the same from every file.

The estimator is planted: the key point of each channel is where the picture is brightest in it.
"""

import csv
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

import tfdl
from tests.data.test_keypoints import coco_folder
from tfdl.commands import evaluate as evaluate_command
from tfdl.commands import predict as predict_command
from tfdl.core.bodies import BODIES
from tfdl.core.files import write_json
from tfdl.core.task import Task
from tfdl.data.keypoints import load
from tfdl.export import pose
from tfdl.export.exporter import export_model
from tfdl.export.parity import ExportError
from tfdl.export.verify import verify_export
from tfdl.inference.pose_scores import evaluate

SIDE = 32
NAMES = ("left hand", "right hand", "head")
LINES = ((0, 2), (1, 2))
TASK = Task(kind="pose", labels=NAMES, lines=LINES, image_shape=(SIDE, SIDE, 3), resize="pad")


def planted(coordinates=False):
    """Heat maps of stride 2: each channel averaged over 5 x 5 pixels; or the coordinates of one that weighs pixels."""
    images = keras.Input((SIDE, SIDE, 3), name="images")
    if not coordinates:
        x = keras.layers.DepthwiseConv2D(5, 2, padding="same", use_bias=False, name="blur")(images)
        model = keras.Model(images, {"heatmaps": keras.layers.Identity(name="heatmaps")(x)}, name="planted")
        bell = np.exp(-((np.arange(5) - 1.5) ** 2) / 4)  # an even stride: the middle of two pixels
        kernel = np.outer(bell, bell) / np.outer(bell, bell).sum()
        model.get_layer("blur").set_weights([np.repeat(kernel[..., None], 3, -1)[..., None].astype("float32")])
        return model
    flat = keras.layers.Permute((2, 1))(keras.layers.Reshape((SIDE * SIDE, 3))(images))  # (B, 3, H W)
    places = keras.layers.Dense(2, use_bias=False, name="places")(flat)
    visibility = keras.layers.Dense(1, name="sum")(flat)  # (B, 3, 1)
    model = keras.Model(images, {"keypoints": places, "visibility": visibility}, name="planted")
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    weights = np.stack([columns, rows], -1).reshape(-1, 2) / 16  # spots have 4 x 4 pixels of 1
    model.get_layer("places").set_weights([weights.astype("float32")])
    model.get_layer("sum").set_weights([np.full((SIDE * SIDE, 1), 0.5, "float32"), np.full(1, -4.0, "float32")])
    return model


def spots(count, side=SIDE, seed=0):
    """Pictures (N, side, side, 3) with a spot of 4 x 4 pixels in each channel, and its middle (N, 3, 2)."""
    rng = np.random.default_rng(seed)
    low = rng.integers(2, side - 6, (count, 3, 2))
    images = np.zeros((count, side, side, 3), "float32")
    for image, places in zip(images, low):
        for channel, (x, y) in enumerate(places):
            image[y : y + 4, x : x + 4, channel] = 1
    return images, low + 2.0


@pytest.fixture(scope="module", params=["heatmaps", "coordinates"])
def run_folder(request, tmp_path_factory):
    return folder_of(planted(request.param == "coordinates"), tmp_path_factory.mktemp("planted") / "run")


def folder_of(model, folder, task=TASK):
    (folder / "checkpoints" / "best").mkdir(parents=True)
    model.save(folder / "checkpoints" / "best" / "model.keras")
    write_json(folder / "task.json", task.to_json())
    return folder


def picture(tmp_path):
    """A picture of 64 x 128 pixels, which the network sees in half, with black above and below; and its spots."""
    (tmp_path / "photos").mkdir()
    pixels = np.zeros((64, 128, 3), "uint8")
    places = [(20, 30), (100, 40), (64, 12)]
    for channel, (x, y) in enumerate(places):
        pixels[y - 8 : y + 8, x - 8 : x + 8, channel] = 255
    Image.fromarray(pixels).save(tmp_path / "photos" / "a.png")
    return tmp_path / "photos", places


def test_points_are_those_of_the_picture_itself(run_folder, tmp_path):
    photos, places = picture(tmp_path)
    (pose,) = tfdl.load(run_folder).predict([photos])
    assert pose.size == (64, 128) and pose.keypoints.shape == (3, 3)
    np.testing.assert_allclose(pose.keypoints[:, :2], places, atol=2.5)  # 4 pixels are one of the network's
    assert (pose.keypoints[:, 2] > 0.5).all() and "3 points" in repr(pose)


def test_table_json_csv_and_drawings(run_folder, tmp_path, capsys):
    photos, places = picture(tmp_path)
    words = [str(run_folder), str(photos)]
    predict_command.main(words)
    assert "3 points, mean score" in capsys.readouterr().out
    predict_command.main([*words, "--json", "--out", str(tmp_path / "drawn")])
    row = json.loads(capsys.readouterr().out)
    assert [point["label"] for point in row["keypoints"]] == list(NAMES) and row["width"] == 128
    assert row["keypoints"][1]["x"] == pytest.approx(places[1][0], abs=2.5)
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"a.png", "contact_sheet.png"}
    predict_command.main([*words, "--csv", "--top", "4"])
    table = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert table[0][:5] == ["path", "label_1", "score_1", "x_1", "y_1"] and table[1][13:] == [""] * 4


def test_evaluation(run_folder, tmp_path, capsys):
    """Of dolls whose hands and head are colored as the planted heat maps want them; coordinates need a black ground."""
    file = coco_folder(tmp_path)
    out = tmp_path / "checked"
    assert (
        evaluate_command.main([str(run_folder), "--data", f"coco:{file}", "--split", "train", "--out", str(out)]) == 0
    )
    assert "nme" in capsys.readouterr().out
    found = json.loads((out / "metrics.json").read_text())
    has_maps = tfdl.load(run_folder).reader.stride is not None
    assert (found["metrics"]["pck"] > 0.8) == has_maps and set(found["points"]) == set(NAMES) and found["worst"]
    assert (out / "mistakes.png").is_file() and (out / "errors.png").is_file()


class Oracle:
    """Stands for a predictor of COCO's points in another order: it answers with the truth, moved by some pixels."""

    def __init__(self, batches, shift):
        self.answers = {images.tobytes(): truth["keypoints"][:, 0, ::-1] for images, truth in batches}
        self.shift, self.reader = shift, self
        self.labels = BODIES["coco"].names[::-1]
        self.task = Task(kind="pose", labels=self.labels)

    def outputs(self, images):
        return self.answers[images.tobytes()]

    def keypoints(self, points):
        return points + np.array([self.shift, 0, 0], "float32")


def test_scores_of_coco_s_points_have_precision_by_oks_and_name_the_worst_pictures():
    batches = list(load("figures", image_size=96, batch_size=4, limit=6).test.as_numpy_iterator())
    right, wrong = (evaluate(Oracle(batches, shift), batches, BODIES["coco"]) for shift in (0.0, 6.0))
    assert right.count == 6 and right.metrics["oks_ap"] == pytest.approx(1) and right.metrics["nme"] == 0
    assert wrong.metrics["oks_ap"] < 0.9 and wrong.metrics["nme"] > 0.1
    errors = [picture.error for picture in wrong.worst]
    assert errors == sorted(errors, reverse=True) and len(errors) == 6
    assert wrong.points["left knee"]["nme"] > 0.1 and len(wrong.points) == 17
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(Oracle(batches, 0.0), [], BODIES["coco"])


@pytest.fixture(scope="module")
def exported(run_folder, tmp_path_factory):
    """(report, folder, live model) of an export with the int8 files."""
    folder, model = tmp_path_factory.mktemp("export") / "e", tfdl.load(run_folder)
    options = {"formats": ("savedmodel", "tflite", "tflite_int8"), "representative": spots(40)[0], "task": TASK}
    return export_model(model.backend.model, folder, progress=None, **options), folder, model


def test_every_file_answers_as_the_model(exported):
    report, folder, model = exported
    images, places = spots(6, seed=3)
    live = np.stack([pose.keypoints for pose in model.predict(images)])
    np.testing.assert_allclose(live[..., :2], places, atol=1.0)
    has_maps = "heatmaps" in report["signature"]["outputs"]
    assert set(report["poses"]) == (set(pose.FILES.values()) if has_maps else set())
    for file in (*report["artifacts"], *report["poses"]):
        found = np.stack([pose.keypoints for pose in tfdl.load(folder, file=file).predict(images)])
        atol = 0.8 if "int8" in file else 1e-2  # also in model_uint8.tflite
        np.testing.assert_allclose(found, live, atol=atol, err_msg=file)
    rows = [*report["artifacts"].values(), *report["poses"].values()]
    assert not any(name.startswith(("CUSTOM", "Flex")) for row in rows for name in row.get("operators", ()))
    assert verify_export(folder)["files"]["model.tflite"] == "ok"
    assert (folder / "labels.txt").read_text().split("\n")[:3] == list(NAMES)


def test_a_file_that_finds_something_else_is_refused():
    expected = np.concatenate([spots(4)[1], np.ones((4, 3, 1))], -1)
    row = pose.check_agreement("a.tflite", "tflite", expected[..., :2] + 0.1, expected, near=0.6)
    assert row["agreement_points"] == 1
    with pytest.raises(ExportError, match="a.tflite does not find .* 0.000 of its points are under 0.99"):
        pose.check_agreement("a.tflite", "tflite", expected[..., :2] + 9, expected, near=0.6)
    expected[..., 2] = 0
    assert (
        pose.check_agreement("a.tflite", "tflite", expected[..., :2] + 9, expected, near=0.6)["agreement_points"]
        is None
    )


def test_other_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="There are 2 labels for 3 key points"):
        tfdl.load(
            folder_of(planted(), tmp_path / "a", Task(kind="pose", labels=NAMES[:2], image_shape=(SIDE, SIDE, 3)))
        )
    with pytest.raises(ValueError, match="join points from 3 on"):
        task = Task(kind="pose", lines=((0, 5),), image_shape=(SIDE, SIDE, 3))
        tfdl.load(folder_of(planted(), tmp_path / "b", task))
    images = keras.Input((SIDE, SIDE, 3), name="images")
    plain = keras.Model(images, keras.layers.Flatten()(images), name="plain")
    with pytest.raises(ValueError, match="An estimator of poses has the outputs heatmaps"):
        tfdl.load(folder_of(plain, tmp_path / "c"))
    with pytest.raises(ValueError, match="'plain' has no output heatmaps"):
        pose.pose_in_use(plain)
