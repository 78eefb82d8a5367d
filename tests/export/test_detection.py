"""Files of detectors: with and without suppression inside, float and int8, they find what the live model finds."""

import keras
import numpy as np
import pytest

import tfdl
from tests.inference.test_detection import CELLS, COLORS, SIDE, planted
from tfdl.core.task import Task
from tfdl.export import detection
from tfdl.export.exporter import export_model
from tfdl.export.graph import graph
from tfdl.export.parity import ExportError
from tfdl.export.quantize import convert_int8, with_pixels
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import operators, run_tflite
from tfdl.export.verify import verify_export
from tfdl.layers.box_distribution import BoxDistribution
from tfdl.ops.suppression import non_max_suppression

TASK = Task(kind="detection", labels=COLORS, image_shape=(SIDE, SIDE, 3), resize="pad")


def colored(count, seed=0):
    """Pictures whose four cells are red, green, blue or black."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, SIDE, SIDE, 3), "float32")
    for image in images:
        for x1, y1, x2, y2 in CELLS.astype(int):
            channel = rng.integers(4)
            if channel < 3:
                image[y1:y2, x1:x2, channel] = rng.uniform(0.7, 1.0)
    return images


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(report, folder) of the planted detector."""
    folder = tmp_path_factory.mktemp("detector") / "export"
    formats = ("tflite", "tflite_int8")
    return export_model(
        planted(), folder, formats=formats, representative=colored(40), task=TASK, progress=None
    ), folder


def test_files_with_suppression_find_what_the_model_finds(exported):
    report, folder = exported
    assert set(report["detectors"]) == {"detector.tflite", "detector_int8.tflite"}
    for name, row in report["detectors"].items():
        assert row["agreement_map50"] > 0.98, name
        assert row["operators"]["NON_MAX_SUPPRESSION_V4"] == 1
        assert not any(operator.startswith("CUSTOM") for operator in row["operators"])
    assert report["labels"] == list(COLORS) and report["task"]["kind"] == "detection"
    assert set(report["signature"]["outputs"]) == {"boxes", "scores"}


@pytest.mark.parametrize("file", ["model.tflite", "detector.tflite", "model_int8.tflite", "detector_int8.tflite"])
def test_every_file_answers_as_the_model(exported, file):
    images = colored(6, seed=5)
    model = tfdl.load(exported[1], file=file)
    live = tfdl.load(exported[1], file="model.tflite").predict(images)
    for found, expected in zip(model.predict(images), live):
        assert sorted(found.numbers) == sorted(expected.numbers)
        pairs = zip(sorted(map(tuple, found.boxes)), sorted(map(tuple, expected.boxes)))
        assert all(np.allclose(a, b, atol=0.5) for a, b in pairs)


def distributed():
    """A network of four points, whose boxes are decoded from distributions, as YOLOv8 has them."""
    keras.utils.set_random_seed(0)
    images = keras.Input((SIDE, SIDE, 3), name="images")
    maps = keras.layers.Conv2D(8, 4, 4, activation="relu")(images)
    spread = keras.initializers.RandomNormal(stddev=0.3, seed=1)
    logits = keras.layers.Conv2D(64, 4, 4, kernel_initializer=spread, name="box")(maps)
    boxes = BoxDistribution((SIDE, SIDE, 3), (16,), 16)(keras.layers.Reshape((4, 64))(logits))
    scores = keras.layers.Reshape((4, 3))(keras.layers.Conv2D(3, 4, 4, name="class")(maps))
    return keras.Model(images, {"boxes": boxes, "scores": scores}, name="distributed")


def test_boxes_are_decoded_in_float_from_integers():
    """In 8 bits throughout, the mean over the bins would be wrong by pixels, and so would the boxes."""
    model, images = distributed(), np.random.default_rng(0).random((24, SIDE, SIDE, 3), dtype="float32")
    signature = signature_of(model, input_range=(0, 1))
    live = model.predict(images, verbose=0)["boxes"]
    assert np.ptp(live[..., 2] - live[..., 0]) > 16, "boxes of many sizes"
    made = graph(model, signature, integers=True)
    files = [convert_int8(made, signature, {"images": images}, decoding=decoding) for decoding in (False, True)]
    rough, fine = (np.abs(run_tflite(file, {"images": images})["boxes"] - live).max() for file in files)
    assert fine < 1.0 and rough > 4 * fine
    assert operators(files[1])["DEQUANTIZE"] == 2, "the outputs of both heads, which are integers"
    pixels = np.round(255 * images)
    answers = run_tflite(with_pixels(files[1], decoding=True), {"images": pixels / 255})
    assert np.abs(answers["boxes"] - live).max() < 1.0


