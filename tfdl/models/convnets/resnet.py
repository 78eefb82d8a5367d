"""ResNet: each block learns a residual to add to its input, so that a hundred layers train as easily as twenty.

Paper: He et al. 2015, arXiv:1512.03385, Table 1 and Fig. 5 (ImageNet), section 4.2 (CIFAR-10).
Shapes: B batch, H W height and width of the feature map, C channels, s stride.
"""

import functools

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.pixels import image_input, normalize_pixels


@config
class ResNetConfig:
    """One network: a stem, then stages of residual blocks; each later stage halves the map and doubles the channels."""

    blocks: tuple[int, ...]  # in each stage
    channels: int = 64  # of the stem and of the first stage's 3x3 convolutions
    bottleneck: bool = False  # True: F is 1x1, 3x3, 1x1 to four times the channels (Fig. 5 right); False: two 3x3
    large_images: bool = True  # True: the stem is 7x7 with stride 2 and a pooling (Table 1); False: 3x3 (section 4.2)
    projection: bool = True  # shortcut where shapes change; True: a 1x1 convolution (option B); False: no weights (A)
    zeros: str = "both"  # where option A adds channels of zeros: "both" sides, as most published weights, or "after"
    stride_first: bool = False  # where a bottleneck's stride is; True: first 1x1 (paper); False: 3x3 (torchvision)
    dilated: int = 0  # last stages that keep the map's size, with kernels as wide as if they halved it (DeepLab)
    bias: bool = False  # of convolutions; without effect before a normalization, but keras.applications has it
    epsilon: float = 1e-5  # of batch normalization; torchvision's
    momentum: float = 0.9

    def __post_init__(self):
        if min(self.blocks, default=0) < 1 or self.channels < 1:
            raise ValueError(
                "resnet needs at least one block in each stage and one channel;"
                f" blocks is {self.blocks} and channels {self.channels}."
            )
        if not 0 <= self.dilated < len(self.blocks):
            raise ValueError(f"dilated must be from 0 to {len(self.blocks) - 1}, not {self.dilated}.")
        if self.zeros not in ("after", "both"):
            raise ValueError(f'zeros must be "after" or "both", not {self.zeros!r}.')


CIFAR = dict(channels=16, large_images=False)
KERAS = dict(bottleneck=True, stride_first=True, bias=True, epsilon=1.001e-5, momentum=0.99)  # keras.applications

VARIANTS = {
    "nano": ResNetConfig(blocks=(2, 1, 1, 1), channels=4, bottleneck=True),  # ours, for tests
    "18": ResNetConfig(blocks=(2, 2, 2, 2)),
    "34": ResNetConfig(blocks=(3, 4, 6, 3)),
    "50": ResNetConfig(blocks=(3, 4, 6, 3), bottleneck=True),
    "101": ResNetConfig(blocks=(3, 4, 23, 3), bottleneck=True),
    "152": ResNetConfig(blocks=(3, 8, 36, 3), bottleneck=True),
    "50_keras": ResNetConfig(blocks=(3, 4, 6, 3), **KERAS),
    "101_keras": ResNetConfig(blocks=(3, 4, 23, 3), **KERAS),
    "152_keras": ResNetConfig(blocks=(3, 8, 36, 3), **KERAS),
    # Ours, the backbones of small detectors and segmenters, with half and a quarter of the channels; _small for
    # small images.
    "10_half": ResNetConfig(blocks=(1, 1, 1, 1), channels=32),
    "18_half": ResNetConfig(blocks=(2, 2, 2, 2), channels=32),
    "18_quarter": ResNetConfig(blocks=(2, 2, 2, 2), channels=16),
    "18_quarter_small": ResNetConfig(blocks=(2, 2, 2, 2), channels=16, large_images=False),
    # 6n + 2 layers for images of 32 pixels a side; those with _a use option A, the others projections.
    "cifar20": ResNetConfig(blocks=(3, 3, 3), **CIFAR),
    "cifar56": ResNetConfig(blocks=(9, 9, 9), **CIFAR),
    "cifar110": ResNetConfig(blocks=(18, 18, 18), **CIFAR),
    "cifar20_a": ResNetConfig(blocks=(3, 3, 3), projection=False, **CIFAR),
    "cifar56_a": ResNetConfig(blocks=(9, 9, 9), projection=False, **CIFAR),
    "cifar110_a": ResNetConfig(blocks=(18, 18, 18), projection=False, **CIFAR),
}
# Images and classes of variants that differ from the builder's defaults, for `tfdl show resnet --flops`.
CANONICAL = {name: dict(image_shape=(32, 32, 3), num_classes=10) for name in VARIANTS if name.startswith("cifar")}


