"""EfficientNet: one small network whose width, depth and image size are scaled up in fixed proportions.

Papers: Tan & Le 2019, arXiv:1905.11946, Table 1 (B0) and eq. 3; V2 Tan & Le 2021, arXiv:2104.00298, Table 4 and Fig. 2.
Stochastic depth: Huang et al. 2016, arXiv:1603.09382.
Shapes: B batch, H W height and width of the feature map, C channels, s stride, E expanded channels.
"""

import functools
import math
from dataclasses import replace

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.conv_norm import conv_norm, make_divisible, remove_strides
from tfdl.layers.drop_path import DropPath
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.layers.squeeze_excite import squeeze_excite
from tfdl.ops.activations import swish


@config
class EfficientNetConfig:
    """One network; `stages` is the paper's table, with a row (block, expansion, kernel, s, C, blocks) for each stage.

    s is the stride of the stage's first block, C the channels at width 1, `blocks` the number of blocks at depth 1.
    """

    stages: tuple[tuple, ...]
    stem: int = 32  # channels of the first convolution, 3x3 with stride 2
    features: int = 1280  # channels before the pooling
    width: float = 1.0  # factor on all numbers of channels, which are rounded to multiples of 8
    depth: float = 1.0  # factor on the number of blocks of each stage, which is rounded up
    dropout: float = 0.2
    drop_path: float = 0.2  # rate of stochastic depth; grows linearly from 0 at the first block
    epsilon: float = 1e-5  # of batch normalization; torchvision's
    momentum: float = 0.9
    padding: str = "both"  # of convolutions with stride 2, see `conv_norm`
    strides_removed: int = 0  # this many of the first strides of 2 become 1, for images much smaller than 224

    def __post_init__(self):
        for block in {row[0] for row in self.stages} - {"mbconv", "fused"}:
            raise ValueError(f"efficientnet has no block {block!r}; it has mbconv and fused.")
        self.strides()  # raises ValueError if `strides_removed` is out of range
        if self.width <= 0 or self.depth <= 0:
            raise ValueError(f"width and depth must be positive, not {self.width} and {self.depth}; B0 has 1 and 1.")

    def strides(self):
        """Strides of the stem and of each stage, after `strides_removed`."""
        return remove_strides([2, *(row[3] for row in self.stages)], self.strides_removed)


B0 = (  # V1, Table 1, stages 2 to 8
    ("mbconv", 1, 3, 1, 16, 1),
    ("mbconv", 6, 3, 2, 24, 2),
    ("mbconv", 6, 5, 2, 40, 2),
    ("mbconv", 6, 3, 2, 80, 3),
    ("mbconv", 6, 5, 1, 112, 3),
    ("mbconv", 6, 5, 2, 192, 4),
    ("mbconv", 6, 3, 1, 320, 1),
)
V2_S = (  # V2, Table 4
    ("fused", 1, 3, 1, 24, 2),
    ("fused", 4, 3, 2, 48, 4),
    ("fused", 4, 3, 2, 64, 4),
    ("mbconv", 4, 3, 2, 128, 6),
    ("mbconv", 6, 3, 1, 160, 9),
    ("mbconv", 6, 3, 2, 256, 15),
)
TENSORFLOW = dict(epsilon=1e-3, momentum=0.99)  # the authors' values, which torchvision keeps for B5 to B7


def b0(width, depth, dropout, **norm):
    """Eq. 3: depth 1.2^p, width 1.1^p and resolution 1.15^p times B0's; the factors are from the authors' code."""
    return EfficientNetConfig(stages=B0, width=width, depth=depth, dropout=dropout, **norm)


VARIANTS = {
    "nano": EfficientNetConfig(  # ours, for tests: both blocks, with and without shortcut, five strides of 2
        stages=(
            ("fused", 1, 3, 1, 8, 1),
            ("fused", 2, 3, 2, 16, 2),
            ("mbconv", 1, 3, 2, 16, 1),
            ("mbconv", 4, 5, 2, 24, 2),
            ("mbconv", 4, 3, 2, 32, 1),
        ),
        stem=8,
        features=64,
    ),
    "b0": b0(1.0, 1.0, 0.2),  # p = 0
    "b1": b0(1.0, 1.1, 0.2),  # p = 0.5
    "b2": b0(1.1, 1.2, 0.3),  # p = 1
    "b3": b0(1.2, 1.4, 0.3),  # p = 2
    "b4": b0(1.4, 1.8, 0.4),  # p = 3
    "b5": b0(1.6, 2.2, 0.4, **TENSORFLOW),  # p = 4
    "b6": b0(1.8, 2.6, 0.5, **TENSORFLOW),  # p = 5
    "b7": b0(2.0, 3.1, 0.5, **TENSORFLOW),  # p = 6
    "v2_s": EfficientNetConfig(stages=V2_S, stem=24, epsilon=1e-3),
}
# The same networks as trained by the authors; keras.applications and timm (as tf_...) publish these weights.
KERAS = dict(epsilon=1e-3, momentum=0.99, padding="same")
VARIANTS |= {
    "b0_keras": replace(VARIANTS["b0"], **KERAS),
    "b1_keras": replace(VARIANTS["b1"], **KERAS),
    "b2_keras": replace(VARIANTS["b2"], **KERAS),
    "b3_keras": replace(VARIANTS["b3"], **KERAS),
    "b4_keras": replace(VARIANTS["b4"], **KERAS),
    "b5_keras": replace(VARIANTS["b5"], **KERAS),
    "b6_keras": replace(VARIANTS["b6"], **KERAS),
    "b7_keras": replace(VARIANTS["b7"], **KERAS),
    "v2_s_keras": replace(VARIANTS["v2_s"], **KERAS),
}
# The same as timm builds them for its own weights: with PyTorch's epsilon in all sizes.
TIMM = dict(epsilon=1e-5, momentum=0.9)
VARIANTS |= {
    "b5_timm": replace(VARIANTS["b5"], **TIMM),
    "b6_timm": replace(VARIANTS["b6"], **TIMM),
    "b7_timm": replace(VARIANTS["b7"], **TIMM),
    "v2_s_timm": replace(VARIANTS["v2_s"], **TIMM),
}
# Ours, for 8 to 64 pixels a side: two strides fewer, and for small data sets a third of the width and half the depth.
VARIANTS["b0_small_images"] = replace(VARIANTS["b0"], width=0.35, depth=0.5, drop_path=0.1, strides_removed=2)
# Images and classes of variants that differ from the builder's defaults, for `tfdl show efficientnet --flops`.
SIDES = dict(b1=240, b2=260, b3=300, b4=380, b5=456, b6=528, b7=600, v2_s=384)  # pixels; the authors' code
CANONICAL = {
    **{name: dict(image_shape=(side, side, 3)) for name, side in SIDES.items()},
    **{f"{name}_keras": dict(image_shape=(side, side, 3)) for name, side in SIDES.items()},
    **{f"{name}_timm": dict(image_shape=(SIDES[name],) * 2 + (3,)) for name in ("b5", "b6", "b7", "v2_s")},
    "b0_small_images": dict(image_shape=(32, 32, 3), num_classes=10),
}


