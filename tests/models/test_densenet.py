"""DenseNets: published counts, dense connections, equality with keras.applications, sizes, names and errors."""

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
from tfdl.models.convnets.densenet import VARIANTS, densenet

COUNTS = {"121": 7_978_856, "161": 28_681_000, "169": 14_149_480, "201": 20_013_928}


@functools.cache
def outline(variant, **kwargs):
    """A model whose variables have shapes and no values, built in half the time."""
    with keras.StatelessScope():
        return densenet(variant, **kwargs)


def tiny(**kwargs):
    keras.utils.set_random_seed(0)
    return densenet("nano", **{"image_shape": (37, 42, 3), "num_classes": 5, **kwargs})


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def multiply_adds(model):
    """Every weight of a kernel is used once for each pixel of the output."""
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    return sum(np.prod(layer.output.shape[1:-1]) * np.prod(layer.kernel.shape) for layer in kernels)


def images_of(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype("float32")


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_published_one(variant):
    assert trainable(outline(variant)) == COUNTS[variant]


def test_cifar_network_has_the_paper_s_0_8_million_parameters():
    assert trainable(outline("bc100", image_shape=(32, 32, 3), num_classes=10)) == 769_162  # Table 2: 0.8 M


@pytest.mark.parametrize("variant", ["121", "161", "bc100"])
def test_variant_is_called_after_its_convolutions_and_its_dense_layer(variant):
    options = dict(image_shape=(32, 32, 3), num_classes=10) if variant == "bc100" else {}
    layers = outline(variant, **options).layers
    weighted = [x for x in layers if isinstance(x, keras.layers.Conv2D | keras.layers.Dense)]
    assert len(weighted) == int(variant.removeprefix("bc"))


@pytest.mark.parametrize("variant, billions", [("121", 2.834), ("161", 7.728)])
def test_multiply_adds_are_torchvision_s(variant, billions):
    assert multiply_adds(outline(variant)) == pytest.approx(1e9 * billions, rel=1e-3)


def test_channels_grow_by_k_a_layer_and_halve_between_blocks():
    maps = outline("121", image_shape=(64, 96, 3), num_classes=None).output
    assert {k: m.shape[1:] for k, m in maps.items()} == {
        "stride2": (32, 48, 64),
        "stride4": (16, 24, 64 + 6 * 32),
        "stride8": (8, 12, 128 + 12 * 32),
        "stride16": (4, 6, 256 + 24 * 32),
        "stride32": (2, 3, 512 + 16 * 32),
    }


def test_block_hands_on_the_maps_of_all_its_layers_unchanged():
    model = tiny()
    names = ("transition1_pool", "block2_layer1_grow_conv", "block2_layer2_grow_conv", "block2_layer2_concat")
    *parts, block = keras.Model(model.input, [model.get_layer(n).output for n in names])(images_of(2, 37, 42, 3))
    np.testing.assert_array_equal(np.concatenate(parts, axis=-1), block)


def test_logits_equal_keras_applications_given_its_weights():
    shape = (33, 66, 3)
    reference = keras.applications.DenseNet121(weights=None, input_shape=shape, classifier_activation=None)
    rng = np.random.default_rng(1)
    for layer in reference.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma, *(rng.normal(0, 0.2, (2, *mean.shape))), rng.uniform(0.5, 1.5, variance.shape)])
    ours = densenet("121", image_shape=shape, normalize=None)
    load_weights(ours, {w.path: w for w in reference.weights}, layout="keras_applications")
    images = images_of(2, *shape) * [[[[1.0]]], [[[0.2]]]]
    expected = np.array(reference(images))
    assert np.abs(expected[0] - expected[1]).max() > 0.01  # else the tolerance below says nothing
    np.testing.assert_allclose(ours(images), expected, atol=1e-5)


# Shapes of torchvision 0.28.0's densenet121, printed from its state dictionary.
TORCHVISION = {
    "features.conv0.weight": (64, 3, 7, 7),
    "features.norm0.running_var": (64,),
    "features.denseblock1.denselayer1.norm1.weight": (64,),
    "features.denseblock1.denselayer6.conv1.weight": (128, 224, 1, 1),
    "features.denseblock3.denselayer24.conv2.weight": (32, 128, 3, 3),
    "features.denseblock4.denselayer16.norm2.running_mean": (128,),
    "features.transition2.norm.bias": (512,),
    "features.transition3.conv.weight": (512, 1024, 1, 1),
    "features.norm5.weight": (1024,),
    "classifier.weight": (1000, 1024),
}


def test_names_and_shapes_are_torchvision_s():
    found = {e.theirs: e.their_shape for e in entries(outline("121"), LAYOUT, "densenet")}
    assert len(found) == 606
    assert TORCHVISION.items() <= found.items()


def test_sizes_are_rounded_up_by_the_stem_and_down_by_the_transitions():
    maps = outline("nano", image_shape=(75, 34, 3), num_classes=None).output
    sizes = [m.shape[1:3] for m in maps.values()]
    assert sizes == [(38, 17), (19, 9), (9, 4), (4, 2), (2, 1)]


def test_removed_strides_keep_small_images_large_and_cost_no_parameter():
    config = replace(VARIANTS["nano"], strides_removed=3)
    shapes = {k: m.shape for k, m in outline(config, image_shape=(8, 12, 1), num_classes=None).output.items()}
    assert {k: s[1:3] for k, s in shapes.items()} == {"stride1": (8, 12), "stride2": (4, 6), "stride4": (2, 3)}
    kept, removed = (outline(c, image_shape=(32, 32, 1)) for c in ("nano", config))
    assert trainable(kept) == trainable(removed)


@pytest.mark.parametrize("variant, shape", [("small_images", (8, 8, 1)), ("bc100", (4, 5, 3))])
def test_variants_for_small_images_take_them(variant, shape):
    maps = outline(variant, image_shape=shape, num_classes=None).output
    assert all(1 <= side <= 8 for m in maps.values() for side in m.shape[1:3])


@pytest.mark.parametrize("shape", [(29, 29, 1), (32, 60, 3), (None, None, 3)])
def test_any_image_shape_gives_finite_logits(shape):
    logits = tiny(image_shape=shape)(images_of(2, *(s or 40 for s in shape)))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_dropout_falls_on_new_maps_in_training_only():
    config = replace(VARIANTS["nano"], dropout=0.5)
    model = densenet(config, image_shape=(33, 33, 3))
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in model.layers) == sum(config.depths)
    images = images_of(2, 33, 33, 3)
    np.testing.assert_array_equal(model(images), model(images))
    grown = keras.Model(model.input, model.get_layer("block1_layer1_dropout").output)(images, training=True)
    assert 0.3 < np.mean(np.array(grown) == 0) < 0.7


def test_normalization_is_part_of_the_model():
    inside, outside = tiny(normalize="unit"), tiny(normalize=None)
    images = images_of(2, 37, 42, 3)
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
    with pytest.raises(ValueError, match=r"no variant '122'.*nano.*201"):
        densenet("122")
    with pytest.raises(ValueError, match=r"num_classes must be at least 1, or None.* 0"):
        tiny(num_classes=0)
    with pytest.raises(ValueError, match=r"at least 29 x 29 pixels, not 28 x 40.*strides_removed"):
        tiny(image_shape=(28, 40, 3))
    with pytest.raises(ValueError, match="strides_removed must be from 0 to 2, not 3"):
        replace(VARIANTS["bc100"], strides_removed=3)
