"""MediaPipe's tasks load our files and answer as the files do; without it, what the files for it hold is read.

MediaPipe runs in a process of its own, which prints its answers.
"""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from flatbuffers import number_types as types

import tfdl
from tests.export.test_detection import TASK as DETECTION
from tests.export.test_detection import colored
from tests.export.test_metadata import Table, metadata
from tests.inference.test_detection import planted as detector
from tests.inference.test_segmentation import LABELS
from tests.inference.test_segmentation import TASK as SEGMENTATION
from tests.inference.test_segmentation import planted as segmenter
from tests.models.test_blaze_face import PICTURES, WEIGHTS, golden, images_in, with_weights  # noqa: F401 (a fixture)
from tfdl.core.task import Task
from tfdl.core.tflite_metadata import read_metadata
from tfdl.export.card import usage
from tfdl.export.exporter import export_model
from tfdl.export.tflite import run_tflite
from tfdl.export.verify import verify_export
from tfdl.learners.supervised.face_detector import FaceDetector

BEGIN = """
import json, sys
import mediapipe, numpy
from mediapipe.tasks.python import BaseOptions, vision
pictures, files = numpy.load(sys.argv[1]), sys.argv[2:]
pictures = [mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels) for pixels in pictures]
for file in files:
    base = BaseOptions(model_asset_path=file)
"""
CLASSIFY = """
    options = vision.ImageClassifierOptions(base_options=base, max_results=-1)
    with vision.ImageClassifier.create_from_options(options) as task:
        found = [task.classify(picture).classifications[0].categories for picture in pictures]
        print("RESULT", json.dumps([{one.category_name: one.score for one in rows} for rows in found]))
"""
DETECT = """
    options = vision.ObjectDetectorOptions(base_options=base, score_threshold=0.25)
    with vision.ObjectDetector.create_from_options(options) as task:
        found = [task.detect(picture).detections for picture in pictures]
        rows = []
        for row in found:
            boxes = [(box.origin_x, box.origin_y, box.width, box.height) for box in (one.bounding_box for one in row)]
            best = [(one.categories[0].category_name, one.categories[0].score) for one in row]
            rows.append([first + second for first, second in zip(best, boxes)])
        print("RESULT", json.dumps(rows))
"""
FIND_FACES = """
    options = vision.FaceDetectorOptions(base_options=base, min_detection_confidence=0.75)
    with vision.FaceDetector.create_from_options(options) as task:
        rows = []
        for found in [task.detect(picture).detections for picture in pictures]:
            boxes = [(box.origin_x, box.origin_y, box.width, box.height) for box in (one.bounding_box for one in found)]
            points = [[(point.x, point.y) for point in one.keypoints] for one in found]
            rows.append([boxes, points])
        print("RESULT", json.dumps(rows))
"""
SEGMENT = """
    options = vision.ImageSegmenterOptions(base_options=base, output_category_mask=True, output_confidence_masks=True)
    with vision.ImageSegmenter.create_from_options(options) as task:
        rows = []
        for picture in pictures:
            found = task.segment(picture)
            masks = numpy.stack([numpy.squeeze(mask.numpy_view()) for mask in found.confidence_masks], -1)
            rows.append([numpy.squeeze(found.category_mask.numpy_view()).tolist(), masks.tolist()])
        print("RESULT", json.dumps([list(task.labels), rows]))
"""


