"""DETR: counts as published, what its outputs mean, positions of padded pictures, and files."""

import keras
import numpy as np
import pytest

from tests.harness import images_of, outline, settle
from tfdl.export.detection import in_use
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.detection.detr import DetectionTransformer, DETRConfig, detr
from tfdl.ops.positions import map_sinusoids

SHAPE = (50, 70, 3)


def count(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


def test_counts_are_the_published_ones():
    model = outline(detr, "r50")
    in_norms = count(w for n in model.layers if isinstance(n, keras.layers.BatchNormalization) for w in n.weights)
    assert count(model.weights) - in_norms == 41_524_768  # frozen norms are constants
    assert count(model.trainable_weights) == 41_302_368  # the stem and the first stage have 222,400


@pytest.fixture(scope="module")
def nano():
    keras.utils.set_random_seed(0)
    model = detr("nano", image_shape=SHAPE, num_classes=3)
    settle(model)
    return model


def test_outputs_are_those_of_every_query_and_layer(nano):
    shapes = {name: x.shape[1:] for name, x in nano.output.items()}
    assert shapes == {"boxes": (7, 4), "scores": (7, 3), "logits": (2, 7, 4), "places": (2, 7, 4)}
    assert {x.dtype for x in nano.output.values()} == {"float32"}


def test_scores_and_boxes_are_those_of_the_last_layer(nano):
    outputs = {name: np.array(x) for name, x in nano(images_of(2, *SHAPE)).items()}
    odds = np.exp(outputs["logits"][:, -1])
    probabilities = odds / odds.sum(-1, keepdims=True)
    np.testing.assert_allclose(1 / (1 + np.exp(-outputs["scores"])), probabilities[..., :-1], atol=1e-5)
    x, y, w, h = np.moveaxis(outputs["places"][:, -1], -1, 0)
    corners = np.stack([70 * (x - w / 2), 50 * (y - h / 2), 70 * (x + w / 2), 50 * (y + h / 2)], -1)
    np.testing.assert_allclose(outputs["boxes"], corners, atol=1e-4)


def test_without_classes_there_is_the_memory():
    assert outline(detr, "nano", image_shape=SHAPE, num_classes=None).output["memory"].shape == (None, 2, 3, 16)


def test_padding_changes_neither_positions_nor_what_is_seen():
    """The same map alone and in the corner of a larger one with noise around it."""
    keras.utils.set_random_seed(1)
    layer = DetectionTransformer(8, 2, encoder=2, decoder=2, inner=12, queries=3)
    small = np.random.default_rng(0).normal(size=(1, 3, 4, 8)).astype("float32")
    large = np.random.default_rng(1).normal(size=(1, 5, 6, 8)).astype("float32")
    large[:, :3, :4] = small
    mask = np.zeros((1, 50, 60), "float32")
    mask[:, :30, :40] = 1
    np.testing.assert_allclose(layer(large, is_picture=mask)["objects"], layer(small)["objects"], atol=1e-5)
    assert np.abs(np.array(layer(large)["objects"]) - layer(small)["objects"]).max() > 1e-3


def test_boxes_of_padded_pictures_are_in_their_pixels():
    model = detr("nano", image_shape=SHAPE, num_classes=3, padded=True)
    mask = np.ones((1, 50, 70), "float32")
    mask[:, 20:] = mask[:, :, 35:] = 0
    outputs = model({"images": images_of(1, *SHAPE), "mask": mask})
    x, y, w, h = np.moveaxis(np.array(outputs["places"])[:, -1], -1, 0)
    np.testing.assert_allclose(outputs["boxes"][..., 2], 35 * (x + w / 2), atol=1e-4)
    np.testing.assert_allclose(outputs["boxes"][..., 1], 20 * (y - h / 2), atol=1e-4)


def test_positions_are_those_of_the_paper():
    mask = np.zeros((1, 4, 5), "float32")
    mask[:, :3, :4] = 1
    table = np.array(map_sinusoids(mask, 8))[0]
    for row, column in ((0, 0), (1, 3), (2, 1)):
        angles = [
            2 * np.pi * (n + 1) / total / 10000 ** (i / 4) for n, total in ((row, 3), (column, 4)) for i in (0, 2)
        ]
        waves = np.ravel([(np.sin(a), np.cos(a)) for a in angles])
        np.testing.assert_allclose(table[row, column], waves, atol=1e-5)
    with pytest.raises(ValueError, match="but are 6 wide; 4 must divide"):
        map_sinusoids(mask, 6)


def test_objects_do_not_depend_on_the_order_of_queries():
    layer = DetectionTransformer(8, 2, encoder=1, decoder=2, inner=12, queries=5)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")
    before, order = np.array(layer(x)["objects"]), [3, 0, 4, 1, 2]
    layer.queries.assign(np.array(layer.queries)[order])
    np.testing.assert_allclose(layer(x)["objects"], before[:, :, order], atol=1e-5)


def test_saved_model_and_tflite_file_give_the_same(nano, tmp_path):
    images = images_of(2, *SHAPE)
    expected = nano(images)
    nano.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)(images)
    for name in expected:
        np.testing.assert_allclose(loaded[name], expected[name], atol=1e-5)
    source = in_use(nano)
    file = run_tflite(convert_float(graph(source, signature_of(source))), {"images": images})
    assert set(file) == {"boxes", "scores", "places"}  # the last says that nothing is to be suppressed
    for name in file:
        np.testing.assert_allclose(file[name], expected[name], atol=2e-3)


def test_mixed_precision_has_float32_outputs():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = detr("nano", image_shape=SHAPE, num_classes=3)
        outputs = model(images_of(2, *SHAPE))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(x.dtype) for x in outputs.values()} == {"float32"}
    assert model.get_layer("transformer").compute_dtype == "bfloat16"


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"image_shape is \(None, 64, 3\); detr needs a fixed height and width"):
        detr("nano", image_shape=(None, 64, 3))
    with pytest.raises(ValueError, match="heads and 4 that divide the width: 18 width, 2 heads"):
        DETRConfig(backbone=RESNETS["nano"], width=18, heads=2)
