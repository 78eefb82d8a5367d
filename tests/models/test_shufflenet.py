"""ShuffleNets: published counts and costs, the flow of channels, a reference of V1's unit, sizes, names and errors."""

import functools
from dataclasses import replace

import keras
import numpy as np
import pytest

from tfdl.export.signatures import frozen, signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.interop.layouts import entries
from tfdl.interop.torchvision import LAYOUT
from tfdl.layers.conv_norm import conv_norm
from tfdl.models.convnets.shufflenet import VARIANTS, ShuffleNetConfig, shufflenet, unit_v1, unit_v2

COUNTS = {"v2_x0_5": 1_366_792, "v2_x1_0": 2_278_604, "v2_x1_5": 3_503_624, "v2_x2_0": 7_393_996}
TINY_V1 = ShuffleNetConfig(channels=(24, 36, 48), repeats=(2, 2, 1), stem=6, groups=3)


@functools.cache
def outline(variant, **kwargs):
    """A model whose variables have shapes and no values, built in half the time."""
    with keras.StatelessScope():
        return shufflenet(variant, **kwargs)


def tiny(config="nano", **kwargs):
    keras.utils.set_random_seed(0)
    return shufflenet(config, **{"image_shape": (33, 42, 3), "num_classes": 5, **kwargs})


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def images_of(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype("float32")


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_published_one(variant):
    assert trainable(outline(variant)) == COUNTS[variant]


def test_count_of_v1_is_that_of_the_rows_of_its_table():
    count, previous = 9 * 3 * 24 + 2 * 24, 24  # first convolution and its norm
    for channels, units in ((240, 4), (480, 8), (960, 4)):
        for unit in range(units):
            inner, new = channels // 4, channels - previous if unit == 0 else channels
            groups = 1 if previous == 24 and unit == 0 else 3
            count += (previous if unit == 0 else channels) * inner // groups + inner * new // 3
            count += 9 * inner + 2 * (inner + inner + new)  # depthwise, three norms
        previous = channels
    assert trainable(outline("v1_g3")) == count + 961 * 1000


@pytest.mark.parametrize(
    "variant, millions",
    [("v1_g3", 137), ("v2_x0_5", 41), ("v2_x1_0", 146), ("v2_x1_5", 299), ("v2_x2_0", 591)],
)
def test_multiply_adds_are_the_papers(variant, millions):  # V1, Table 1; V2, Table 5
    kernels = [layer for layer in outline(variant).layers if hasattr(layer, "kernel")]
    found = sum(np.prod(layer.output.shape[1:-1]) * np.prod(layer.kernel.shape) for layer in kernels)
    assert found == pytest.approx(1e6 * millions, rel=0.02)


@pytest.mark.parametrize(
    "variant, channels",
    [("nano", (8, 8, 16, 24, 64)), ("v1_g3", (24, 24, 240, 480, 960)), ("v2_x1_0", (24, 24, 116, 232, 1024))],
)
def test_without_classes_it_gives_the_last_map_at_each_stride(variant, channels):
    maps = outline(variant, image_shape=(75, 34, 3), num_classes=None).output
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        f"stride{s}": (-(-75 // s), -(-34 // s), c) for s, c in zip((2, 4, 8, 16, 32), channels)
    }


def unit(function, shape, *args, **kwargs):
    """A model of one unit, its moving statistics off their start."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, function(inputs, *args, **kwargs, name="unit"))
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            c = layer.gamma.shape[0]
            layer.set_weights([rng.uniform(0.5, 1.5, c), *rng.normal(0, 0.3, (2, c)), rng.uniform(0.5, 1.5, c)])
    return model


@pytest.mark.parametrize("stride, channels", [(1, 24), (2, 60)])
def test_unit_of_v1_is_figure_2(stride, channels):
    x = images_of(2, 5, 6, 24)
    model = unit(unit_v1, x.shape[1:], channels, stride, 3, 3, conv=conv_norm)

    def norm(y, name):
        gamma, beta, mean, variance = model.get_layer(f"unit_{name}_norm").get_weights()
        return gamma * (y - mean) / np.sqrt(variance + 1e-5) + beta

    def grouped(y, name):
        names = [f"{name}_group{g}" for g in range(3)]
        kernels = [model.get_layer(f"unit_{n}_conv").kernel[0, 0] for n in names]
        return np.concatenate([norm(p @ k, n) for p, k, n in zip(np.split(y, 3, -1), kernels, names)], -1)

    def windows(y):
        """(i, j) -> the pixel at row i, column j of each 3x3 window around each stride-th pixel, zeros outside."""
        height, width, y = *y.shape[1:3], np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return {(i, j): y[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)}

    y = np.maximum(grouped(x, "reduce"), 0)  # Fig. 2 (b) and (c), from the top
    y = y.reshape(*y.shape[:3], 3, -1).swapaxes(3, 4).reshape(y.shape)
    kernel = np.array(model.get_layer("unit_depthwise_conv").kernel)[..., 0]
    y = norm(sum(window * kernel[place] for place, window in windows(y).items()), "depthwise")
    y = grouped(y, "expand")
    y = x + y if stride == 1 else np.concatenate([sum(windows(x).values()) / 9, y], -1)
    np.testing.assert_allclose(model(x), np.maximum(y, 0), atol=1e-5)


def test_half_of_the_channels_pass_a_unit_of_v2_untouched():
    x = images_of(2, 5, 4, 8)
    y = np.array(unit(unit_v2, (5, 4, 8), 8, 1, is_first=False, conv=conv_norm)(x))
    np.testing.assert_array_equal(y[..., ::2], x[..., :4])  # every second channel, after the shuffle
    assert not np.isclose(y[..., 1::2], x[..., 4:]).any(axis=(0, 1, 2)).all()


def test_first_unit_of_a_stage_sees_all_channels_in_both_branches():
    model, x = unit(unit_v2, (6, 4, 8), 10, 2, is_first=True, conv=conv_norm), images_of(1, 6, 4, 8)
    for channel in range(8):
        changed = x.copy()
        changed[..., channel] += 1.0
        moved = np.abs(model(changed) - model(x)).max(axis=(0, 1, 2)) > 0
        assert moved[::2].any() and moved[1::2].any()


# Shapes of torchvision 0.28.0's shufflenet_v2_x1_0, printed from its state dictionary.
TORCHVISION = {
    "conv1.0.weight": (24, 3, 3, 3),
    "conv1.1.running_mean": (24,),
    "stage2.0.branch1.0.weight": (24, 1, 3, 3),
    "stage2.0.branch1.2.weight": (58, 24, 1, 1),
    "stage2.0.branch2.4.bias": (58,),
    "stage3.7.branch2.3.weight": (116, 1, 3, 3),
    "stage4.3.branch2.5.weight": (232, 232, 1, 1),
    "stage4.3.branch2.6.running_var": (232,),
    "conv5.0.weight": (1024, 464, 1, 1),
    "fc.weight": (1000, 1024),
}


def test_names_and_shapes_are_torchvision_s():
    found = {e.theirs: e.their_shape for e in entries(outline("v2_x1_0"), LAYOUT, "shufflenet")}
    assert len(found) == 282
    assert TORCHVISION.items() <= found.items()


def test_v1_has_no_counterpart_in_torchvision():
    with pytest.raises(ValueError, match="no rule for .* stage2_block0_reduce.* no counterpart"):
        entries(outline("v1_g3"), LAYOUT, "shufflenet")


def test_variant_for_small_images_is_v2_x0_5_with_a_quarter_of_its_stride():
    maps = outline("v2_small_images", image_shape=(8, 8, 1), num_classes=None).output
    assert maps["stride8"].shape == (None, 1, 1, 1024)


@pytest.mark.parametrize("config", [VARIANTS["nano"], TINY_V1], ids=["v2", "v1"])
def test_removed_strides_keep_small_images_large_and_cost_no_parameter(config):
    removed = replace(config, strides_removed=3)
    shapes = {k: m.shape for k, m in outline(removed, image_shape=(8, 12, 1), num_classes=None).output.items()}
    assert {k: s[1:3] for k, s in shapes.items()} == {"stride1": (8, 12), "stride2": (4, 6), "stride4": (2, 3)}
    assert trainable(outline(removed)) == trainable(outline(config))


@pytest.mark.parametrize("config, shape", [("nano", (1, 1, 1)), (TINY_V1, (33, 20, 3)), ("nano", (None, None, 3))])
def test_any_image_shape_gives_finite_logits(config, shape):
    logits = tiny(config, image_shape=shape)(images_of(2, *(s or 40 for s in shape)))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_normalization_is_part_of_the_model():
    inside, outside = tiny(normalize="unit"), tiny(normalize=None)
    images = images_of(2, 33, 42, 3)
    np.testing.assert_allclose(inside(images), outside(images * 2 - 1), atol=1e-5)


@pytest.mark.parametrize("config", ["nano", TINY_V1], ids=["v2", "v1"])
def test_phone_computes_the_same_with_built_in_operators(config):
    model = tiny(config, image_shape=(33, 30, 3))
    images = images_of(2, 33, 30, 3)
    logits = run_tflite(convert_float(frozen(model, signature_of(model))), {"images": images})["logits"]
    np.testing.assert_allclose(logits, model(images), atol=1e-4)


def test_a_config_is_stored_and_read_back():
    for config in VARIANTS.values():
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(config)) == config


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"no variant 'v3'.*nano.*v2_x2_0"):
        shufflenet("v3")
    with pytest.raises(ValueError, match=r"num_classes must be at least 1, or None.* 0"):
        tiny(num_classes=0)
    with pytest.raises(ValueError, match="which are 17; take an even number"):
        ShuffleNetConfig(channels=(16, 17), repeats=(1, 1))
    with pytest.raises(ValueError, match="3 groups do not fit 40 channels after 24; take more, a multiple of 12"):
        ShuffleNetConfig(channels=(40,), repeats=(1,), groups=3)
    with pytest.raises(ValueError, match=r"as many, not \(16, 24\) and \(4, 8, 4\)"):
        ShuffleNetConfig(channels=(16, 24))
    with pytest.raises(ValueError, match="strides_removed must be from 0 to 5, not 6"):
        replace(VARIANTS["nano"], strides_removed=6)
