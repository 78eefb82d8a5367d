"""Rollout multiplies what it says, on attention whose product is known; in a ViT it finds what decides the class."""

import keras
import numpy as np
import pytest

from tests.explain.planted import SIZE, found, planted, trained
from tfdl.explain.occlusion import peaks
from tfdl.explain.rollout import attention_maps, attention_rollout, class_attention, is_transformer, rollout
from tfdl.models.vision_transformers.swin import swin
from tfdl.models.vision_transformers.vit import vit


def distributions(*shape, seed=0):
    rows = np.random.default_rng(seed).random(shape)
    return rows / rows.sum(-1, keepdims=True)


def test_tokens_that_look_at_themselves_keep_all():
    eye = np.broadcast_to(np.eye(5), (2, 3, 5, 5))
    np.testing.assert_allclose(rollout([eye] * 4), np.broadcast_to(np.eye(5), (2, 5, 5)))


def test_uniform_attention_mixes_half_of_the_rest_in_each_layer():
    uniform = np.full((1, 2, 4, 4), 0.25)
    kept = 0.5**3  # of a token after 3 layers; what is lost is spread evenly
    np.testing.assert_allclose(rollout([uniform] * 3), [kept * np.eye(4) + (1 - kept) / 4])


def test_path_through_two_layers_is_followed():
    first, second = np.eye(3)[[0, 2, 2]], np.eye(3)[[1, 1, 2]]  # layer 1: token 1 looks at 2; layer 2: token 0 at 1
    mixed = rollout([first[None, None], second[None, None]])[0]
    np.testing.assert_allclose(mixed[0], [0.5, 0.25, 0.25])  # itself, token 1, and token 2 by way of token 1


def test_heads_are_averaged():
    heads = distributions(2, 3, 4, 4)
    np.testing.assert_allclose(rollout([heads]), 0.5 * heads.mean(1) + 0.5 * np.eye(4))


def test_every_row_sums_to_one():
    layers = [distributions(2, 3, 6, 6, seed=i) for i in range(5)]
    np.testing.assert_allclose(rollout(layers).sum(-1), 1)


def test_maps_are_the_layers_own():
    model = vit("nano", image_shape=(24, 40, 3), num_classes=3)
    images = np.random.default_rng(0).random((2, 24, 40, 3), dtype="float32")
    maps = attention_maps(model, images)
    assert list(maps) == ["block0_attention", "block1_attention"]
    block = keras.Model(model.inputs[0], model.get_layer("block1_norm1").output)
    expected = model.get_layer("block1_attention").attention_map(block(images))
    np.testing.assert_allclose(maps["block1_attention"], expected, atol=1e-6)
    heads = class_attention(model, images)["block1_attention"]
    assert heads.shape == (2, 3, 5, 4)
    np.testing.assert_allclose(heads[1, 2, 4, 3], expected[1, 3, 0, 15], atol=1e-6)
    assert attention_rollout(model, images).shape == (2, 3, 5)


def test_square_that_decides_the_class_is_found():
    images, _, corners = planted(60, 1)
    assert found(peaks(attention_rollout(trained("vit"), images), SIZE, SIZE), corners) > 0.8


def test_swin_has_no_attention_among_all_patches():
    model = swin("nano", image_shape=(32, 32, 3), num_classes=3)
    assert not is_transformer(model)
    with pytest.raises(ValueError, match="'swin' is not a ViT.*grad_cam"):
        attention_rollout(model, np.zeros((1, 32, 32, 3), "float32"))


@pytest.mark.parametrize("maps", [[], [np.ones((1, 1, 2, 2))], [np.eye(2)]])
def test_what_is_no_attention_is_refused(maps):
    with pytest.raises(ValueError, match="rows summing to 1"):
        rollout(maps)
