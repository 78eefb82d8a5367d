"""VGGs: Table 1's depths and counts, the strides, images of any size, and the names of other libraries."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import images_of, outline
from tfdl.core.outline import multiply_adds, parameters
from tfdl.interop.layouts import entries
from tfdl.interop.torchvision import LAYOUT
from tfdl.interop.weights import load_weights, save_weights
from tfdl.models.convnets.vgg import VARIANTS, VGGConfig, vgg

COUNTS = {
    "11": 132_863_336,
    "13": 133_047_848,
    "16": 138_357_544,
    "19": 143_667_240,
    "11_bn": 132_868_840,
    "13_bn": 133_053_736,
    "16_bn": 138_365_992,
    "19_bn": 143_678_248,
}
MULTIPLY_ADDS = {"11": 7.609e9, "13": 11.308e9, "16": 15.470e9, "19": 19.632e9, "16_bn": 15.470e9}  # torchvision's


def tiny(variant="nano", seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return vgg(variant, **{"image_shape": (37, 70, 3), "num_classes": 5, **kwargs})


@pytest.mark.parametrize("variant", COUNTS)
def test_count_is_the_published_one_and_the_name_the_number_of_weighted_layers(variant):
    model = outline(vgg, variant)
    assert parameters(model) == COUNTS[variant]
    assert sum(w.name == "kernel" for w in model.weights) == int(variant.removesuffix("_bn"))


@pytest.mark.parametrize("variant", MULTIPLY_ADDS)
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(vgg, variant)) == pytest.approx(MULTIPLY_ADDS[variant], rel=1e-3)


@pytest.mark.parametrize("side", [32, 64, 224, 300])
def test_count_does_not_depend_on_the_image(side):
    large, small = (outline(vgg, "nano", image_shape=shape) for shape in ((side, 50, 3), (37, 70, 3)))
    assert large.count_params() == small.count_params()


@pytest.mark.parametrize("variant, channels", [("nano", (4, 8, 8, 12, 16, 16)), ("16", (64, 128, 256, 512, 512, 512))])
def test_without_classes_it_gives_the_last_map_at_each_stride(variant, channels):
    maps = outline(vgg, variant, image_shape=(75, None, 3), num_classes=None).output
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        f"stride{s}": (75 // s, None, c) for s, c in zip((1, 2, 4, 8, 16, 32), channels)
    }


@pytest.mark.parametrize("shape", [(32, 32, 1), (33, 95, 3), (64, 64, 3)])
def test_any_image_from_32_pixels_gives_finite_logits(shape):
    logits = tiny(image_shape=shape)(images_of(2, *shape))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_small_images_variant_takes_digits_of_8_pixels():
    assert tiny("small_images", image_shape=(8, 8, 1))(images_of(2, 8, 8, 1)).shape == (2, 5)
    with pytest.raises(ValueError, match=r"at least 8 pixels a side, not \(7, 9, 1\)"):
        tiny("small_images", image_shape=(7, 9, 1))


def test_dense_layers_see_the_average_of_four_parts_of_a_larger_map():
    """32 times the grid and twice that: the second image is the first with each pixel doubled, seen as the same."""
    config = VGGConfig(convolutions=(1,), channels=(3,), grid=2, features=())
    small, large = (tiny(config, image_shape=(n, n, 1), normalize=None) for n in (4, 8))
    kernel = np.zeros((3, 3, 1, 3), "float32")
    kernel[1, 1, 0] = 1.0, 2.0, 3.0  # each pixel by itself
    for model in (small, large):
        model.get_layer("block1_conv1_conv").kernel.assign(kernel)
    image = np.kron(images_of(1, 2, 2, 1)[0, ..., 0], np.ones((2, 2)))
    doubled = np.kron(image, np.ones((2, 2)))
    np.testing.assert_allclose(small(image[None, ..., None]), large(doubled[None, ..., None]), atol=1e-6)


# --- other libraries -----------------------------------------------------------------------------------------------

# Shapes of torchvision 0.28.0's vgg11 and vgg16_bn, printed from their state dictionaries; 12 and 10 there are 4096.
TORCHVISION = {
    "11": {
        "features.0.weight": (64, 3, 3, 3),
        "features.3.weight": (128, 64, 3, 3),
        "features.8.bias": (256,),
        "features.18.weight": (512, 512, 3, 3),
        "classifier.0.weight": (12, 25088),
        "classifier.3.weight": (10, 12),
        "classifier.6.bias": (1000,),
    },
    "16_bn": {
        "features.1.running_mean": (64,),
        "features.7.weight": (128, 64, 3, 3),
        "features.40.weight": (512, 512, 3, 3),
        "features.41.running_var": (512,),
        "classifier.6.weight": (1000, 10),
    },
}


@pytest.mark.parametrize("variant, tensors", [("11", 22), ("16_bn", 84)])
def test_names_and_shapes_are_torchvision_s(variant, tensors):
    narrow = outline(vgg, replace(VARIANTS[variant], features=(12, 10)))
    found = {e.theirs: e.their_shape for e in entries(narrow, LAYOUT, "vgg")}
    assert len(found) == tensors
    assert TORCHVISION[variant].items() <= found.items()


def test_first_dense_layer_reads_the_map_in_the_order_of_torch(monkeypatch):
    kept, model = {}, tiny()
    monkeypatch.setattr("tfdl.interop.weights.write_arrays", lambda path, arrays: kept.update(arrays))
    save_weights(model, "unused", layout="torchvision")
    image = images_of(2, 2, 16)  # (G, G, C)
    ours = image.reshape(-1) @ model.get_layer("fc1").kernel
    theirs = kept["classifier.0.weight"] @ image.transpose(2, 0, 1).reshape(-1)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("layout, norm", [("torchvision", True), ("torchvision", False), ("keras_applications", False)])
def test_round_trip_is_bit_equal(layout, norm, tmp_path):
    config = VGGConfig(convolutions=(1, 2), channels=(3, 5), norm=norm, grid=2, features=(7, 6))
    first, second = tiny(config, seed=1), tiny(config, seed=2)
    save_weights(first, tmp_path / "w.safetensors", layout=layout)
    load_weights(second, tmp_path / "w.safetensors", layout=layout)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_names_are_those_of_keras_applications(monkeypatch):
    kept = {}
    monkeypatch.setattr("tfdl.interop.weights.write_arrays", lambda path, arrays: kept.update(arrays))
    config = VGGConfig(convolutions=(1, 2), channels=(3, 5), grid=2, features=(7, 6))
    save_weights(tiny(config), "unused", layout="keras_applications")
    layers = ["block1_conv1", "block2_conv1", "block2_conv2", "fc1", "fc2", "predictions"]
    assert list(kept) == [f"{layer}/{variable}" for layer in layers for variable in ("kernel", "bias")]
    with pytest.raises(ValueError, match="no rule for .*block1_conv1_norm.*no counterpart"):
        load_weights(tiny(), {}, layout="keras_applications")


# --- errors --------------------------------------------------------------------------------------------------------


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"at least 32 pixels a side, not \(31, 40, 3\)"):
        tiny(image_shape=(31, 40, 3))
    with pytest.raises(ValueError, match=r"fixed image_shape .*not \(None, 40, 3\)"):
        tiny(image_shape=(None, 40, 3))
    with pytest.raises(ValueError, match=r"for each block; convolutions is \(1, 2\) and channels \(8,\)"):
        VGGConfig(convolutions=(1, 2), channels=(8,))
