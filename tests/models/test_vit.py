"""ViT: the published counts, its tokens and positions, and the builder's contract."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import but_slow, images_of, outline, randomize
from tfdl.core.outline import multiply_adds
from tfdl.layers.drop_path import DropPath
from tfdl.models.vision_transformers.vit import VARIANTS, ViTConfig, vit

COUNTS = {  # of timm, torchvision and Touvron et al. 2020, Table 1, at 224 pixels a side
    "tiny_patch16": 5_717_416,
    "small_patch16": 22_050_664,
    "base_patch16": 86_567_656,
    "base_patch32": 88_224_232,
    "large_patch16": 304_326_632,
    "large_patch32": 306_535_400,
}
MULTIPLY_ADDS = {  # torchvision's; tiny and small: Touvron et al., Table 1
    "tiny_patch16": 1.26e9,
    "small_patch16": 4.6e9,
    "base_patch16": 17.564e9,
    "base_patch32": 4.409e9,
    "large_patch16": 61.555e9,
    "large_patch32": 15.378e9,
}
SHAPE = (24, 40, 3)


def tiny(**kwargs):
    keras.utils.set_random_seed(0)
    return vit("nano", **{"image_shape": SHAPE, "num_classes": 5, **kwargs})


LARGEST = ("large_patch16", "large_patch32")


def test_large_is_the_row_of_table_1():
    for name in LARGEST:
        row = VARIANTS[name]
        assert (row.depth, row.width, row.heads, row.expansion) == (24, 1024, 16, 4.0)
        assert name.endswith(f"patch{row.patch}")


@pytest.mark.parametrize("variant", but_slow(COUNTS, *LARGEST))
def test_parameter_count_is_the_published_one(variant):
    assert outline(vit, variant).count_params() == COUNTS[variant]


@pytest.mark.parametrize("variant", but_slow(MULTIPLY_ADDS, *LARGEST))
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(vit, variant)) == pytest.approx(MULTIPLY_ADDS[variant], rel=0.01)


def test_every_named_variant_is_counted():
    assert set(COUNTS) == set(VARIANTS) - {"nano", "small_images"}


def test_a_larger_image_costs_positions_only():
    small, large = tiny(), tiny(image_shape=(48, 40, 3))
    assert large.count_params() - small.count_params() == 3 * 5 * VARIANTS["nano"].width


def test_without_classes_it_gives_a_vector_for_each_patch():
    model = tiny(num_classes=None)
    assert {name: x.shape for name, x in model.output.items()} == {"stride8": (None, 3, 5, 32)}


def test_features_are_the_normalized_tokens_without_the_class_token():
    model = randomize(tiny(), 0.2)
    features = tiny(num_classes=None)
    features.set_weights(model.get_weights()[:-2])
    tokens = keras.Model(model.input, model.get_layer("norm").output)(images_of(2, *SHAPE))
    np.testing.assert_allclose(
        features(images_of(2, *SHAPE))["stride8"], np.array(tokens)[:, 1:].reshape(2, 3, 5, 32), atol=1e-6
    )


def test_an_image_is_a_set_of_patches_but_for_the_positions():
    model = randomize(tiny(), 0.2)
    images = images_of(2, *SHAPE)
    moved = np.concatenate([images[:, :, 16:], images[:, :, :16]], axis=2)  # whole patches change places
    assert np.abs(np.array(model(images)) - np.array(model(moved))).max() > 1e-2
    model.get_layer("positions").table.assign(np.zeros((1, 16, 32)))
    np.testing.assert_allclose(model(images), model(moved), atol=1e-4)


def test_drop_path_grows_linearly_to_the_last_block():
    model = vit(replace(VARIANTS["nano"], depth=3, drop_path=0.2), image_shape=(16, 16, 3))
    rates = [layer.rate for layer in model.layers if isinstance(layer, DropPath)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.2, 0.2])  # block 0 has none, each other two branches


def test_dropout_is_everywhere_and_in_training_only():
    model = randomize(vit(replace(VARIANTS["nano"], dropout=0.3), image_shape=SHAPE, num_classes=5), 0.2)
    images = images_of(2, *SHAPE)
    np.testing.assert_array_equal(model(images), model(images))
    assert np.abs(np.array(model(images, training=True)) - np.array(model(images))).max() > 1e-2
    assert {"dropout", "block0_dropout1", "block1_dropout2"} <= {layer.name for layer in model.layers}


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 8, 1)])
def test_any_size_of_whole_patches_gives_finite_logits(shape):
    logits = tiny(image_shape=shape)(images_of(2, *shape))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="Patches of 8 do not tile images of 34 x 45; resize them to 32 x 48"):
        tiny(image_shape=(34, 45, 3))
    with pytest.raises(ValueError, match=r"fixed image size, not \(None, 32, 3\)"):
        tiny(image_shape=(None, 32, 3))
    with pytest.raises(ValueError, match="5 heads do not divide a width of 32"):
        vit(ViTConfig(patch=8, width=32, depth=1, heads=5), image_shape=SHAPE)
