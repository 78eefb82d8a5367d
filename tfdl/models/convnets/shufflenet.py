"""ShuffleNet V1 and V2: cheap 1x1 convolutions on parts of the channels, then a channel shuffle that mixes the parts.

Papers: V1 Zhang et al. 2017, arXiv:1707.01083, Table 1 and Fig. 2; V2 Ma et al. 2018, arXiv:1807.11164, Table 5 and
Fig. 3.
Shapes: B batch, H W height and width of the feature map, C channels, s stride, g groups.
"""

import functools
import math
from dataclasses import replace

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.channel_shuffle import ChannelShuffle
from tfdl.layers.conv_norm import conv_norm, remove_strides
from tfdl.layers.pixels import image_input, normalize_pixels

RATIO = 4  # V1: a unit's inner maps have a quarter of its channels (section 3.2)


@config
class ShuffleNetConfig:
    """One network: a convolution and a pooling, then stages of units, the first unit of each with stride 2."""

    channels: tuple[int, ...]  # of stages 2, 3 and 4
    repeats: tuple[int, ...] = (4, 8, 4)  # units of each stage
    stem: int = 24  # channels of the first convolution, 3x3 with stride 2
    groups: int | None = None  # V1: groups of the 1x1 convolutions; None has V2's units
    features: int | None = None  # V2: channels of the 1x1 convolution before the pooling
    epsilon: float = 1e-5  # of batch normalization; torchvision's
    momentum: float = 0.9
    strides_removed: int = 0  # this many of the first strides of 2 become 1, for images much smaller than 224

    def __post_init__(self):
        if len(self.channels) != len(self.repeats):
            raise ValueError(f"channels and repeats must have one number a stage: {self.channels}, {self.repeats}.")
        for channels, previous in zip(self.channels, (self.stem, *self.channels)):
            if not self.groups and channels % 2:
                raise ValueError(f"V2 splits the {channels} channels of a stage in half; choose an even number.")
            if self.groups and (
                channels <= previous or channels % (RATIO * self.groups) or (channels - previous) % self.groups
            ):
                raise ValueError(
                    f"{self.groups} groups do not fit {channels} channels after {previous}; choose a larger multiple of"
                    f" {RATIO * self.groups} that exceeds {previous} by a multiple of {self.groups}."
                )
        self.strides()  # raises ValueError if `strides_removed` is out of range

    def strides(self):
        """Strides of the first convolution, the pooling and each stage, after `strides_removed`."""
        return remove_strides([2] * (2 + len(self.channels)), self.strides_removed)


VARIANTS = {
    "nano": ShuffleNetConfig(channels=(16, 24, 32), repeats=(2, 2, 1), stem=8, features=64),  # ours, for tests
    "v1_g3": ShuffleNetConfig(channels=(240, 480, 960), groups=3),
    "v2_x0_5": ShuffleNetConfig(channels=(48, 96, 192), features=1024),
    "v2_x1_0": ShuffleNetConfig(channels=(116, 232, 464), features=1024),
    "v2_x1_5": ShuffleNetConfig(channels=(176, 352, 704), features=1024),
    "v2_x2_0": ShuffleNetConfig(channels=(244, 488, 976), features=2048),
}
# Ours, for 8 to 64 pixels a side: two strides fewer.
VARIANTS["v2_small_images"] = replace(VARIANTS["v2_x0_5"], strides_removed=2)
# Images and classes of variants that differ from the builder's defaults, for `tfdl show shufflenet --flops`.
CANONICAL = {"v2_small_images": dict(image_shape=(32, 32, 3), num_classes=10)}


