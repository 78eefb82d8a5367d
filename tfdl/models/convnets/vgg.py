"""VGG: 3x3 convolutions only.  Two have the receptive field of one 5x5, with one more nonlinearity and fewer weights.

Paper: Simonyan & Zisserman 2014, arXiv:1409.1556, Table 1; with batch normalization (arXiv:1502.03167) as in
torchvision.
Shapes: B batch, H W height and width of the feature map, C channels, G side of the map that the dense layers read.
"""

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.ops.pooling import adaptive_average_pool


@config
class VGGConfig:
    """One column of Table 1: blocks of 3x3 convolutions, each block followed by a pooling that halves the map."""

    convolutions: tuple[int, ...]  # in each block
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)  # of each block
    norm: bool = False  # batch normalization after each convolution, which keeps its bias
    grid: int = 7  # G: larger and smaller maps are averaged to G x G; images of 224 pixels give 7
    features: tuple[int, ...] = (4096, 4096)  # units of the dense layers before the logits
    dropout: float = 0.5  # after each of them, section 3.1

    def __post_init__(self):
        if len(self.convolutions) != len(self.channels) or min(self.convolutions, default=0) < 1:
            raise ValueError(
                "vgg needs at least one convolution and a number of channels for each block;"
                f" convolutions is {self.convolutions} and channels {self.channels}."
            )


A, B, D, E = (1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)  # columns of Table 1

VARIANTS = {
    "nano": VGGConfig(  # ours, for tests
        convolutions=(1, 1, 1, 1, 2), channels=(4, 8, 8, 12, 16), norm=True, grid=2, features=(24, 20), dropout=0.1
    ),
    "11": VGGConfig(convolutions=A),
    "13": VGGConfig(convolutions=B),
    "16": VGGConfig(convolutions=D),
    "19": VGGConfig(convolutions=E),
    "11_bn": VGGConfig(convolutions=A, norm=True),
    "13_bn": VGGConfig(convolutions=B, norm=True),
    "16_bn": VGGConfig(convolutions=D, norm=True),
    "19_bn": VGGConfig(convolutions=E, norm=True),
    # Ours, for 8 to 64 pixels a side: three blocks, a quarter of the channels.
    "small_images": VGGConfig(
        convolutions=(2, 2, 2), channels=(16, 32, 64), norm=True, grid=2, features=(128,), dropout=0.3
    ),
}
# Images and classes of variants that differ from the builder's defaults, for `tfdl show vgg --flops`.
CANONICAL = {"small_images": dict(image_shape=(32, 32, 3), num_classes=10)}


def vgg(variant="16", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="vgg"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last feature map at each stride.

    `variant` is a row of VARIANTS or a VGGConfig.  `normalize`: see `normalize_pixels`.  For image sizes other than
    224 the last map is averaged to G x G, as in torchvision.  The feature maps are returned as {"stride1": (B, H, W,
    C), ... "stride32": ...}, sizes rounded down; the last one is taken after the last pooling.

    Raises:
        ValueError: unknown variant, an argument out of range, images too small for the poolings, or, with classes, an
            image_shape that is not fixed.
    """
    c = choose_variant(variant, VARIANTS, model="vgg")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    smallest = 2 ** len(c.convolutions)
    if min(side or smallest for side in image_shape[:2]) < smallest:
        raise ValueError(f"This vgg needs images of at least {smallest} pixels a side, not {image_shape}.")
    if num_classes is not None and None in image_shape:
        raise ValueError(f"vgg needs a fixed image_shape for its dense layers, not {image_shape}.")

    x = normalize_pixels(images, normalize)
    maps = {}  # stride from the image -> last feature map there
    for i, (convolutions, channels) in enumerate(zip(c.convolutions, c.channels)):
        for j in range(convolutions):
            x = convolution(x, channels, norm=c.norm, name=f"block{i + 1}_conv{j + 1}")
        maps[2**i] = x  # (B, H/s, W/s, C)
        x = layers.MaxPooling2D(2, name=f"block{i + 1}_pool")(x)
    maps[smallest] = x
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in maps.items()}, name=name)

    x = adaptive_average_pool(x, (c.grid, c.grid))
    x = layers.Flatten(name="flatten")(x)  # (B, G G C)
    for i, units in enumerate(c.features):
        x = layers.Dense(units, "relu", kernel_initializer="he_normal", name=f"fc{i + 1}")(x)
        x = layers.Dropout(c.dropout, name=f"dropout{i + 1}")(x)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def convolution(x, channels, *, norm, name):
    """3x3 convolution, optional batch normalization, ReLU.  (B, H, W, C) -> (B, H, W, channels)."""
    # With the initialization of He et al. 2015 deep stacks of ReLU train without the paper's pretraining.
    x = layers.Conv2D(channels, 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv")(x)
    if norm:
        x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_norm")(x)  # PyTorch's
    return ops.relu(x)
