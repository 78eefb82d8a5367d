"""EfficientNets: published counts, compound scaling, stochastic depth, equality with keras.applications, and errors."""

import functools
from dataclasses import replace

import keras
import numpy as np
import pytest

from tfdl.export.signatures import frozen, signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.interop.layouts import entries
from tfdl.interop.torchvision import LAYOUT
from tfdl.interop.weights import load_weights
from tfdl.layers.drop_path import DropPath
from tfdl.models.convnets.efficientnet import VARIANTS, EfficientNetConfig, efficientnet

COUNTS = {
    "b0": 5_288_548,
    "b1": 7_794_184,
    "b2": 9_109_994,
    "b3": 12_233_232,
    "b4": 19_341_616,
    "b5": 30_389_784,
    "b6": 43_040_704,
    "b7": 66_347_960,
    "v2_s": 21_458_488,
}


@functools.cache
def outline(variant, **kwargs):
    """A model whose variables have shapes and no values, built in half the time."""
    with keras.StatelessScope():
        return efficientnet(variant, **kwargs)


def tiny(config="nano", **kwargs):
    keras.utils.set_random_seed(0)
    return efficientnet(config, **{"image_shape": (33, 42, 3), "num_classes": 5, **kwargs})


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def images_of(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype("float32")


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_published_one(variant):
    assert trainable(outline(variant)) == COUNTS[variant]


def test_multiply_adds_of_b0_are_the_paper_s():
    kernels = [layer for layer in outline("b0").layers if hasattr(layer, "kernel")]
    found = sum(np.prod(layer.output.shape[1:-1]) * np.prod(layer.kernel.shape) for layer in kernels)
    assert found == pytest.approx(0.386e9, rel=2e-3)  # torchvision's; 0.39 G in Table 2


def test_width_and_depth_follow_equation_3():
    # The authors round, and let the largest networks grow a little faster than the law does.
    for name, power in zip(("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"), (0, 0.5, 1, 2, 3, 4, 5, 6)):
        assert VARIANTS[name].depth == pytest.approx(1.2**power, rel=0.07)
        assert VARIANTS[name].width == pytest.approx(1.1**power, rel=0.13)


def test_stages_of_v2_are_fused_first_and_have_no_gate_there():
    names = {layer.name for layer in outline("v2_s").layers}
    assert "stage1_block0_fused_conv" in names and "stage1_block0_project_conv" not in names  # expansion 1: one layer
    assert "stage3_block3_project_conv" in names and "stage3_block3_squeeze_reduce" not in names
    assert "stage4_block5_squeeze_reduce" in names


@pytest.mark.parametrize(
    "variant, channels",
    [("nano", (8, 16, 16, 24, 64)), ("b0", (16, 24, 40, 112, 1280)), ("v2_s", (24, 48, 64, 160, 1280))],
)
def test_without_classes_it_gives_the_last_map_at_each_stride(variant, channels):
    maps = outline(variant, image_shape=(75, 34, 3), num_classes=None).output
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        f"stride{s}": (-(-75 // s), -(-34 // s), c) for s, c in zip((2, 4, 8, 16, 32), channels)
    }


def test_stochastic_depth_grows_by_block_and_spares_blocks_without_a_shortcut():
    rates = {layer.name: layer.rate for layer in outline("b0").layers if isinstance(layer, DropPath)}
    assert len(rates) == 9  # of 16 blocks
    assert rates["stage2_block1_drop"] == pytest.approx(0.2 * 2 / 16)
    assert rates["stage6_block3_drop"] == pytest.approx(0.2 * 14 / 16)


def test_stochastic_depth_is_an_option_that_inference_does_not_see():
    with_it, without = tiny(), tiny(replace(VARIANTS["nano"], drop_path=0.0, dropout=0.0))
    assert not any(isinstance(layer, DropPath) for layer in without.layers)
    without.set_weights(with_it.get_weights())
    images = images_of(3, 33, 42, 3)
    np.testing.assert_array_equal(with_it(images), without(images))


def test_a_dropped_branch_leaves_its_block_the_identity():
    model = tiny(replace(VARIANTS["nano"], drop_path=0.9))
    before, after = model.get_layer("stage4_block1_add").input[0], model.get_layer("stage4_block1_add").output
    x, y = keras.Model(model.input, [before, after])(images_of(24, 33, 42, 3), training=True)
    same = np.abs(np.array(y) - x).max(axis=(1, 2, 3)) == 0
    assert 0 < same.sum() < 24


def test_logits_equal_keras_applications_given_its_weights():
    shape = (33, 65, 3)  # odd before every stride of 2: there TensorFlow's padding is symmetric too
    reference = keras.applications.EfficientNetB0(weights=None, input_shape=shape, classifier_activation=None)
    rng = np.random.default_rng(1)
    for layer in reference.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the call below stores the statistics of its images
            layer.gamma.assign(rng.uniform(0.5, 1.0, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.1, layer.beta.shape))
    images = images_of(30, *shape) * rng.uniform(size=(30, 1, 1, 3)).astype("float32")
    reference(255 * images, training=True)  # they divide by 255 inside
    ours = efficientnet(replace(VARIANTS["b0"], epsilon=1e-3), image_shape=shape, normalize=None)
    load_weights(ours, {w.path: w for w in reference.weights}, layout="keras_applications")
    expected = np.array(reference(255 * images[:2]))
    assert np.abs(expected[0] - expected[1]).max() > 0.01  # else the tolerance below says nothing
    np.testing.assert_allclose(ours(images[:2]), expected, atol=1e-4)


# Shapes of torchvision 0.28.0's models, printed from their state dictionaries.
TORCHVISION = {
    "b0": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.0.block.0.0.weight": (32, 1, 3, 3),
        "features.1.0.block.1.fc1.weight": (8, 32, 1, 1),
        "features.2.0.block.2.fc2.bias": (96,),
        "features.6.3.block.3.1.running_var": (192,),
        "features.8.1.weight": (1280,),
        "classifier.1.weight": (1000, 1280),
    },
    "v2_s": {
        "features.1.1.block.0.0.weight": (24, 24, 3, 3),
        "features.2.0.block.0.0.weight": (96, 24, 3, 3),
        "features.2.0.block.1.0.weight": (48, 96, 1, 1),
        "features.6.14.block.1.0.weight": (1536, 1, 3, 3),
        "features.7.0.weight": (1280, 256, 1, 1),
    },
}


@pytest.mark.parametrize("variant, tensors", [("b0", 311), ("v2_s", 672)])
def test_names_and_shapes_are_torchvision_s(variant, tensors):
    found = {e.theirs: e.their_shape for e in entries(outline(variant), LAYOUT, "efficientnet")}
    assert len(found) == tensors
    assert TORCHVISION[variant].items() <= found.items()


def test_variant_for_small_images_is_b0_with_an_eighth_of_its_resolution():
    maps = outline("b0_small_images", image_shape=(8, 8, 1), num_classes=None).output
    assert maps["stride8"].shape == (None, 1, 1, 448)


def test_removed_strides_keep_small_images_large_and_cost_no_parameter():
    config = replace(VARIANTS["nano"], strides_removed=3)
    shapes = {k: m.shape for k, m in outline(config, image_shape=(8, 12, 1), num_classes=None).output.items()}
    assert {k: s[1:3] for k, s in shapes.items()} == {"stride1": (8, 12), "stride2": (4, 6), "stride4": (2, 3)}
    assert trainable(outline(config)) == trainable(outline("nano"))


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 20, 3), (None, None, 3)])
def test_any_image_shape_gives_finite_logits(shape):
    logits = tiny(image_shape=shape)(images_of(2, *(s or 40 for s in shape)))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_normalization_is_part_of_the_model():
    inside, outside = tiny(normalize="unit"), tiny(normalize=None)
    images = images_of(2, 33, 42, 3)
    np.testing.assert_allclose(inside(images), outside(images * 2 - 1), atol=1e-5)


def test_phone_computes_the_same_with_built_in_operators():
    model = tiny(image_shape=(33, 30, 3))
    images = images_of(2, 33, 30, 3)
    logits = run_tflite(convert_float(frozen(model, signature_of(model))), {"images": images})["logits"]
    np.testing.assert_allclose(logits, model(images), atol=1e-4)


def test_a_config_is_stored_and_read_back():
    for config in VARIANTS.values():
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(config)) == config


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"no variant 'b8'.*nano.*v2_s"):
        efficientnet("b8")
    with pytest.raises(ValueError, match=r"num_classes must be at least 1, or None.* 0"):
        tiny(num_classes=0)
    with pytest.raises(ValueError, match=r"width and depth must be positive, not 1.0 and 0"):
        replace(VARIANTS["b0"], depth=0)
    with pytest.raises(ValueError, match="strides_removed must be from 0 to 5, not 6"):
        replace(VARIANTS["b0"], strides_removed=6)
    with pytest.raises(ValueError, match=r"no block 'dense'; it has mbconv and fused"):
        EfficientNetConfig(stages=(("dense", 1, 3, 1, 8, 1),))