def shufflenet(
    variant="v2_x1_0", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="shufflenet"
):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last feature map at each stride.

    `variant` is a row of VARIANTS or a ShuffleNetConfig, as in `replace(VARIANTS["v2_x0_5"], strides_removed=1)`.  H
    and W may be None.  `normalize`: see `normalize_pixels`.  The feature maps are returned as {"stride2": (B, H/2, W/2,
    C), ... "stride32": ...}, sizes rounded up.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="shufflenet")
    check_num_classes(num_classes)
    strides = c.strides()
    conv = functools.partial(conv_norm, epsilon=c.epsilon, momentum=c.momentum)

    images = image_input(image_shape)
    x = normalize_pixels(images, normalize)
    x = conv(x, c.stem, 3, strides[0], activation=ops.relu, name="stem")  # (B, H/2, W/2, C)
    maps = {strides[0]: x}  # stride from the image -> last feature map there
    if strides[1] == 2:
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # zero padding is safe here: x >= 0 after ReLU
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)  # (B, H/4, W/4, C)
    maps[math.prod(strides[:2])] = x
    for i, (channels, repeats) in enumerate(zip(c.channels, c.repeats)):
        for j in range(repeats):
            stride, block = strides[i + 2] if j == 0 else 1, f"stage{i + 2}_block{j}"
            if c.groups:
                groups = 1 if i == j == 0 else c.groups  # the stem has too few channels for groups (section 3.2)
                x = unit_v1(x, channels, stride, groups, c.groups, conv=conv, name=block)
            else:
                x = unit_v2(x, channels, stride, is_first=j == 0, conv=conv, name=block)
        maps[math.prod(strides[: i + 3])] = x  # (B, H/s, W/s, C)
    if c.features:
        x = conv(x, c.features, activation=ops.relu, name="head")
        maps[math.prod(strides)] = x
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in maps.items()}, name=name)

    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, C)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def unit_v1(x, channels, stride, groups_in, groups_out, *, conv, name):
    """V1, Fig. 2: grouped 1x1, shuffle, depthwise, grouped 1x1; a stage's first unit concatenates x, the others add it.

    (B, H, W, C) -> (B, H/s, W/s, channels).
    """
    previous, inner = x.shape[-1], channels // RATIO
    new = channels if channels == previous else channels - previous
    y = grouped_conv(x, inner, groups_in, activation=ops.relu, conv=conv, name=f"{name}_reduce")  # (B, H, W, inner)
    y = ChannelShuffle(groups_out, name=f"{name}_shuffle")(y)
    y = conv(y, inner, 3, stride, groups=inner, name=f"{name}_depthwise")  # (B, H/s, W/s, inner)
    y = grouped_conv(y, new, groups_out, conv=conv, name=f"{name}_expand")  # (B, H/s, W/s, new)
    if channels == previous:
        return ops.relu(layers.Add(name=f"{name}_add")([x, y]))
    if stride == 2:
        x = layers.ZeroPadding2D(1, name=f"{name}_shortcut_pad")(x)
        x = layers.AveragePooling2D(3, 2, name=f"{name}_shortcut_pool")(x)  # (B, H/2, W/2, C)
    return ops.relu(layers.Concatenate(name=f"{name}_concat")([x, y]))


def grouped_conv(x, channels, groups, *, activation=None, conv, name):
    """A 1x1 convolution, with norm and activation, of each group of channels separately.  -> (B, H, W, channels).

    One Conv2D for each group, because Keras compiles its own `groups` with XLA on a CPU, where the gradient takes six
    times as long.  Each has its own norm, because the TFLite converter folds a norm only into the convolution directly
    before it.
    """
    if groups == 1:
        return conv(x, channels, activation=activation, name=name)
    parts = enumerate(ops.split(x, groups, axis=-1))
    parts = [conv(part, channels // groups, activation=activation, name=f"{name}_group{g}") for g, part in parts]
    return layers.Concatenate(name=f"{name}_join")(parts)


def unit_v2(x, channels, stride, *, is_first, conv, name):
    """V2, Fig. 3: half the channels pass unchanged (in a stage's first unit, through a short branch); then a shuffle.

    (B, H, W, C) -> (B, H/s, W/s, channels).
    """
    half = channels // 2
    if is_first:  # Fig. 3 (d)
        y, previous = x, x.shape[-1]
        x = conv(x, previous, 3, stride, groups=previous, name=f"{name}_shortcut_depthwise")
        x = conv(x, half, activation=ops.relu, name=f"{name}_shortcut_pointwise")  # (B, H/s, W/s, channels/2)
    else:  # Fig. 3 (c)
        x, y = ops.split(x, 2, axis=-1)
    y = conv(y, half, activation=ops.relu, name=f"{name}_pointwise1")  # (B, H, W, channels/2)
    y = conv(y, half, 3, stride, groups=half, name=f"{name}_depthwise")
    y = conv(y, half, activation=ops.relu, name=f"{name}_pointwise2")  # (B, H/s, W/s, channels/2)
    x = layers.Concatenate(name=f"{name}_concat")([x, y])
    return ChannelShuffle(2, name=f"{name}_shuffle")(x)
