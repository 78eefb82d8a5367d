"""AlexNets: the counts and maps of both papers, what the towers see, and the names of torchvision."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tfdl.interop.weights import load_weights, save_weights
from tfdl.models.convnets.alexnet import VARIANTS, AlexNetConfig, alexnet

COUNTS = {"one_tower": 61_100_840, "two_tower": 60_965_224}


@pytest.fixture
def blank(monkeypatch):
    """Kernels start at zero: to draw sixty million random numbers would take longer than all tests here."""
    zeros = lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)  # noqa: E731
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)


def tiny(variant="nano", seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return alexnet(variant, **{"image_shape": (37, 70, 3), "num_classes": 5, **kwargs})


def images_of(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype("float32")


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_published_one(variant, blank):
    model = alexnet(variant)
    assert model.count_params() == COUNTS[variant]
    assert model.get_layer("flatten").output.shape == (None, 9216)  # 6 x 6 x 256, without averaging


@pytest.mark.parametrize("variant, channels", [("one_tower", (64, 192, 256)), ("two_tower", (96, 256, 256))])
def test_maps_of_224_pixels_are_those_of_figure_2(variant, channels, blank):
    maps = alexnet(variant, num_classes=None).output
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
def test_smallest_image_leaves_one_pixel(variant, smallest, blank):
    maps = alexnet(variant, image_shape=(smallest, smallest, 1), num_classes=None).output
    assert list(maps.values())[-1].shape[1:3] == (1, 1)
    with pytest.raises(ValueError, match=rf"at least {smallest} pixels a side, not \(70, {smallest - 1}, 1\)"):
        alexnet(variant, image_shape=(70, smallest - 1, 1))


@pytest.mark.parametrize("normalize", ["imagenet", "unit"])
def test_normalization_is_part_of_the_model(normalize):
    inside, outside = tiny(normalize=normalize), tiny(normalize=None, seed=1)
    outside.set_weights(inside.get_weights())
    images = images_of(2, 37, 70, 3)
    by_hand = images * 2 - 1 if normalize == "unit" else (images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(inside(images), outside(by_hand), atol=1e-5)
    assert np.abs(inside(images) - outside(images)).max() > 1e-3


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


def test_names_and_shapes_are_torchvision_s(blank, monkeypatch):
    kept = {}
    monkeypatch.setattr("tfdl.interop.weights.write_arrays", lambda path, arrays: kept.update(arrays))
    model = alexnet(replace(VARIANTS["one_tower"], features=(12, 10)), image_shape=(63, 63, 3))
    save_weights(model, "unused", layout="torchvision")
    assert len(kept) == 16
    assert TORCHVISION.items() <= {name: array.shape for name, array in kept.items()}.items()


def test_round_trip_is_bit_equal_and_towers_have_no_counterpart(tmp_path):
    first, second = (tiny(replace(VARIANTS["nano"], towers=1), seed=seed) for seed in (1, 2))
    save_weights(first, tmp_path / "w.safetensors", layout="torchvision")
    load_weights(second, tmp_path / "w.safetensors", layout="torchvision")
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    with pytest.raises(ValueError, match="no rule for 6 layers .*conv2_tower1.*no counterpart"):
        save_weights(tiny(), tmp_path / "w.npz", layout="torchvision")


def test_a_config_is_stored_and_read_back():
    for config in VARIANTS.values():
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(config)) == config


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"'three_tower'.*nano.*two_tower.*dataclasses.replace"):
        alexnet("three_tower")
    with pytest.raises(ValueError, match=r"num_classes must be at least 1, or None.* 0"):
        tiny(num_classes=0)
    with pytest.raises(ValueError, match=r"fixed image_shape .*not \(None, 40, 3\)"):
        tiny(image_shape=(None, 40, 3))
    with pytest.raises(ValueError, match=r"five convolutions that 2 towers divide, not \(8, 9, 8, 8, 8\)"):
        AlexNetConfig(channels=(8, 9, 8, 8, 8), towers=2)
