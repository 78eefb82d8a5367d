"""EfficientNets: published counts, compound scaling, stochastic depth, equality with keras.applications, and errors."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import but_slow, images_of, outline
from tfdl.core.outline import multiply_adds, parameters
from tfdl.interop.layouts import entries
from tfdl.interop.torchvision import LAYOUT
from tfdl.interop.weights import load_weights
from tfdl.layers.drop_path import DropPath
from tfdl.models.convnets.efficientnet import CANONICAL, VARIANTS, EfficientNetConfig, efficientnet

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
# torchvision's b0 (0.39e9 in Table 2), b1 and b3 to b7, which have the paper's sizes; v2_s at 384 pixels.
MULTIPLY_ADDS = {
    "b0": 0.386e9,
    "b1": 0.687e9,
    "b3": 1.827e9,
    "b4": 4.394e9,
    "b5": 10.266e9,
    "b6": 19.068e9,
    "b7": 37.746e9,
    "v2_s": 8.366e9,
}


def tiny(config="nano", **kwargs):
    keras.utils.set_random_seed(0)
    return efficientnet(config, **{"image_shape": (33, 42, 3), "num_classes": 5, **kwargs})


LARGEST = ("b3", "b4", "b5", "b6")  # b7 is the law's other end


@pytest.mark.parametrize("variant", but_slow(COUNTS, *LARGEST))
def test_parameter_count_is_the_published_one(variant):
    assert parameters(outline(efficientnet, variant, **CANONICAL.get(variant, {}))) == COUNTS[variant]


@pytest.mark.parametrize("variant", but_slow(MULTIPLY_ADDS, *LARGEST))
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(efficientnet, variant, **CANONICAL.get(variant, {}))) == pytest.approx(
        MULTIPLY_ADDS[variant], rel=2e-3
    )


def test_width_and_depth_follow_equation_3():
    # The authors round, and let the largest networks grow a little faster than the law does.
    for name, power in zip(("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"), (0, 0.5, 1, 2, 3, 4, 5, 6)):
        assert VARIANTS[name].depth == pytest.approx(1.2**power, rel=0.07)
        assert VARIANTS[name].width == pytest.approx(1.1**power, rel=0.13)


def test_stages_of_v2_are_fused_first_and_have_no_gate_there():
    names = {layer.name for layer in outline(efficientnet, "v2_s").layers}
    assert "stage1_block0_fused_conv" in names and "stage1_block0_project_conv" not in names  # expansion 1: one layer
    assert "stage3_block3_project_conv" in names and "stage3_block3_squeeze_reduce" not in names
    assert "stage4_block5_squeeze_reduce" in names


@pytest.mark.parametrize(
    "variant, channels",
    [("nano", (8, 16, 16, 24, 64)), ("b0", (16, 24, 40, 112, 1280)), ("v2_s", (24, 48, 64, 160, 1280))],
)
def test_without_classes_it_gives_the_last_map_at_each_stride(variant, channels):
    maps = outline(efficientnet, variant, image_shape=(75, 34, 3), num_classes=None).output
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        f"stride{s}": (-(-75 // s), -(-34 // s), c) for s, c in zip((2, 4, 8, 16, 32), channels)
    }


def test_stochastic_depth_grows_by_block_and_spares_blocks_without_a_shortcut():
    rates = {layer.name: layer.rate for layer in outline(efficientnet, "b0").layers if isinstance(layer, DropPath)}
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
    found = {e.theirs: e.their_shape for e in entries(outline(efficientnet, variant), LAYOUT, "efficientnet")}
    assert len(found) == tensors
    assert TORCHVISION[variant].items() <= found.items()


def test_variant_for_small_images_is_b0_with_an_eighth_of_its_resolution():
    maps = outline(efficientnet, "b0_small_images", image_shape=(8, 8, 1), num_classes=None).output
    assert maps["stride8"].shape == (None, 1, 1, 448)


@pytest.mark.parametrize("shape", [(1, 1, 1), (None, None, 3)])
def test_any_image_shape_gives_finite_logits(shape):
    logits = tiny(image_shape=shape)(images_of(2, *(s or 40 for s in shape)))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"width and depth must be positive, not 1.0 and 0"):
        replace(VARIANTS["b0"], depth=0)
    with pytest.raises(ValueError, match="strides_removed must be from 0 to 5, not 6"):
        replace(VARIANTS["b0"], strides_removed=6)
    with pytest.raises(ValueError, match=r"no block 'dense'; it has mbconv and fused"):
        EfficientNetConfig(stages=(("dense", 1, 3, 1, 8, 1),))
