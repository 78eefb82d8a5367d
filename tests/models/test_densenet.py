"""DenseNets: published counts, dense connections, equality with keras.applications, sizes, names and errors."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import but_slow, images_of, outline
from tfdl.core.outline import multiply_adds, parameters
from tfdl.interop.layouts import entries
from tfdl.interop.torchvision import LAYOUT
from tfdl.interop.weights import load_weights
from tfdl.models.convnets.densenet import VARIANTS, densenet

COUNTS = {"121": 7_978_856, "161": 28_681_000, "169": 14_149_480, "201": 20_013_928}
MULTIPLY_ADDS = {"121": 2.834e9, "161": 7.728e9, "169": 3.36e9, "201": 4.291e9}  # torchvision's


def tiny(**kwargs):
    keras.utils.set_random_seed(0)
    return densenet("nano", **{"image_shape": (37, 42, 3), "num_classes": 5, **kwargs})


@pytest.mark.parametrize("variant", COUNTS)
def test_row_has_the_layers_that_its_name_counts(variant):
    row = VARIANTS[variant]
    assert 2 + 2 * sum(row.depths) + len(row.depths) - 1 == int(variant)  # stem, blocks, transitions, dense layer
    assert row.stem == 2 * row.growth


@pytest.mark.parametrize("variant", but_slow(COUNTS, "169", "201"))
def test_parameter_count_is_the_published_one(variant):
    assert parameters(outline(densenet, variant)) == COUNTS[variant]


@pytest.mark.parametrize("variant", but_slow(MULTIPLY_ADDS, "169", "201"))
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(densenet, variant)) == pytest.approx(MULTIPLY_ADDS[variant], rel=1e-3)


def test_cifar_network_has_the_paper_s_0_8_million_parameters():
    assert parameters(outline(densenet, "bc100", image_shape=(32, 32, 3), num_classes=10)) == 769_162  # Table 2: 0.8 M


@pytest.mark.parametrize("variant", ["121", "161", "bc100"])
def test_variant_is_called_after_its_convolutions_and_its_dense_layer(variant):
    options = dict(image_shape=(32, 32, 3), num_classes=10) if variant == "bc100" else {}
    layers = outline(densenet, variant, **options).layers
    weighted = [x for x in layers if isinstance(x, keras.layers.Conv2D | keras.layers.Dense)]
    assert len(weighted) == int(variant.removeprefix("bc"))


def test_channels_grow_by_k_a_layer_and_halve_between_blocks():
    maps = outline(densenet, "121", image_shape=(64, 96, 3), num_classes=None).output
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
    shape, depths = (33, 66, 3), (2, 3, 2, 1)  # keras.applications builds its own with the same function
    build = keras.src.applications.densenet.DenseNet
    reference = build(depths, weights=None, input_shape=shape, classes=1000, classifier_activation=None)
    rng = np.random.default_rng(1)
    for layer in reference.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma, *(rng.normal(0, 0.2, (2, *mean.shape))), rng.uniform(0.5, 1.5, variance.shape)])
    ours = densenet(replace(VARIANTS["121"], depths=depths), image_shape=shape, normalize=None)
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
    found = {e.theirs: e.their_shape for e in entries(outline(densenet, "121"), LAYOUT, "densenet")}
    assert len(found) == 606
    assert TORCHVISION.items() <= found.items()


def test_sizes_are_rounded_up_by_the_stem_and_down_by_the_transitions():
    maps = outline(densenet, "nano", image_shape=(75, 34, 3), num_classes=None).output
    sizes = [m.shape[1:3] for m in maps.values()]
    assert sizes == [(38, 17), (19, 9), (9, 4), (4, 2), (2, 1)]


@pytest.mark.parametrize("variant, shape", [("small_images", (8, 8, 1)), ("bc100", (4, 5, 3))])
def test_variants_for_small_images_take_them(variant, shape):
    maps = outline(densenet, variant, image_shape=shape, num_classes=None).output
    assert all(1 <= side <= 8 for m in maps.values() for side in m.shape[1:3])


@pytest.mark.parametrize("shape", [(29, 29, 1), (None, None, 3)])
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


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"at least 29 x 29 pixels, not 28 x 40.*strides_removed"):
        tiny(image_shape=(28, 40, 3))
    with pytest.raises(ValueError, match="strides_removed must be from 0 to 2, not 3"):
        replace(VARIANTS["bc100"], strides_removed=3)
