"""Swin: the published counts, its strides and windows, and the builder's contract."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import but_slow, images_of, outline, randomize
from tfdl.core.outline import multiply_adds
from tfdl.layers.attention import WindowAttention
from tfdl.layers.drop_path import DropPath
from tfdl.models.vision_transformers.swin import VARIANTS, SwinConfig, swin

COUNTS = {"tiny": 28_288_354, "small": 49_606_258, "base": 87_768_224}  # of timm, torchvision and transformers
MULTIPLY_ADDS = {"tiny": 4.5e9, "small": 8.7e9, "base": 15.4e9}  # Table 1
SHAPE = (34, 45, 3)


def test_base_is_a_third_wider_than_small():
    small, base = VARIANTS["small"], VARIANTS["base"]
    assert (base.width, base.heads) == (128, (4, 8, 16, 32)) and base.depths == small.depths == (2, 2, 18, 2)


def tiny(**kwargs):
    keras.utils.set_random_seed(0)
    return swin("nano", **{"image_shape": SHAPE, "num_classes": 5, **kwargs})


@pytest.mark.parametrize("variant", but_slow(COUNTS, "base"))
def test_parameter_count_is_the_published_one(variant):
    assert outline(swin, variant).count_params() == COUNTS[variant]


@pytest.mark.parametrize("variant", but_slow(MULTIPLY_ADDS, "base"))
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(swin, variant)) == pytest.approx(MULTIPLY_ADDS[variant], rel=0.01)


def test_every_named_variant_is_counted():
    assert set(COUNTS) == set(VARIANTS) - {"nano", "small_images"}


def test_image_size_costs_no_parameter():
    small, large = (outline(swin, "nano", image_shape=shape) for shape in (SHAPE, (96, 32, 3)))
    assert small.count_params() == large.count_params()


def test_without_classes_it_gives_the_map_of_each_stage():
    maps = outline(swin, "nano", image_shape=SHAPE, num_classes=None).output
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        f"stride{s}": (-(-34 // s), -(-45 // s), 4 * s) for s in (4, 8, 16, 32)
    }


def test_small_images_variant_has_two_stages():
    maps = outline(swin, "small_images", image_shape=(28, 28, 1), num_classes=None).output
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {"stride4": (7, 7, 72), "stride8": (4, 4, 144)}


def test_only_the_last_map_is_normalized():
    model = tiny(num_classes=None)
    maps = {name: np.array(x) for name, x in randomize(model)(images_of(2, *SHAPE)).items()}
    norm = model.get_layer("norm")
    gamma, beta = (np.array(w) for w in norm.weights)
    plain = (maps["stride32"] - beta) / gamma
    np.testing.assert_allclose(plain.mean(-1), 0, atol=1e-4)
    np.testing.assert_allclose(plain.var(-1), 1, atol=1e-2)
    assert np.abs(maps["stride16"].mean(-1)).max() > 1e-2


def test_every_second_block_of_a_stage_shifts_its_windows():
    model = outline(swin, replace(VARIANTS["nano"], depths=(3, 2), heads=(1, 2)), image_shape=(48, 48, 3))
    moves = {layer.name: layer.distance for layer in model.layers if isinstance(layer, WindowAttention)}
    assert moves == {
        "stage1_block0_windows": (0, 0),
        "stage1_block1_windows": (1, 1),
        "stage1_block2_windows": (0, 0),
        "stage2_block0_windows": (0, 0),
        "stage2_block1_windows": (1, 1),
    }


def test_a_pixel_is_heard_in_its_window_and_after_a_shift_in_the_next():
    model = randomize(swin(replace(VARIANTS["nano"], depths=(2,), heads=(2,)), image_shape=(24, 36, 3)))
    images = images_of(1, 24, 36, 3)
    changed = images.copy()
    changed[0, 0, 9] += 0.5  # patch (0, 2) of 6 x 9; windows are 3 x 3
    reached = []
    for name in ("stage1_block0_add2", "stage1_block1_add2"):
        part = keras.Model(model.input, model.get_layer(name).output)
        reached.append(np.abs(np.array(part(images)) - np.array(part(changed)))[0].max(-1) > 1e-5)
    assert reached[0][:3, :3].all() and reached[0].sum() == 9
    assert reached[1][:4, :4].all() and reached[1].sum() == 16  # the shifted windows begin at 1


def test_drop_path_grows_linearly_through_all_stages():
    config = replace(VARIANTS["nano"], depths=(2, 1, 1, 1), drop_path=0.4)
    rates = [
        layer.rate for layer in outline(swin, config, image_shape=(32, 32, 3)).layers if isinstance(layer, DropPath)
    ]
    np.testing.assert_allclose(rates, np.repeat([0.1, 0.2, 0.3, 0.4], 2))  # two branches each; the first block has none


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 20, 3)])
def test_any_image_size_gives_finite_logits(shape):
    logits = tiny(image_shape=shape)(images_of(2, *shape))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"fixed image size, not \(None, 32, 3\)"):
        tiny(image_shape=(None, 32, 3))
    with pytest.raises(ValueError, match=r"number of heads for each stage; got heads \(3,\) for depths \(2, 2\)"):
        SwinConfig(width=12, depths=(2, 2), heads=(3,))
    with pytest.raises(ValueError, match="window must be at least 1, not 0"):
        replace(VARIANTS["tiny"], window=0)