def resnet(variant="50", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="resnet"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last feature map at each stride.

    `variant` is a row of VARIANTS or a ResNetConfig.  H and W may be None.  `normalize`: see `normalize_pixels`.  The
    feature maps are returned as {"stride2": (B, H/2, W/2, C), ... "stride32": ...}, sizes rounded up; those of the
    CIFAR networks are stride1, stride2 and stride4.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="resnet")
    check_num_classes(num_classes)
    conv = functools.partial(conv_norm, bias=c.bias, epsilon=c.epsilon, momentum=c.momentum)

    images = image_input(image_shape)
    x = normalize_pixels(images, normalize)
    maps = {}  # stride from the image -> last feature map there
    if c.large_images:
        maps[2] = x = conv(x, c.channels, 7, 2, activation=ops.relu, name="stem")  # (B, H/2, W/2, C)
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # zero padding is safe here: x >= 0 after ReLU
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    else:
        x = conv(x, c.channels, 3, activation=ops.relu, name="stem")  # (B, H, W, C)
    stride, dilation = 4 if c.large_images else 1, 1
    for i, blocks in enumerate(c.blocks):
        is_dilated = i >= len(c.blocks) - c.dilated
        for j in range(blocks):
            step = 2 if i > 0 and j == 0 and not is_dilated else 1
            stride *= step
            options = dict(c=c, conv=conv, dilation=dilation, name=f"stage{i + 1}_block{j}")
            x = residual_block(x, c.channels * 2**i, step, **options)
            if is_dilated and j == 0:
                dilation *= 2  # from the second block on, as torchvision has it
        maps[stride] = x  # (B, H/s, W/s, C)
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in maps.items()}, name=name)

    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, C)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def residual_block(x, channels, stride, *, c, conv, dilation=1, name):
    """relu(F(x) + x), eq. 1, or relu(F(x) + shortcut(x)), eq. 2, where F changes the shape.

    (B, H, W, C) -> (B, H/s, W/s, channels), or four times the channels for a bottleneck.
    """
    if c.bottleneck:
        first, second = (stride, 1) if c.stride_first else (1, stride)
        y = conv(x, channels, 1, first, activation=ops.relu, name=f"{name}_conv1")
        y = conv(y, channels, 3, second, dilation=dilation, activation=ops.relu, name=f"{name}_conv2")
        y = conv(y, 4 * channels, name=f"{name}_conv3")
    else:
        y = conv(x, channels, 3, stride, dilation=dilation, activation=ops.relu, name=f"{name}_conv1")
        y = conv(y, channels, 3, dilation=dilation, name=f"{name}_conv2")
    if stride > 1 or x.shape[-1] != y.shape[-1]:
        shortcut = conv if c.projection else functools.partial(pad_channels, zeros=c.zeros)
        x = shortcut(x, y.shape[-1], stride=stride, name=f"{name}_shortcut")
    return ops.relu(layers.Add(name=f"{name}_add")([y, x]))


def pad_channels(x, channels, *, stride, zeros, name):
    """Option A: every stride-th pixel, padded with channels of zeros.  (B, H, W, C) -> (B, H/s, W/s, channels)."""
    x = layers.MaxPooling2D(1, stride, name=f"{name}_subsample")(x)
    new = channels - x.shape[-1]
    before = new // 2 if zeros == "both" else 0
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (before, new - before)))
