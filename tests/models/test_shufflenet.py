"""ShuffleNets: published counts and costs, the flow of channels, a reference of V1's unit, sizes, names and errors."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import check_phone, check_strides_removed, images_of, outline
from tfdl.core.outline import multiply_adds, parameters
from tfdl.interop.layouts import entries
from tfdl.interop.torchvision import LAYOUT
from tfdl.layers.conv_norm import conv_norm
from tfdl.models.convnets.shufflenet import VARIANTS, ShuffleNetConfig, shufflenet, unit_v1, unit_v2

COUNTS = {"v2_x0_5": 1_366_792, "v2_x1_0": 2_278_604, "v2_x1_5": 3_503_624, "v2_x2_0": 7_393_996}
# V1, Table 1; V2, Table 5.
MULTIPLY_ADDS = {"v1_g3": 137e6, "v2_x0_5": 41e6, "v2_x1_0": 146e6, "v2_x1_5": 299e6, "v2_x2_0": 591e6}
TINY_V1 = ShuffleNetConfig(channels=(24, 36, 48), repeats=(2, 2, 1), stem=6, groups=3)


def tiny(config="nano", **kwargs):
    keras.utils.set_random_seed(0)
    return shufflenet(config, **{"image_shape": (33, 42, 3), "num_classes": 5, **kwargs})


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_published_one(variant):
    assert parameters(outline(shufflenet, variant)) == COUNTS[variant]


@pytest.mark.parametrize("variant", MULTIPLY_ADDS)
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(shufflenet, variant)) == pytest.approx(MULTIPLY_ADDS[variant], rel=0.02)


def test_count_of_v1_is_that_of_the_rows_of_its_table():
    count, previous = 9 * 3 * 24 + 2 * 24, 24  # first convolution and its norm
    for channels, units in ((240, 4), (480, 8), (960, 4)):
        for unit in range(units):
            inner, new = channels // 4, channels - previous if unit == 0 else channels
            groups = 1 if previous == 24 and unit == 0 else 3
            count += (previous if unit == 0 else channels) * inner // groups + inner * new // 3
            count += 9 * inner + 2 * (inner + inner + new)  # depthwise, three norms
        previous = channels
    assert parameters(outline(shufflenet, "v1_g3")) == count + 961 * 1000


@pytest.mark.parametrize(
    "variant, channels",
    [("nano", (8, 8, 16, 24, 64)), ("v1_g3", (24, 24, 240, 480, 960)), ("v2_x1_0", (24, 24, 116, 232, 1024))],
)
def test_without_classes_it_gives_the_last_map_at_each_stride(variant, channels):
    maps = outline(shufflenet, variant, image_shape=(75, 34, 3), num_classes=None).output
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
    found = {e.theirs: e.their_shape for e in entries(outline(shufflenet, "v2_x1_0"), LAYOUT, "shufflenet")}
    assert len(found) == 282
    assert TORCHVISION.items() <= found.items()


def test_v1_has_no_counterpart_in_torchvision():
    with pytest.raises(ValueError, match="no rule for .* stage2_block0_reduce.* no counterpart"):
        entries(outline(shufflenet, "v1_g3"), LAYOUT, "shufflenet")


def test_variant_for_small_images_is_v2_x0_5_with_a_quarter_of_its_stride():
    maps = outline(shufflenet, "v2_small_images", image_shape=(8, 8, 1), num_classes=None).output
    assert maps["stride8"].shape == (None, 1, 1, 1024)


@pytest.mark.parametrize("config, shape", [("nano", (1, 1, 1)), ("nano", (None, None, 3))])
def test_any_image_shape_gives_finite_logits(config, shape):
    logits = tiny(config, image_shape=shape)(images_of(2, *(s or 40 for s in shape)))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_v1_runs_on_a_phone_and_sees_small_images_in_full_too():  # the contract looks at V2
    check_phone(tiny(TINY_V1), (33, 42, 3))
    check_strides_removed(shufflenet, TINY_V1)


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="the 17 channels of a stage in half; choose an even number"):
        ShuffleNetConfig(channels=(16, 17), repeats=(1, 1))
    with pytest.raises(ValueError, match="3 groups do not fit 40 channels after 24; choose a larger multiple of 12"):
        ShuffleNetConfig(channels=(40,), repeats=(1,), groups=3)
    with pytest.raises(ValueError, match=r"one number a stage: \(16, 24\), \(4, 8, 4\)"):
        ShuffleNetConfig(channels=(16, 24))
    with pytest.raises(ValueError, match="strides_removed must be from 0 to 5, not 6"):
        replace(VARIANTS["nano"], strides_removed=6)
