"""MobileNet V1, V2, V3: a depthwise convolution and a 1x1 convolution replace a full one at about a ninth of its cost.

Papers: V1 Howard et al. 2017, arXiv:1704.04861, Table 1; V2 Sandler et al. 2018, arXiv:1801.04381, Tables 1 and 2;
V3 Howard et al. 2019, arXiv:1905.02244, Tables 1 and 2, Fig. 4 and 5.
Shapes: B batch, H W height and width of the feature map, C channels, s stride, E expanded channels.
"""

import functools
import math
from dataclasses import replace

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.conv_norm import conv_norm, make_divisible, remove_strides
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.layers.squeeze_excite import squeeze_excite
from tfdl.ops.activations import hard_swish

ACTIVATIONS = {"relu": ops.relu, "relu6": ops.relu6, "hard_swish": hard_swish}


@config
class MobileNetConfig:
    """One network; `blocks` is the paper's table, with a row (kernel, E, C, squeeze, activation, s) for each block.

    E and C are the channels at width 1.  E = None is V1's block, which has neither expansion nor shortcut.
    """

    blocks: tuple[tuple, ...]
    stem: int  # channels of the first convolution, 3x3 with stride 2
    scale_stem: bool = True  # False: `width` does not apply to the stem, as in keras.applications for V3
    head_ratio: int | None = None  # V3: a 1x1 convolution to this many times the last C precedes the pooling
    features: int | None = None  # channels before the logits, never reduced by `width` (V2, section 4)
    activation: str = "relu6"  # of stem and head
    dropout: float = 0.2
    epsilon: float = 1e-5  # of batch normalization; torchvision's
    momentum: float = 0.9
    padding: str = "both"  # of convolutions with stride 2, see `conv_norm`
    width: float = 1.0  # factor on all numbers of channels, which are rounded to multiples of 8
    strides_removed: int = 0  # this many of the first strides of 2 become 1, for images much smaller than 224
    dilated: int = 0  # this many of the last ones too, with kernels as wide as if they halved the map (V2, section 6.3)

    def __post_init__(self):
        for activation in {self.activation, *(row[4] for row in self.blocks)} - set(ACTIVATIONS):
            raise ValueError(f"mobilenet has no activation {activation!r}; it has {', '.join(ACTIVATIONS)}.")
        self.strides()  # raises ValueError if `strides_removed` or `dilated` is out of range
        if self.width <= 0:
            raise ValueError(f"width must be positive, not {self.width}; 1.0 is the paper's.")

    def strides(self):
        """Strides of the stem and of each block, after `strides_removed` and `dilated`."""
        strides = remove_strides([2, *(row[-1] for row in self.blocks)], self.strides_removed)
        return remove_strides(strides[::-1], self.dilated)[::-1]

    def dilations(self):
        """Of each block's kernel: twice as much after each stride that `dilated` removes."""
        whole, found = replace(self, dilated=0).strides(), [1]
        for before, after in zip(whole, self.strides()):
            found.append(found[-1] * before // after)
        return found[1:-1]  # the block whose stride is removed itself sees what it saw


def v1(*rows):
    """Rows (C, s) of V1's Table 1."""
    return tuple((3, None, c, False, "relu6", s) for c, s in rows)


def v2(stem, *rows):
    """Rows (t, c, n, s) of V2's Table 2: n blocks with c channels and expansion t, the first with stride s."""
    blocks, previous = [], stem
    for t, c, n, s in rows:
        for i in range(n):
            blocks.append((3, t * previous, c, False, "relu6", s if i == 0 else 1))
            previous = c
    return tuple(blocks)


RE, HS = "relu", "hard_swish"  # column NL of V3's tables
# Shared by both V3 networks.  The epsilon is TensorFlow's; the momentum is 1 minus torchvision's 0.01.
V3 = dict(stem=16, scale_stem=False, head_ratio=6, activation=HS, epsilon=1e-3, momentum=0.99)

VARIANTS = {
    "nano": MobileNetConfig(  # ours, for tests: V3's blocks, shortcut and head, with five strides of 2
        blocks=(
            (3, 8, 8, True, RE, 2),
            (3, 24, 16, False, RE, 2),
            (3, 40, 16, False, HS, 1),
            (5, 48, 24, True, HS, 2),
            (5, 72, 32, True, HS, 2),
        ),
        stem=8,
        head_ratio=2,
        features=72,
        activation=HS,
    ),
    "v1": MobileNetConfig(
        blocks=v1((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)),
        stem=32,
        dropout=1e-3,  # the authors' published code
    ),
    "v2": MobileNetConfig(
        blocks=v2(
            32,
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ),
        stem=32,
        features=1280,
    ),
    "v3_small": MobileNetConfig(
        blocks=(
            (3, 16, 16, True, RE, 2),
            (3, 72, 24, False, RE, 2),
            (3, 88, 24, False, RE, 1),
            (5, 96, 40, True, HS, 2),
            (5, 240, 40, True, HS, 1),
            (5, 240, 40, True, HS, 1),
            (5, 120, 48, True, HS, 1),
            (5, 144, 48, True, HS, 1),
            (5, 288, 96, True, HS, 2),
            (5, 576, 96, True, HS, 1),
            (5, 576, 96, True, HS, 1),
        ),
        features=1024,
        **V3,
    ),
    "v3_large": MobileNetConfig(
        blocks=(
            (3, 16, 16, False, RE, 1),
            (3, 64, 24, False, RE, 2),
            (3, 72, 24, False, RE, 1),
            (5, 72, 40, True, RE, 2),
            (5, 120, 40, True, RE, 1),
            (5, 120, 40, True, RE, 1),
            (3, 240, 80, False, HS, 2),
            (3, 200, 80, False, HS, 1),
            (3, 184, 80, False, HS, 1),
            (3, 184, 80, False, HS, 1),
            (3, 480, 112, True, HS, 1),
            (3, 672, 112, True, HS, 1),
            (5, 672, 160, True, HS, 2),
            (5, 960, 160, True, HS, 1),
            (5, 960, 160, True, HS, 1),
        ),
        features=1280,
        **V3,
    ),
}
# The same networks with the settings of weights that two libraries publish.  keras.applications, and timm's networks
# whose names begin with tf_, pad as TensorFlow does.  timm's own MobileNetV3 uses PyTorch's epsilon.
KERAS = dict(epsilon=1e-3, padding="same")
VARIANTS |= {
    "v1_keras": replace(VARIANTS["v1"], epsilon=1e-3, padding="behind"),
    "v2_keras": replace(VARIANTS["v2"], **KERAS),
    "v3_small_keras": replace(VARIANTS["v3_small"], **KERAS),
    "v3_large_keras": replace(VARIANTS["v3_large"], **KERAS),
    "v3_small_timm": replace(VARIANTS["v3_small"], epsilon=1e-5),
    "v3_large_timm": replace(VARIANTS["v3_large"], epsilon=1e-5),
}
# Ours, for 8 to 64 pixels a side: two strides fewer, and for small data sets width 0.35, the paper's smallest.
VARIANTS["v2_small_images"] = replace(VARIANTS["v2"], width=0.35, strides_removed=2)
# Images and classes of variants that differ from the builder's defaults, for `tfdl show mobilenet --flops`.
CANONICAL = {"v2_small_images": dict(image_shape=(32, 32, 3), num_classes=10)}


def mobilenet(variant="v2", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="mobilenet"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last feature map at each stride.

    `variant` is a row of VARIANTS or a MobileNetConfig, as in `replace(VARIANTS["v2"], width=0.5)`.  H and W may
    be None.  `normalize`: see `normalize_pixels`.  The feature maps are returned as {"stride2": (B, H/2, W/2, C), ...
    "stride32": ...}, sizes rounded up.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="mobilenet")
    check_num_classes(num_classes)
    strides = c.strides()
    conv = functools.partial(conv_norm, epsilon=c.epsilon, momentum=c.momentum, padding=c.padding)
    activation = ACTIVATIONS[c.activation]

    images = image_input(image_shape)
    x = normalize_pixels(images, normalize)
    stem = make_divisible(c.stem * c.width) if c.scale_stem else c.stem
    stem_padding = "same" if c.padding == "behind" else c.padding  # as keras.applications has it
    x = conv(x, stem, 3, strides[0], activation=activation, padding=stem_padding, name="stem")  # (B, H/2, W/2, C)
    maps = {strides[0]: x}  # stride from the image -> last feature map there
    for i, (row, stride, dilation) in enumerate(zip(c.blocks, strides[1:], c.dilations())):
        kernel, expanded, channels, squeeze, act, _ = row
        options = dict(stride=stride, dilation=dilation, activation=ACTIVATIONS[act], conv=conv, name=f"block{i}")
        channels = make_divisible(channels * c.width)
        if expanded is None:
            x = separable(x, channels, kernel, **options)
        else:
            previous = c.blocks[i - 1][2] if i else c.stem
            x = inverted_residual(x, expanded / previous, channels, kernel, squeeze=squeeze, **options)
        maps[math.prod(strides[: i + 2])] = x  # (B, H/s, W/s, C)
    features = c.features and make_divisible(c.features * max(1.0, c.width))
    if c.head_ratio:
        x = conv(x, make_divisible(c.head_ratio * x.shape[-1]), activation=activation, name="head")
    elif features:
        x = conv(x, features, activation=activation, name="head")
    maps[math.prod(strides)] = x
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in maps.items()}, name=name)

    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, C)
    if c.head_ratio and features:
        x = activation(layers.Dense(features, name="features")(x))  # Fig. 5
    x = layers.Dropout(c.dropout, name="dropout")(x)
    small = keras.initializers.RandomNormal(stddev=0.01)  # torchvision's: initial predictions are nearly uniform
    x = layers.Dense(num_classes, kernel_initializer=small, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def separable(x, channels, kernel, *, stride, dilation, activation, conv, name):
    """V1, Fig. 3: depthwise, then 1x1, both with norm and activation.  (B, H, W, C) -> (B, H/s, W/s, channels)."""
    options = dict(groups=x.shape[-1], dilation=dilation, activation=activation, name=f"{name}_depthwise")
    x = conv(x, x.shape[-1], kernel, stride, **options)
    return conv(x, channels, activation=activation, name=f"{name}_project")


def inverted_residual(x, expansion, channels, kernel, *, squeeze, stride, dilation, activation, conv, name):
    """V2, Table 1 and V3, Fig. 4: expand, depthwise, squeeze-excite, linear projection; shortcut around all of them.

    (B, H, W, C) -> (B, H/s, W/s, channels).
    """
    expanded = make_divisible(x.shape[-1] * expansion)
    y = x
    if expansion != 1:
        y = conv(y, expanded, activation=activation, name=f"{name}_expand")  # (B, H, W, E)
    options = dict(groups=expanded, dilation=dilation, activation=activation, name=f"{name}_depthwise")
    y = conv(y, expanded, kernel, stride, **options)
    if squeeze:
        y = squeeze_excite(y, make_divisible(expanded / 4), name=f"{name}_squeeze")
    y = conv(y, channels, name=f"{name}_project")  # (B, H/s, W/s, channels)
    return layers.Add(name=f"{name}_add")([x, y]) if stride == 1 and channels == x.shape[-1] else y