def efficientnet(
    variant="b0", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="efficientnet"
):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last feature map at each stride.

    `variant` is a row of VARIANTS or an EfficientNetConfig, as in `replace(VARIANTS["b0"], drop_path=0.0)`.  H and W
    may be None.  `normalize`: see `normalize_pixels`.  The feature maps are returned as {"stride2": (B, H/2, W/2, C),
    ... "stride32": ...}, sizes rounded up.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="efficientnet")
    check_num_classes(num_classes)
    strides = c.strides()
    conv = functools.partial(conv_norm, epsilon=c.epsilon, momentum=c.momentum, padding=c.padding)

    images = image_input(image_shape)
    x = normalize_pixels(images, normalize)
    x = conv(x, make_divisible(c.stem * c.width), 3, strides[0], activation=swish, name="stem")  # (B, H/2, W/2, C)
    maps = {strides[0]: x}  # stride from the image -> last feature map there
    depths = [math.ceil(row[-1] * c.depth) for row in c.stages]
    for i, (kind, expansion, kernel, _, channels, _) in enumerate(c.stages):
        block = fused_mbconv if kind == "fused" else mbconv
        for j in range(depths[i]):
            x = block(
                x,
                make_divisible(channels * c.width),
                kernel,
                expansion=expansion,
                stride=strides[i + 1] if j == 0 else 1,
                rate=c.drop_path * (sum(depths[:i]) + j) / sum(depths),  # Huang et al., eq. 4, counted from 0
                conv=conv,
                name=f"stage{i + 1}_block{j}",
            )
        maps[math.prod(strides[: i + 2])] = x  # (B, H/s, W/s, C)
    x = conv(x, make_divisible(c.features * c.width), activation=swish, name="head")
    maps[math.prod(strides)] = x
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in maps.items()}, name=name)

    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, C)
    x = layers.Dropout(c.dropout, name="dropout")(x)
    small = keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform")  # torchvision's: within num_classes**-0.5
    x = layers.Dense(num_classes, kernel_initializer=small, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def mbconv(x, channels, kernel, *, expansion, stride, rate, conv, name):
    """MBConv, V2 Fig. 2 left: expand, depthwise, squeeze-excite, project.  (B, H, W, C) -> (B, H/s, W/s, channels)."""
    expanded = make_divisible(x.shape[-1] * expansion)
    y = x
    if expanded != x.shape[-1]:
        y = conv(y, expanded, activation=swish, name=f"{name}_expand")  # (B, H, W, E)
    y = conv(y, expanded, kernel, stride, groups=expanded, activation=swish, name=f"{name}_depthwise")
    squeezed = max(1, x.shape[-1] // 4)  # a quarter of C, not of E
    y = squeeze_excite(y, squeezed, activation=swish, gate=ops.sigmoid, name=f"{name}_squeeze")
    y = conv(y, channels, name=f"{name}_project")  # (B, H/s, W/s, channels)
    return shortcut(x, y, stride, rate, name)


def fused_mbconv(x, channels, kernel, *, expansion, stride, rate, conv, name):
    """Fused-MBConv, V2 Fig. 2 right: one full convolution replaces the expansion and the depthwise convolution.

    This is faster where C is small.  Without expansion the convolution is the whole block.
    (B, H, W, C) -> (B, H/s, W/s, channels).
    """
    expanded = make_divisible(x.shape[-1] * expansion)
    if expanded == x.shape[-1]:
        y = conv(x, channels, kernel, stride, activation=swish, name=f"{name}_fused")
    else:
        y = conv(x, expanded, kernel, stride, activation=swish, name=f"{name}_fused")  # (B, H/s, W/s, E)
        y = conv(y, channels, name=f"{name}_project")  # (B, H/s, W/s, channels)
    return shortcut(x, y, stride, rate, name)


def shortcut(x, y, stride, rate, name):
    """x + y where the shapes agree, otherwise y; training skips y at random (stochastic depth)."""
    if stride > 1 or x.shape[-1] != y.shape[-1]:
        return y
    if rate:
        y = DropPath(rate, name=f"{name}_drop")(y)
    return layers.Add(name=f"{name}_add")([x, y])
