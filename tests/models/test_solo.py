"""SOLO: counts by hand, the sizes of the paper, coordinates, one head for all levels, the decoupled head, files."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import images_of, outline
from tfdl.core.outline import parameters
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.models.convnets.densenet import VARIANTS as DENSENETS
from tfdl.models.convnets.mobilenet import VARIANTS as MOBILENETS
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.convnets.resnet import resnet
from tfdl.models.segmentation.solo import VARIANTS, SOLOConfig, solo
from tfdl.ops.mask_suppression import levels_of

SHAPE = (64, 96, 3)
GRIDS = (40, 36, 24, 16, 12)
CELLS = sum(side**2 for side in GRIDS)


def norms(count, channels=256):
    return count * 2 * channels


@pytest.mark.parametrize(("variant", "outputs"), [("r50", CELLS), ("decoupled_r50", 2 * sum(GRIDS))])
def test_counts_are_those_of_the_layers_of_figure_3(variant, outputs):
    model = outline(solo, replace(VARIANTS[variant], pretrained=False), image_shape=(320, 320, 3))
    backbone = parameters(outline(resnet, "50", num_classes=None))
    pyramid = 256 * (256 + 512 + 1024 + 2048) + 4 * 256 + 4 * (9 * 256**2 + 256)
    classes = 7 * 9 * 256**2 + norms(7) + 9 * 256 * 80 + 80
    masks = 9 * 258 * 256 + 6 * 9 * 256**2 + norms(7) + 257 * outputs
    assert parameters(model) == backbone + pyramid + classes + masks
    if variant == "r50":
        assert 36.2e6 < parameters(model) < 36.4e6


@pytest.fixture(scope="module", params=["nano", "decoupled"])
def model(request):
    keras.utils.set_random_seed(0)
    variant = replace(VARIANTS["nano"], decoupled=request.param == "decoupled")
    return solo(variant, image_shape=SHAPE, num_classes=3)


def test_outputs_are_those_of_cells_and_objects(model):
    shapes = {name: x.shape[1:] for name, x in model.output.items()}
    levels = {"rows0": (16, 24, 5), "columns0": (16, 24, 5), "rows1": (8, 12, 3), "columns1": (8, 12, 3)}
    if "masks0" in shapes:
        levels = {"masks0": (16, 24, 25), "masks1": (8, 12, 9)}
    found = {"boxes": (100, 4), "scores": (100,), "labels": (100,), "masks": (100, 16, 24)}
    assert shapes == {"scores": (34, 3), **levels, **{f"found_{name}": shape for name, shape in found.items()}}
    assert [len(level) for level in levels_of(model.output)] == ([1, 1] if "masks0" in shapes else [2, 2])


def test_every_class_begins_rare(model):
    probabilities = 1 / (1 + np.exp(-np.array(model(images_of(2, *SHAPE))["scores"])))
    np.testing.assert_allclose(probabilities, 0.01, atol=0.005)


def test_files_give_the_same(model, tmp_path):
    images, rng = images_of(2, *SHAPE), np.random.default_rng(0)
    classes = model.get_layer("class_logits")
    classes.set_weights([rng.normal(0, 1, weight.shape) for weight in classes.get_weights()])
    expected = {name: np.array(x) for name, x in model(images).items()}
    model.save(tmp_path / "model.keras")
    assert 10 < (expected["found_labels"] >= 0).sum() < 200
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    file = run_tflite(convert_float(graph(model, signature_of(model))), {"images": images})
    for name, x in expected.items():
        np.testing.assert_allclose(loaded(images)[name], x, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(file[name], x, atol=1e-4, err_msg=name)


def test_gradient_reaches_every_weight(model):
    with tf.GradientTape() as tape:
        outputs = model(images_of(2, *SHAPE), training=True)
        value = sum(tf.reduce_mean(x**2) for name, x in outputs.items() if not name.startswith("found"))
    gradients = tape.gradient(value, [w.value for w in model.trainable_weights])
    assert all(g is not None and np.isfinite(g).all() for g in gradients)
    assert sum(np.abs(g).max() > 0 for g in gradients) >= 0.9 * len(gradients)


def test_mixed_precision_has_answers_in_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        outputs = solo("nano", image_shape=SHAPE, num_classes=3)(images_of(2, *SHAPE))
    finally:
        keras.config.set_dtype_policy(policy)
    kinds = {name: x.dtype.name for name, x in outputs.items()}
    assert kinds.pop("found_labels") == "int32" and set(kinds.values()) == {"float32"}
    assert all(np.isfinite(x).all() for x in outputs.values())


def test_masks_know_where_they_are():
    """On a picture of one color all points are alike but for the borders and the coordinates."""
    model = solo("nano", image_shape=SHAPE, num_classes=3)
    x = keras.Input((8, 12, 8))
    places = np.array(keras.Model(x, model.get_layer("coordinates0")(x))(np.ones((1, 8, 12, 8), "float32")))
    assert places.shape == (1, 8, 12, 10)
    np.testing.assert_allclose(places[0, :, :, 8], np.tile(np.linspace(-1, 1, 12), (8, 1)), atol=1e-6)
    np.testing.assert_allclose(places[0, :, :, 9], np.tile(np.linspace(-1, 1, 8)[:, None], (1, 12)), atol=1e-6)


def test_levels_have_the_strides_of_table_3():
    maps = outline(solo, "r50", image_shape=(320, 640, 3), num_classes=None).output
    assert {name: x.shape[1:] for name, x in maps.items()} == {
        f"level{i}": (320 // s, 640 // s, 256) for i, s in enumerate((8, 8, 16, 32, 32))
    }


@pytest.mark.parametrize("backbone", [MOBILENETS["nano"], DENSENETS["nano"]])
def test_other_backbones_fit(backbone):
    model = outline(solo, replace(VARIANTS["nano"], backbone=backbone), image_shape=SHAPE, num_classes=3)
    assert model.output["scores"].shape == (None, 34, 3)


def test_frozen_layers_are_those_of_the_paper_s_backbone():
    model = outline(solo, "r50", image_shape=(320, 320, 3))
    first = [w for layer in model.layers if layer.name.startswith(("stem", "stage1")) for w in layer.trainable_weights]
    assert not first and model.get_layer("stage2_block0_conv1_conv").trainable


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="solo needs sides that are multiples of 32"):
        solo("nano", image_shape=(40, 64, 3))
    with pytest.raises(ValueError, match="a stride, a grid and a scale for each level"):
        SOLOConfig(backbone=RESNETS["nano"], grids=(40, 36))
    with pytest.raises(ValueError, match="groups that divide the channels: .* 250 channels"):
        replace(VARIANTS["r50"], channels=250)
    with pytest.raises(ValueError, match="no backbone 'resnet'; give a row of the VARIANTS of densenet"):
        solo(replace(VARIANTS["nano"], backbone="resnet"), image_shape=SHAPE)
    with pytest.raises(ValueError, match="5 levels, but this backbone has maps for 2 only"):
        solo(replace(VARIANTS["r50"], backbone=RESNETS["cifar20"]), image_shape=SHAPE)
