"""AlexNets: the counts and maps of both papers, what the towers see, and the names of torchvision."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import images_of, outline
from tfdl.core.outline import multiply_adds
from tfdl.interop.layouts import entries
from tfdl.interop.torchvision import LAYOUT
from tfdl.interop.weights import load_weights, save_weights
from tfdl.models.convnets.alexnet import VARIANTS, AlexNetConfig, alexnet

COUNTS = {"one_tower": 61_100_840, "two_tower": 60_965_224}
MULTIPLY_ADDS = {"one_tower": 0.714e9, "two_tower": 0.724e9}  # torchvision's; 224 x 224 pixels, two towers


def tiny(variant="nano", seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return alexnet(variant, **{"image_shape": (37, 70, 3), "num_classes": 5, **kwargs})


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_published_one(variant):
    model = outline(alexnet, variant)
    assert model.count_params() == COUNTS[variant]
    assert model.get_layer("flatten").output.shape == (None, 9216)  # 6 x 6 x 256, without averaging


@pytest.mark.parametrize("variant", MULTIPLY_ADDS)
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(alexnet, variant)) == pytest.approx(MULTIPLY_ADDS[variant], rel=2e-3)


@pytest.mark.parametrize("variant, channels", [("one_tower", (64, 192, 256)), ("two_tower", (96, 256, 256))])
def test_maps_of_224_pixels_are_those_of_figure_2(variant, channels):
    maps = outline(alexnet, variant, num_classes=None).output
    sizes = dict(stride4=(55, channels[0]), stride8=(27, channels[1]), stride16=(13, channels[2]))
    sizes["stride32"] = (6, channels[2])
    assert {name: tuple(m.shape[2:]) for name, m in maps.items()} == sizes


def test_a_tower_sees_nothing_of_the_other_until_the_third_convolution():
    model = tiny(normalize=None)
    names = ["conv2_join", "conv3"]
    probe = keras.Model(model.get_layer("pool1").output, [model.get_layer(name).output for name in names])
    x = images_of(1, *probe.input.shape[1:])
    changed = x.copy()
    changed[..., : x.shape[-1] // 2] += 1.0  # the first tower
    (second, third), (second_changed, third_changed) = probe(x), probe(changed)
    moved = np.abs(second_changed - second).max(axis=(0, 1, 2)) > 1e-4
    assert moved.tolist() == [True] * 8 + [False] * 8
    assert (np.abs(third_changed - third).max(axis=(0, 1, 2)) > 1e-4).all()


@pytest.mark.parametrize("shape", [(29, 29, 1), (33, 95, 3), (64, 64, 3)])
def test_any_large_enough_image_gives_finite_logits(shape):
    logits = tiny(image_shape=shape)(images_of(2, *shape))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


@pytest.mark.parametrize(
    "variant, smallest", [("one_tower", 63), ("two_tower", 63), ("nano", 29), ("small_images", 15)]
)
def test_smallest_image_leaves_one_pixel(variant, smallest):
    maps = outline(alexnet, variant, image_shape=(smallest, smallest, 1), num_classes=None).output
    assert list(maps.values())[-1].shape[1:3] == (1, 1)
    with pytest.raises(ValueError, match=rf"at least {smallest} pixels a side, not \(70, {smallest - 1}, 1\)"):
        alexnet(variant, image_shape=(70, smallest - 1, 1))


# Shapes of torchvision 0.28.0's alexnet, printed from its state dictionary; 12 and 10 there are 4096.
TORCHVISION = {
    "features.0.weight": (64, 3, 11, 11),
    "features.3.weight": (192, 64, 5, 5),
    "features.6.bias": (384,),
    "features.8.weight": (256, 384, 3, 3),
    "features.10.weight": (256, 256, 3, 3),
    "classifier.1.weight": (12, 9216),
    "classifier.4.weight": (10, 12),
    "classifier.6.weight": (1000, 10),
}


def test_names_and_shapes_are_torchvision_s():
    model = outline(alexnet, replace(VARIANTS["one_tower"], features=(12, 10)))
    found = {e.theirs: e.their_shape for e in entries(model, LAYOUT, "alexnet")}
    assert len(found) == 16
    assert TORCHVISION.items() <= found.items()


def test_round_trip_is_bit_equal_and_towers_have_no_counterpart(tmp_path):
    first, second = (tiny(replace(VARIANTS["nano"], towers=1), seed=seed) for seed in (1, 2))
    save_weights(first, tmp_path / "w.safetensors", layout="torchvision")
    load_weights(second, tmp_path / "w.safetensors", layout="torchvision")
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    with pytest.raises(ValueError, match="no rule for 6 layers .*conv2_tower1.*no counterpart"):
        save_weights(tiny(), tmp_path / "w.npz", layout="torchvision")


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"fixed image_shape .*not \(None, 40, 3\)"):
        tiny(image_shape=(None, 40, 3))
    with pytest.raises(ValueError, match=r"each a multiple of 2 towers, not \(8, 9, 8, 8, 8\)"):
        AlexNetConfig(channels=(8, 9, 8, 8, 8), towers=2)
