"""DenseNet: each layer reads the concatenated maps of all layers before it in its block and appends a few of its own.

Paper: Huang et al. 2016, arXiv:1608.06993, section 3, Table 1 (ImageNet) and Table 2 (CIFAR).
Shapes: B batch, H W height and width of the feature map, C channels, k growth rate.
"""

import math

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.conv_norm import conv_norm, remove_strides
from tfdl.layers.pixels import image_input, normalize_pixels

BOTTLENECK = 4  # "B": a 1x1 convolution to 4k channels comes before each 3x3
COMPRESSION = 2  # "C": a transition keeps one channel of two, theta = 0.5


@config
class DenseNetConfig:
    """One network: blocks of dense layers, and between two blocks a transition that halves channels, H and W."""

    depths: tuple[int, ...]  # dense layers of each block
    growth: int  # k: channels that a dense layer adds
    stem: int  # channels of the first convolution, 2k in the paper
    small_stem: bool = False  # CIFAR's: one 3x3 convolution instead of a 7x7 and a pooling, both with stride 2
    dropout: float = 0.0  # after each 3x3 convolution; the paper uses 0.2 where images are not augmented
    epsilon: float = 1e-5  # of batch normalization; torchvision's
    momentum: float = 0.9
    strides_removed: int = 0  # this many of the first strides of 2 become 1, for images much smaller than 224

    def __post_init__(self):
        self.strides()  # raises ValueError if `strides_removed` is out of range

    def strides(self):
        """Strides of the first convolution, the pooling and each transition, after `strides_removed`."""
        stem = (1, 1) if self.small_stem else (2, 2)
        return remove_strides([*stem, *[2] * (len(self.depths) - 1)], self.strides_removed)


VARIANTS = {
    "nano": DenseNetConfig(depths=(1, 2, 2, 1), growth=8, stem=16),  # ours, for tests
    "121": DenseNetConfig(depths=(6, 12, 24, 16), growth=32, stem=64),
    "161": DenseNetConfig(depths=(6, 12, 36, 24), growth=48, stem=96),
    "169": DenseNetConfig(depths=(6, 12, 32, 32), growth=32, stem=64),
    "201": DenseNetConfig(depths=(6, 12, 48, 32), growth=32, stem=64),
    "bc100": DenseNetConfig(depths=(16, 16, 16), growth=12, stem=24, small_stem=True),  # 100 layers, for 32 pixels
    # Ours, for 8 to 64 pixels a side: blocks at 1/2, 1/4 and 1/8 of the resolution.
    "small_images": DenseNetConfig(depths=(4, 4, 4), growth=12, stem=24, strides_removed=1),
}
# Images and classes of variants that differ from the builder's defaults, for `tfdl show densenet --flops`.
CANONICAL = dict.fromkeys(("bc100", "small_images"), dict(image_shape=(32, 32, 3), num_classes=10))


def densenet(variant="121", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="densenet"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last feature map at each stride.

    `variant` is a row of VARIANTS or a DenseNetConfig, as in `replace(VARIANTS["121"], growth=12)`.  H and W may be
    None.  `normalize`: see `normalize_pixels`.  The feature maps are returned as {"stride2": (B, H/2, W/2, C), ...
    "stride32": ...}; sizes are rounded up by the stem and down by the transitions.

    Raises:
        ValueError: unknown variant, an argument out of range, or images that are too small for the strides.
    """
    c = choose_variant(variant, VARIANTS, model="densenet")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    strides = c.strides()
    check_size(image_shape, strides)
    norm = dict(epsilon=c.epsilon, momentum=c.momentum)

    x = normalize_pixels(images, normalize)
    if c.small_stem:
        x = conv(x, c.stem, 3, name="stem")  # (B, H, W, C)
    else:
        x = conv_norm(x, c.stem, 7, strides[0], activation=ops.relu, **norm, name="stem")  # (B, H/2, W/2, C)
    maps = {strides[0]: x}  # stride from the image -> last feature map there
    if strides[1] == 2:
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # zero padding is safe here: x >= 0 after ReLU
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)  # (B, H/4, W/4, C)
    for i, depth in enumerate(c.depths, start=1):
        if i > 1:
            x = transition(x, strides[i], norm, name=f"transition{i - 1}")
        for j in range(1, depth + 1):
            x = dense_layer(x, c.growth, c.dropout, norm, name=f"block{i}_layer{j}")
        maps[math.prod(strides[: i + 1])] = x  # (B, H/s, W/s, C)
    x = ops.relu(layers.BatchNormalization(**norm, name="norm")(x))
    maps[math.prod(strides)] = x
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in maps.items()}, name=name)

    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, C)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def check_size(image_shape, strides):
    """Raises ValueError if a transition would have fewer than 2x2 pixels to average."""
    least = math.prod(strides[:2]) * (math.prod(strides[2:]) - 1) + 1  # the stem rounds up, transitions round down
    if any(side is not None and side < least for side in image_shape[:2]):
        raise ValueError(
            f"This densenet needs images of at least {least} x {least} pixels, not {image_shape[0]} x {image_shape[1]};"
            " enlarge them, or remove strides: dataclasses.replace(VARIANTS[...], strides_removed=2)."
        )


def dense_layer(x, growth, dropout, norm, name):
    """x and k new maps computed from all of x, H([x0, x1, ...]) in eq. 2.  (B, H, W, C) -> (B, H, W, C + k)."""
    y = norm_relu_conv(x, BOTTLENECK * growth, 1, norm, name=f"{name}_reduce")  # (B, H, W, 4k)
    y = norm_relu_conv(y, growth, 3, norm, name=f"{name}_grow")  # (B, H, W, k)
    if dropout:
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def transition(x, stride, norm, name):
    """Half the channels, then half the size by averaging 2x2 pixels.  (B, H, W, C) -> (B, H/2, W/2, C/2)."""
    x = norm_relu_conv(x, x.shape[-1] // COMPRESSION, 1, norm, name=name)
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x) if stride == 2 else x


def norm_relu_conv(x, channels, kernel, norm, name):
    """Normalization, ReLU, convolution: in this order each layer normalizes its input maps by itself (section 3)."""
    x = ops.relu(layers.BatchNormalization(**norm, name=f"{name}_norm")(x))
    return conv(x, channels, kernel, name=name)


def conv(x, channels, kernel, name):
    """A convolution without bias, with the initialization of He et al. (section 4.2)."""
    options = dict(padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")
    return layers.Conv2D(channels, kernel, **options)(x)