def test_folder_is_verified_with_its_detectors(exported):
    _, folder = exported
    assert verify_export(folder)["files"]["detector.tflite"] == "ok"


def test_suppression_is_the_library_s_own():
    """On random boxes, with classes that overlap."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 30, (1, 60, 2))
    boxes = np.concatenate([low, low + rng.uniform(8, 30, (1, 60, 2))], -1).astype("float32")
    logits = rng.normal(-1, 2, (1, 60, 3)).astype("float32")
    found = detection.Suppression(side=64)({"boxes": boxes, "scores": logits})
    expected = detection.live_detections({"boxes": boxes, "scores": logits})
    count = int((expected["labels"] >= 0).sum())
    assert 5 < count < detection.DETECTIONS
    np.testing.assert_array_equal(found["labels"], expected["labels"])
    np.testing.assert_allclose(found["scores"][0, :count], expected["scores"][0, :count], atol=1e-6)
    np.testing.assert_allclose(found["boxes"][0, :count], expected["boxes"][0, :count], atol=1e-4)
    any_class = non_max_suppression(boxes, keras.ops.sigmoid(logits), iou_threshold=0.5, class_aware=False)
    assert int((np.array(any_class["labels"]) >= 0).sum()) < count, "classes leave each other alone"


def test_a_file_that_finds_something_else_is_refused():
    boxes = np.array([[[0, 0, 10, 10], [20, 20, 30, 30]]], "float32")
    live = {"boxes": boxes, "scores": np.array([[0.9, 0.8]]), "labels": np.array([[0, 1]])}
    row = detection.check_agreement("a.tflite", "tflite", live, live, 2)
    assert row["agreement_map50"] == pytest.approx(1)
    other = {**live, "boxes": boxes + 50}
    with pytest.raises(ExportError, match="a.tflite does not find .* mAP50 0.000 .* under 0.98"):
        detection.check_agreement("a.tflite", "tflite", other, live, 2)
    nothing = {**live, "scores": np.array([[0.1, 0.1]])}
    assert detection.check_agreement("a.tflite", "tflite", other, nothing, 2)["agreement_map50"] is None


def test_a_model_without_boxes_is_refused():
    images = keras.Input((8, 8, 3), name="images")
    with pytest.raises(ValueError, match="'plain' has no outputs boxes and scores"):
        detection.in_use(keras.Model(images, keras.layers.Flatten()(images), name="plain"))


def test_an_int8_file_that_finds_something_else_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(detection.AGREEMENT, "tflite_int8", 1.1)  # more than there is
    said, formats = [], ("tflite", "tflite_int8")
    options = dict(formats=formats, representative=colored(20), task=TASK, progress=said.append)
    report = export_model(planted(), tmp_path / "export", **options)
    assert list(report["detectors"]) == ["detector.tflite"]
    assert "does not find what the live model finds" in report["left_out"]["detector_int8.tflite"]
    assert not (tmp_path / "export" / "detector_int8.tflite").exists()
    assert any(line.startswith("export: no detector_int8.tflite") for line in said)


def test_files_of_sets_suppress_nothing():
    """Two boxes of one class over each other, as DETR may find them: both stay."""
    images = keras.Input((SIDE, SIDE, 3), name="images")
    x = keras.layers.Lambda(lambda x: 0 * x[:, 0, :2, :1] + 1.0, output_shape=(2, 1))(images)
    boxes = keras.layers.Lambda(lambda x: x * np.array([4, 5, 20, 30], "float32"), output_shape=(2, 4))(x)
    scores = keras.layers.Lambda(lambda x: x * np.array([[3.0, -3.0], [2.0, -3.0]], "float32"), output_shape=(2, 2))(x)
    model = keras.Model(images, {"boxes": boxes, "scores": scores, "places": boxes, "logits": scores})
    source = detection.in_use(model)
    assert set(source.output) == {"boxes", "scores", "places"}
    pictures = np.zeros((1, SIDE, SIDE, 3), "float32")
    found = detection.with_suppression(source)(pictures)
    assert np.array(found["labels"])[0, :3].tolist() == [0, 0, -1]
    expected = detection.live_detections({name: np.array(value) for name, value in source(pictures).items()})
    assert expected["labels"][0, :3].tolist() == [0, 0, -1]
    plain = keras.Model(images, {"boxes": boxes, "scores": scores})
    assert np.array(detection.with_suppression(plain)(pictures)["labels"])[0, :2].tolist() == [0, -1]
