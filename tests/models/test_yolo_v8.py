"""YOLOv8: counts and maps as published, boxes from distributions, and what its outputs mean."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import but_slow, images_of, outline
from tfdl.core.outline import multiply_adds
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.layers.box_distribution import BoxDistribution
from tfdl.models.detection.yolo_v8 import BINS, STRIDES, VARIANTS, YOLOv8Config, yolo_v8
from tfdl.ops.boxes import grid_points

COUNTS = {"n": 3_157_200, "s": 11_166_560, "m": 25_902_640}  # with 80 classes
GIGA = {"n": 8.7, "s": 28.6, "m": 78.9}  # operations on 640 x 640, two for each multiply-add, as published
SHAPE = (32, 64, 3)


def weights_of(model):
    """Weights as PyTorch counts its parameters: those of batch normalization's moving statistics are none."""
    return sum(int(np.prod(w.shape)) for w in model.weights if not w.name.startswith("moving"))


@pytest.mark.parametrize("variant", but_slow(COUNTS, "m"))
def test_counts_are_the_published_ones(variant):
    model = outline(yolo_v8, variant)
    assert weights_of(model) == COUNTS[variant]
    assert 2e-9 * multiply_adds(model) == pytest.approx(GIGA[variant], rel=0.03)


@pytest.fixture(scope="module")
def nano():
    keras.utils.set_random_seed(0)
    return yolo_v8("nano", image_shape=SHAPE, num_classes=3)


def test_outputs_are_boxes_scores_and_distances_of_every_point(nano):
    count = sum(SHAPE[0] * SHAPE[1] // s**2 for s in STRIDES)
    shapes = {name: x.shape for name, x in nano.output.items()}
    assert shapes == {"boxes": (None, count, 4), "scores": (None, count, 3), "distances": (None, count, 4 * BINS)}
    assert {x.dtype for x in nano.output.values()} == {"float32"}


def test_without_classes_there_are_three_maps():
    maps = outline(yolo_v8, "n", image_shape=(64, 96, 3), num_classes=None).output
    assert {name: x.shape[1:3] for name, x in maps.items()} == {f"stride{s}": (64 // s, 96 // s) for s in STRIDES}


def test_first_scores_are_those_of_a_few_objects(nano):
    """Else the loss of thousands of empty points would fill the first epochs."""
    scores = np.array(nano(images_of(2, *SHAPE))["scores"])
    assert tf.sigmoid(scores).numpy().mean() < 0.02


@pytest.mark.parametrize("bins", [4, 16])
def test_boxes_are_the_means_of_their_distributions(bins):
    points, strides = grid_points((32, 64), (8, 16))
    layer = BoxDistribution((32, 64), (8, 16), bins)
    logits = np.random.default_rng(0).normal(0, 2, (2, len(points), 4 * bins)).astype("float32")
    boxes = np.array(layer(logits))
    row = np.exp(logits[1, 7].reshape(4, bins).astype("float64"))
    left, top, right, bottom = (row @ np.arange(bins)) / row.sum(-1) * strides[7]
    x, y = points[7]
    np.testing.assert_allclose(boxes[1, 7], [x - left, y - top, x + right, y + bottom], atol=1e-4)
    assert layer.weights[0].shape == (bins,) and not layer.trainable_weights


def test_sure_distributions_are_boxes_of_whole_strides():
    layer, (points, strides) = BoxDistribution((32, 32), (8,), 16), grid_points((32, 32), (8,))
    logits = np.zeros((1, len(points), 4, 16), "float32")
    logits[..., 3] = 50
    boxes = np.array(layer(logits.reshape(1, -1, 64)))[0]
    np.testing.assert_allclose(boxes, np.concatenate([points - 3 * strides, points + 3 * strides], -1), atol=1e-3)


def test_distribution_of_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"for images \(32, 32\) and strides \(8,\) it needs \(B, 16, 64\)"):
        BoxDistribution((32, 32), (8,))(np.zeros((1, 15, 64), "float32"))


def test_an_object_that_moves_by_a_stride_moves_its_outputs_by_a_point():
    """Far from the border; statistics of batch normalization are constant in inference."""
    keras.utils.set_random_seed(1)
    model = yolo_v8(YOLOv8Config(depth=0.1, width=1 / 16, most=128), image_shape=(320, 320, 3), num_classes=2)
    first, second = np.zeros((1, 320, 320, 3), "float32"), np.zeros((1, 320, 320, 3), "float32")
    blob = images_of(32, 32, 3)
    first[0, 128:160, 128:160], second[0, 128:160, 160:192] = blob, blob
    maps = [np.array(model(x)["scores"])[0, :1600].reshape(40, 40, 2) for x in (first, second)]
    assert np.abs(maps[0][16:20, 16:20] - maps[0][16:20, 30:34]).max() > 1e-5
    np.testing.assert_allclose(maps[1][14:22, 18:26], maps[0][14:22, 14:22], atol=1e-5)


def test_saved_model_and_tflite_file_give_the_same(nano, tmp_path):
    images = images_of(2, *SHAPE)
    expected = nano(images)
    nano.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)(images)
    file = run_tflite(convert_float(graph(nano, signature_of(nano))), {"images": images})
    for name in expected:
        np.testing.assert_allclose(loaded[name], expected[name], atol=1e-5)
        np.testing.assert_allclose(file[name], expected[name], atol=2e-3)


def test_mixed_precision_has_float32_outputs():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = yolo_v8("nano", image_shape=SHAPE, num_classes=3)
        outputs = model(images_of(2, *SHAPE))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(x.dtype) for x in outputs.values()} == {"float32"}
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"image_shape is \(100, 64, 3\); yolo_v8 needs .* multiples of 32"):
        yolo_v8("nano", image_shape=(100, 64, 3))
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        yolo_v8("nano", image_shape=SHAPE, num_classes=0)
    with pytest.raises(ValueError, match="depth, width and most must be positive"):
        YOLOv8Config(depth=0, width=1)
    assert next(iter(VARIANTS)) == "nano"
