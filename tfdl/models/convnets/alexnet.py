"""AlexNet: five convolutions and three dense layers, split over two GPUs; winner of the ImageNet challenge of 2012.

Papers: Krizhevsky et al. 2012, NIPS, Fig. 2 and section 3 (two towers); one tower: Krizhevsky 2014, arXiv:1404.5997,
as in torchvision.
Shapes: B batch, H W height and width of the feature map, C channels, G side of the map that the dense layers read.
"""

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.ops.local_response import local_response_normalization
from tfdl.ops.pooling import adaptive_average_pool

KERNELS = (5, 3, 3, 3)  # of the second to the fifth convolution
POOLED = (1, 2, 5)  # convolutions followed by max pooling over 3x3 pixels with stride 2
TOWER_CONVOLUTIONS = (2, 4, 5)  # convolutions that read only their own tower


@config
class AlexNetConfig:
    """One network.  With two towers each GPU holds half of the channels; only the third convolution and the dense
    layers read both halves.
    """

    channels: tuple[int, int, int, int, int]  # of the five convolutions
    towers: int = 1
    response_norm: bool = False  # section 3.3, after the first two convolutions
    stem_kernel: int = 11  # of the first convolution
    stem_stride: int = 4
    grid: int = 6  # G: larger and smaller maps are averaged to G x G; images of 224 pixels give 6
    features: tuple[int, ...] = (4096, 4096)  # units of the dense layers before the logits
    dropout: float = 0.5  # before each of them, section 4.2

    def __post_init__(self):
        if len(self.channels) != 5 or any(channels % self.towers for channels in self.channels):
            raise ValueError(
                f"alexnet needs five numbers of channels, each a multiple of {self.towers} towers, not {self.channels}."
            )


VARIANTS = {
    "nano": AlexNetConfig(  # ours, for tests: both towers, response normalization
        channels=(8, 16, 12, 16, 8),
        towers=2,
        response_norm=True,
        stem_kernel=5,
        stem_stride=2,
        grid=2,
        features=(24, 20),
        dropout=0.1,
    ),
    "one_tower": AlexNetConfig(channels=(64, 192, 384, 256, 256)),
    "two_tower": AlexNetConfig(channels=(96, 256, 384, 384, 256), towers=2, response_norm=True),
    "small_images": AlexNetConfig(  # ours, for 16 to 64 pixels a side
        channels=(32, 64, 96, 64, 64), stem_kernel=5, stem_stride=1, grid=3, features=(256, 128)
    ),
}
# Images and classes of variants that differ from the builder's defaults, for `tfdl show alexnet --flops`.
CANONICAL = {"small_images": dict(image_shape=(32, 32, 3), num_classes=10)}


def alexnet(variant="one_tower", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="alexnet"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last feature map at each stride.

    `variant` is a row of VARIANTS or an AlexNetConfig.  `normalize`: see `normalize_pixels`.  For image sizes other
    than 224 the last map is averaged to G x G, as in torchvision.  The feature maps are returned as
    {"stride4": (B, 55, 55, C), "stride8": (B, 27, 27, C), "stride16": (B, 13, 13, C), "stride32": (B, 6, 6, C)}:
    smaller than H / stride, because the first convolution and the poolings use no padding at the edges.

    Raises:
        ValueError: unknown variant, an argument out of range, images too small for the strides, or, with classes, an
            image_shape that is not fixed.
    """
    c = choose_variant(variant, VARIANTS, model="alexnet")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    smallest = smallest_side(c)
    if min(side or smallest for side in image_shape[:2]) < smallest:
        raise ValueError(f"This alexnet needs images of at least {smallest} pixels a side, not {image_shape}.")
    if num_classes is not None and None in image_shape:
        raise ValueError(f"alexnet needs a fixed image_shape for its dense layers, not {image_shape}.")

    x = normalize_pixels(images, normalize)
    maps, stride = {}, c.stem_stride  # stride from the image -> last feature map there
    x = layers.ZeroPadding2D(2, name="conv1_pad")(x)  # 224 pixels give the 55 of Fig. 2, as 227 would without it
    for i, (channels, kernel) in enumerate(zip(c.channels, (c.stem_kernel, *KERNELS)), start=1):
        step, padding = (c.stem_stride, "valid") if i == 1 else (1, "same")
        towers = c.towers if i in TOWER_CONVOLUTIONS else 1
        maps[stride] = x = ops.relu(convolution(x, channels, kernel, step, padding, towers, name=f"conv{i}"))
        if c.response_norm and i <= 2:
            x = local_response_normalization(x)
        if i in POOLED:
            x = layers.MaxPooling2D(3, 2, name=f"pool{i}")(x)  # (B, H/s, W/s, C)
            stride *= 2
    maps[stride] = x
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in maps.items()}, name=name)

    x = adaptive_average_pool(x, (c.grid, c.grid))
    x = layers.Flatten(name="flatten")(x)  # (B, G G C)
    for i, units in enumerate(c.features):
        x = layers.Dropout(c.dropout, name=f"dropout{i + 1}")(x)
        x = layers.Dense(units, "relu", kernel_initializer="he_normal", name=f"fc{i + 1}")(x)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def convolution(x, channels, kernel, stride, padding, towers, *, name):
    """A convolution of all channels, or of each tower separately.  (B, H, W, C) -> (B, H/s, W/s, channels)."""
    options = dict(strides=stride, padding=padding, kernel_initializer="he_normal")
    if towers == 1:
        return layers.Conv2D(channels, kernel, **options, name=name)(x)
    # Conv2D's `groups` computes the same, but Keras compiles it with XLA on a CPU, where its gradient is slow.
    parts = enumerate(ops.split(x, towers, axis=-1), start=1)
    parts = [layers.Conv2D(channels // towers, kernel, **options, name=f"{name}_tower{i}")(part) for i, part in parts]
    return layers.Concatenate(name=f"{name}_join")(parts)


def smallest_side(c):
    """The smallest image side in pixels that leaves one pixel after the last pooling."""
    side = 1
    for _ in POOLED:
        side = 2 * (side - 1) + 3  # the input of a pooling over 3 pixels with stride 2
    return c.stem_stride * (side - 1) + c.stem_kernel - 4  # less two pixels of padding on both sides