def answers(script, pictures, files, tmp_path):
    """What MediaPipe answers with each file to pictures (N, H, W, 3) uint8."""
    if importlib.util.find_spec("mediapipe") is None:
        pytest.skip("MediaPipe is not installed: `make test-extras` has it")
    np.save(tmp_path / "pictures.npy", pictures)
    words = [sys.executable, "-c", BEGIN + script, str(tmp_path / "pictures.npy"), *map(str, files)]
    run = subprocess.run(words, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return [json.loads(line.removeprefix("RESULT ")) for line in run.stdout.splitlines() if "RESULT" in line]


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    """(report, folder) of a planted detector with the file for MediaPipe."""
    folder = tmp_path_factory.mktemp("detector") / "export"
    formats = ("tflite", "mediapipe")
    return export_model(
        detector(), folder, formats=formats, representative=colored(20), task=DETECTION, progress=None
    ), folder


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory):
    """The folder of a planted segmenter with all files."""
    folder = tmp_path_factory.mktemp("segmenter") / "export"
    images = np.random.default_rng(3).random((20, 32, 32, 3), dtype="float32")
    formats = ("tflite", "tflite_float16", "tflite_int8")
    export_model(segmenter(), folder, formats=formats, representative=images, task=SEGMENTATION, progress=None)
    return folder


def test_a_detector_s_file_has_boxes_in_parts_of_the_picture(detectors):
    report, folder = detectors
    assert report["mediapipe"]["mediapipe.tflite"]["agreement_map50"] > 0.98
    assert verify_export(folder)["files"]["mediapipe.tflite"] == "ok"
    images = colored(3, seed=4)
    outputs = run_tflite((folder / "mediapipe.tflite").read_bytes(), {"images": images})
    expected = tfdl.load(folder, file="detector.tflite").predict(images)
    for location, category, score, count, found in zip(
        *(outputs[n] for n in ("location", "category", "score", "count")), expected
    ):
        count = int(np.sum(score >= 0.25))
        np.testing.assert_allclose(location[:count, [1, 0, 3, 2]] * 32, found.boxes, atol=1e-3)
        np.testing.assert_array_equal(category[:count], found.numbers)
        np.testing.assert_allclose(score[:count], found.scores, atol=1e-5)


@pytest.mark.parametrize(
    "folder, code",
    [
        ("detectors", 'ObjectDetector.createFromFile(context, "mediapipe.tflite")'),
        ("finder", 'FaceDetector.createFromFile(context, "mediapipe.tflite")'),
        ("segmenters", "ImageSegmenter.createFromOptions"),
    ],
)
def test_the_card_has_the_code_of_the_task(folder, code, request):
    made = request.getfixturevalue(folder)
    folder = made if folder == "segmenters" else made[1]
    text = usage(json.loads((folder / "report.json").read_text()))
    assert code in text and "ImageClassifier" not in text


def test_the_format_is_for_detectors(tmp_path):
    with pytest.raises(ValueError, match="mediapipe is for detectors; of classifiers and segmenters MediaPipe takes"):
        export_model(segmenter(), tmp_path / "export", formats=("mediapipe",), task=SEGMENTATION)


def test_a_segmenter_s_file_says_that_a_softmax_follows(segmenters):
    content = (segmenters / "model.tflite").read_bytes()
    (graph,) = metadata(content).many(3)
    (entry,) = graph.many(9)
    assert entry.text(0) == "SEGMENTER_METADATA"
    offset = entry.at(1) - entry.table.Pos
    start = entry.table.Vector(offset)
    options = bytes(entry.table.Bytes[start : start + entry.table.VectorLen(offset)])
    assert options[4:8] == b"V001"
    assert Table(options, int.from_bytes(options[:4], "little")).number(0, types.Int8Flags) == 2  # SOFTMAX
    assert read_metadata(content).labels == LABELS


@pytest.mark.extras
def test_mediapipe_classifies_with_each_file(all_formats, tmp_path):
    pixels = np.random.default_rng(9).integers(0, 256, (16, 12, 3), dtype="uint8")
    files = [all_formats[1] / f"model{kind}.tflite" for kind in ("", "_float16", "_int8", "_uint8")]
    for file, (result,) in zip(files, answers(CLASSIFY, pixels[None], files, tmp_path), strict=True):
        logits = run_tflite(file.read_bytes(), {"images": pixels[None] / np.float32(255)})["logits"][0]
        assert [result[label] for label in ("cat", "dog", "emu", "fox", "gnu")] == pytest.approx(
            logits.tolist(), abs=1e-3
        )


