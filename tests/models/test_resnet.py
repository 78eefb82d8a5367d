"""ResNets: the papers' depths, counts and strides, what a shortcut does, and the names of other libraries."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import but_slow, images_of, outline
from tfdl.core.outline import multiply_adds, parameters
from tfdl.interop.layouts import entries
from tfdl.interop.weights import LAYOUTS, load_weights, save_weights
from tfdl.models.convnets.resnet import CANONICAL, VARIANTS, ResNetConfig, pad_channels, resnet

COUNTS = {
    "18": 11_689_512,
    "34": 21_797_672,
    "50": 25_557_032,
    "101": 44_549_160,
    "152": 60_192_808,
    "50_keras": 25_583_592,  # with 26,560 biases of the convolutions
    "101_keras": 44_601_832,
    "152_keras": 60_268_520,
}
CIFAR_COUNTS = {"cifar20": 272_474, "cifar56": 855_770, "cifar110": 1_730_714}
OPTION_A = {"cifar20_a": 269_722, "cifar56_a": 853_018, "cifar110_a": 1_727_962}
# torchvision's, and Table 1's of the paper, which strides in the first 1x1 as keras.applications does.
MULTIPLY_ADDS = {"18": 1.814e9, "34": 3.664e9, "50": 4.089e9, "101": 7.801e9, "152": 11.514e9}
TABLE_1 = {"18": 1.8e9, "34": 3.6e9, "50_keras": 3.8e9, "101_keras": 7.6e9, "152_keras": 11.3e9}


def tiny(variant="nano", seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return resnet(variant, **{"image_shape": (37, 50, 3), "num_classes": 5, **kwargs})


LARGEST = ("101", "152", "101_keras", "152_keras", "cifar110", "cifar56_a", "cifar110_a")


@pytest.mark.parametrize("variant", but_slow(COUNTS | CIFAR_COUNTS | OPTION_A, *LARGEST))
def test_count_is_the_published_one_and_the_name_the_number_of_weighted_layers(variant):
    model = outline(resnet, variant, **CANONICAL.get(variant, {}))
    assert parameters(model) == (COUNTS | CIFAR_COUNTS | OPTION_A)[variant]
    kernels = [w.path for w in model.weights if w.name == "kernel" and "shortcut" not in w.path]
    assert len(kernels) == int("".join(c for c in variant if c.isdigit()))


@pytest.mark.parametrize("variant", COUNTS | CIFAR_COUNTS | OPTION_A)
def test_row_has_the_blocks_that_its_name_counts(variant):
    row = VARIANTS[variant]
    convolutions = 3 if row.bottleneck else 2
    assert 2 + convolutions * sum(row.blocks) == int("".join(c for c in variant if c.isdigit()))
    assert (row.stride_first, row.bias) == ("keras" in variant,) * 2
    assert row.projection == (not variant.endswith("_a"))


@pytest.mark.parametrize("variant", but_slow(MULTIPLY_ADDS, *LARGEST))
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(resnet, variant)) == pytest.approx(MULTIPLY_ADDS[variant], rel=1e-3)


@pytest.mark.parametrize("variant", but_slow(TABLE_1, *LARGEST))
def test_multiply_adds_are_those_of_table_1(variant):
    assert multiply_adds(outline(resnet, variant)) == pytest.approx(TABLE_1[variant], rel=0.02)


@pytest.mark.parametrize(
    "variant, channels",
    [("nano", (4, 16, 32, 64, 128)), ("18", (64, 64, 128, 256, 512)), ("50", (64, 256, 512, 1024, 2048))],
)
def test_without_classes_it_gives_the_last_map_at_each_stride(variant, channels):
    maps = outline(resnet, variant, image_shape=(75, 34, 3), num_classes=None).output
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        f"stride{s}": (-(-75 // s), -(-34 // s), c) for s, c in zip((2, 4, 8, 16, 32), channels)
    }


@pytest.mark.parametrize("variant", ["cifar20", "cifar20_a"])
def test_cifar_networks_halve_their_maps_twice(variant):
    maps = outline(resnet, variant, image_shape=(33, 18, 1), num_classes=None).output
    shapes = {name: tuple(m.shape[1:]) for name, m in maps.items()}
    assert shapes == {"stride1": (33, 18, 16), "stride2": (17, 9, 32), "stride4": (9, 5, 64)}


@pytest.mark.parametrize("variant, place", [("50", "conv2"), ("50_keras", "conv1")])
def test_stride_of_a_bottleneck_is_where_its_library_has_it(variant, place):
    layers = outline(resnet, replace(VARIANTS[variant], blocks=(1, 2, 1, 2)), image_shape=(32, 32, 3)).layers
    strided = [layer.name for layer in layers if getattr(layer, "strides", 0) == (2, 2)]
    stages = [f"stage{i}_block0_{part}_conv" for i in (2, 3, 4) for part in (place, "shortcut")]
    assert strided == ["stem_conv", "stem_pool", *stages]


def test_branch_of_zeros_makes_a_block_the_identity():
    model = tiny()
    model.get_layer("stage1_block1_conv3_norm").gamma.assign(np.zeros(16))
    before, after = model.get_layer("stage1_block0_add").output, model.get_layer("stage1_block1_add").output
    before, after = keras.Model(model.input, [before, after])(images_of(2, 37, 50, 3))
    np.testing.assert_array_equal(after, np.maximum(before, 0))  # eq. 1 with F = 0; the relu stands between blocks
    assert np.ptp(after) > 0.1


@pytest.mark.parametrize("zeros, first", [("after", 0), ("both", 2)])
def test_option_a_takes_each_second_pixel_and_adds_channels_of_zeros(zeros, first):
    x = images_of(2, 5, 4, 3)
    y = np.array(pad_channels(x, 7, stride=2, zeros=zeros, name="shortcut"))
    np.testing.assert_array_equal(y[..., first : first + 3], x[:, ::2, ::2])
    assert y.shape == (2, 3, 2, 7) and not np.delete(y, range(first, first + 3), axis=-1).any()


@pytest.mark.parametrize("variant, shape", [("nano", (1, 1, 1)), ("nano", (None, None, 3)), ("cifar20_a", (9, 8, 3))])
def test_any_image_shape_gives_finite_logits(variant, shape):
    logits = tiny(variant, image_shape=shape)(images_of(2, *(s or 40 for s in shape)))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_option_a_is_saved_and_loaded_without_code_of_ours(tmp_path):
    model = tiny("cifar20_a", image_shape=(9, 8, 1))
    model.save(tmp_path / "model.keras")
    images = images_of(2, 9, 8, 1)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(images), model(images))
    assert "tfdl" not in model.to_json()


# --- other libraries -----------------------------------------------------------------------------------------------

# Shapes from the state dictionaries of torchvision 0.28.0's resnet18 and resnet50, the latter cut to a block a stage.
TORCHVISION = {
    "18": {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "layer1.1.conv2.weight": (64, 64, 3, 3),
        "layer3.0.downsample.0.weight": (256, 128, 1, 1),
        "layer4.0.downsample.1.bias": (512,),
        "fc.weight": (1000, 512),
    },
    "50": {
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer3.0.conv3.weight": (1024, 256, 1, 1),
        "layer4.0.bn2.running_mean": (512,),
        "fc.bias": (1000,),
    },
}
# The same of keras.applications.ResNet50.
KERAS_APPLICATIONS = {
    "conv1_conv/bias": (64,),
    "conv1_bn/moving_variance": (64,),
    "conv2_block1_0_conv/kernel": (1, 1, 64, 256),
    "conv3_block1_1_conv/kernel": (1, 1, 256, 128),
    "conv4_block1_2_bn/gamma": (256,),
    "conv5_block1_3_conv/bias": (2048,),
    "predictions/kernel": (2048, 1000),
}


@pytest.mark.parametrize(
    "variant, blocks, layout, tensors, known",
    [
        ("18", (2, 2, 2, 2), "torchvision", 102, TORCHVISION["18"]),
        ("50", (1, 1, 1, 1), "torchvision", 87, TORCHVISION["50"]),
        ("50_keras", (1, 1, 1, 1), "keras_applications", 104, KERAS_APPLICATIONS),
    ],
)
def test_names_and_shapes_are_those_of_the_library(variant, blocks, layout, tensors, known):
    model = outline(resnet, replace(VARIANTS[variant], blocks=blocks))
    found = {e.theirs: e.their_shape for e in entries(model, LAYOUTS[layout], "resnet")}
    assert len(found) == tensors
    assert known.items() <= found.items()


def test_keras_applications_has_no_counterpart_without_biases():
    with pytest.raises(ValueError, match="biases .* Build the variant 50_keras"):
        load_weights(tiny(), {}, layout="keras_applications")


@pytest.mark.parametrize("layout", ["torchvision", "keras_applications"])
def test_round_trip_is_bit_equal(layout, tmp_path):
    config = ResNetConfig(blocks=(2, 1), channels=4, bottleneck=True, bias=layout == "keras_applications")
    first, second = tiny(config, seed=1), tiny(config, seed=2)
    save_weights(first, tmp_path / "w.safetensors", layout=layout)
    load_weights(second, tmp_path / "w.safetensors", layout=layout)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


# --- errors --------------------------------------------------------------------------------------------------------


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"at least one block in each stage.*\(2, 0\)"):
        ResNetConfig(blocks=(2, 0))
