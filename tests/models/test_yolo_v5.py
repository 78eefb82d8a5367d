"""YOLOv5: counts and maps as published, boxes from anchors, scores as products."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import but_slow, images_of, outline
from tests.models.test_yolo_v8 import weights_of
from tfdl.core.outline import multiply_adds
from tfdl.export.detection import in_use
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.layers.anchor_boxes import AnchorBoxes
from tfdl.learners.supervised.anchor_detector import AnchorDetector
from tfdl.models.detection.yolo_v5 import ANCHORS, STRIDES, YOLOv5Config, both, yolo_v5

COUNTS = {"n": 1_872_157, "s": 7_235_389, "m": 21_190_557}  # with 80 classes
GIGA = {"n": 4.5, "s": 16.5, "m": 49.0}  # operations on 640 x 640, two for each multiply-add, as published
SHAPE = (32, 64, 3)


@pytest.mark.parametrize("variant", but_slow(COUNTS, "m"))
def test_counts_are_the_published_ones(variant):
    model = outline(yolo_v5, variant)
    assert weights_of(model) == COUNTS[variant]
    assert 2e-9 * multiply_adds(model) == pytest.approx(GIGA[variant], rel=0.03)


@pytest.fixture(scope="module")
def nano():
    keras.utils.set_random_seed(0)
    return yolo_v5("nano", image_shape=SHAPE, num_classes=2)


def test_outputs_are_three_boxes_of_every_cell(nano):
    count = 3 * sum(SHAPE[0] * SHAPE[1] // s**2 for s in STRIDES)
    shapes = {name: x.shape[1:] for name, x in nano.output.items()}
    assert shapes == {"boxes": (count, 4), "scores": (count, 2), "objectness": (count, 1), "classes": (count, 2)}
    maps = outline(yolo_v5, "n", image_shape=(64, 96, 3), num_classes=None).output
    assert {name: x.shape[1:3] for name, x in maps.items()} == {f"stride{s}": (64 // s, 96 // s) for s in STRIDES}


def test_boxes_are_those_of_the_equations():
    layer = AnchorBoxes((16, 24), (8,), (((6, 9), (20, 12)),))
    offsets = np.random.default_rng(0).normal(0, 2, (1, 12, 4)).astype("float32")
    boxes = np.array(layer(offsets))[0]
    for row in range(2):
        for column in range(3):
            for m, (width, height) in enumerate(((6, 9), (20, 12))):
                place = (row * 3 + column) * 2 + m
                s = 1 / (1 + np.exp(-offsets[0, place].astype("float64")))
                x, y = 8 * (2 * s[0] - 0.5 + column), 8 * (2 * s[1] - 0.5 + row)
                w, h = width * (2 * s[2]) ** 2, height * (2 * s[3]) ** 2
                np.testing.assert_allclose(boxes[place], [x - w / 2, y - h / 2, x + w / 2, y + h / 2], atol=1e-4)


def test_offsets_of_zero_are_the_anchors_in_the_middle_of_their_cells():
    model = yolo_v5("nano", image_shape=SHAPE, num_classes=2)
    layer = model.get_layer("boxes")
    boxes = np.array(layer(np.zeros((1, len(layer.sizes), 4), "float32")))[0]
    np.testing.assert_allclose(boxes[:3, 2:] - boxes[:3, :2], ANCHORS[0], rtol=1e-5)
    np.testing.assert_allclose((boxes[:3, 2:] + boxes[:3, :2]) / 2, 4.0, atol=1e-4)


def test_scores_are_products_of_probabilities():
    rng = np.random.default_rng(0)
    objectness, classes = rng.normal(0, 3, (2, 5, 1)).astype("float32"), rng.normal(0, 3, (2, 5, 4)).astype("float32")
    p = tf.sigmoid(objectness) * tf.sigmoid(classes)
    np.testing.assert_allclose(tf.sigmoid(both(objectness, classes)), p, atol=2e-6)
    assert np.isfinite(both(objectness * 100, classes * 100)).all()


def test_saved_model_and_tflite_file_give_the_same(nano, tmp_path):
    images = images_of(2, *SHAPE)
    expected = nano(images)
    nano.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)(images)
    model = in_use(nano)
    file = run_tflite(convert_float(graph(model, signature_of(model))), {"images": images})
    for name in expected:
        np.testing.assert_allclose(loaded[name], expected[name], atol=1e-4)
    for name in file:
        np.testing.assert_allclose(file[name], expected[name], atol=5e-3)


def test_a_learner_takes_it_and_is_saved(nano, tmp_path):
    model = AnchorDetector(nano, gains=(0.1, 0.2, 0.3))
    images = images_of(3, *SHAPE)
    y = {"boxes": np.tile([[[2.0, 3, 20, 25]]], (3, 1, 1)).astype("float32"), "labels": np.array([[0], [1], [-1]])}
    loss = float(model.compute_loss(images, y, model(images)))
    assert np.isfinite(loss) and loss > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, AnchorDetector) and loaded.gains == (0.1, 0.2, 0.3)
    assert float(loaded.compute_loss(images, y, loaded(images))) == pytest.approx(loss, rel=1e-4)
    assert model.detect(images)["boxes"].shape == (3, 100, 4)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"image_shape is \(100, 64, 3\); yolo_v5 needs .* multiples of 32"):
        yolo_v5("nano", image_shape=(100, 64, 3))
    with pytest.raises(ValueError, match="depth and width must be positive"):
        YOLOv5Config(depth=0, width=1)