@pytest.mark.extras
def test_mediapipe_finds_the_same_objects(detectors, tmp_path):
    pictures = np.round(255 * colored(4, seed=7)).astype("uint8")
    (rows,) = answers(DETECT, pictures, [detectors[1] / "mediapipe.tflite"], tmp_path)
    for row, found in zip(rows, tfdl.load(detectors[1], file="detector.tflite").predict(pictures)):
        expected = [(label, score, x1, y1, x2 - x1, y2 - y1) for label, score, (x1, y1, x2, y2) in found.objects()]
        assert len(row) == len(expected) > 0
        for (label, *own), (name, *numbers) in zip(row, expected):
            assert label == name
            np.testing.assert_allclose(own, numbers, atol=1e-3)


@pytest.mark.extras
def test_mediapipe_s_masks_are_the_same(segmenters, tmp_path):
    pictures = np.random.default_rng(8).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
    files = [segmenters / f"model{kind}.tflite" for kind in ("", "_float16", "_int8", "_uint8")]
    for file, (labels, rows) in zip(files, answers(SEGMENT, pictures, files, tmp_path), strict=True):
        assert labels == list(LABELS)
        outputs = run_tflite(file.read_bytes(), {"images": pictures / np.float32(255)})["logits"]
        shares = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
        for (mask, confidences), logits, share in zip(rows, outputs, shares):
            np.testing.assert_allclose(confidences, share, atol=1e-3)
            decided = np.diff(np.sort(logits, -1)[..., -2:], axis=-1)[..., 0] > 1e-4
            np.testing.assert_array_equal(np.array(mask)[decided], logits.argmax(-1)[decided])


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    """A FaceDetector's files; its network is the one that others have trained, where it is."""
    weights = WEIGHTS / "blazeface.pth"
    network = tfdl.build("blaze_face", weights=weights if weights.is_file() else None, normalize="unit")
    folder = tmp_path_factory.mktemp("faces") / "export"
    task = Task(kind="detection", labels=("face",), image_shape=(128, 128, 3), resize="pad")
    images = np.random.default_rng(2).random((8, 128, 128, 3), dtype="float32")
    formats = ("tflite", "mediapipe")
    export_model(FaceDetector(network), folder, formats=formats, representative=images, task=task, progress=None)
    return network, folder


def test_a_face_detector_s_file_has_what_the_network_puts_out(finder):
    network, folder = finder
    content = (folder / "mediapipe.tflite").read_bytes()
    images = np.random.default_rng(4).random((2, 128, 128, 3), dtype="float32")
    outputs, live = run_tflite(content, {"images": images}), network(images)
    assert set(outputs) == {"offsets", "scores"}
    for name, values in outputs.items():
        np.testing.assert_allclose(values, live[name], atol=1e-3)
    assert read_metadata(content).std == (255.0,)


@pytest.mark.extras
@with_weights
def test_mediapipe_finds_the_known_faces(finder, golden, tmp_path):  # noqa: F811 (a fixture)
    pictures = np.round(255 * images_in(golden)).astype("uint8")
    (rows,) = answers(FIND_FACES, pictures, [finder[1] / "mediapipe.tflite"], tmp_path)
    for (boxes, points), (name, count) in zip(rows, PICTURES.items(), strict=True):
        known = golden[name]["detections"]  # yxyx, six points x y, score; in parts of the picture
        assert len(boxes) == count == len(known)
        for box, own, row in zip(boxes, points, known):
            corner, size = 128 * row[[1, 0]], 128 * (row[[3, 2]] - row[[1, 0]])
            np.testing.assert_allclose(box, [*corner, *size], atol=1.01)  # MediaPipe gives whole pixels
            np.testing.assert_allclose(np.array(own), row[4:16].reshape(6, 2), atol=1e-3)
