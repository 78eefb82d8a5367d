"""DeepLabV3+: kernels with gaps see objects of several sizes at once, and a small decoder sharpens their borders.

Paper: Chen et al. 2018, arXiv:1802.02611, Fig. 2 and section 3; the pyramid of atrous convolutions is that of V3, Chen
et al. 2017, arXiv:1706.05587, section 3.3.  The backbone's last stage is dilated, so that its map has a stride of 16.
The map that sharpens has a fourth of that stride.
With MobileNetV2: Sandler et al. 2018, arXiv:1801.04381, section 6.3.
Shapes: B batch, H W height and width, C channels or classes.
"""

from dataclasses import replace

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.pixels import image_input
from tfdl.models.backbones import backbone_of
from tfdl.models.convnets.mobilenet import VARIANTS as MOBILENETS
from tfdl.models.convnets.resnet import VARIANTS as RESNETS


@config
class DeepLabConfig:
    """One network."""

    backbone: object  # a configuration of any family in `tfdl.models.backbones`
    stride: int = 16  # of the backbone's last map, which the pyramid reads: "output stride"
    rates: tuple[int, ...] = (6, 12, 18)  # of the atrous convolutions, for a stride of 16
    channels: int = 256
    low_channels: int = 48  # of the finer map, few so that it does not outweigh the others (Table 1)
    dropout: float = 0.1

    def __post_init__(self):
        if not self.rates or min(self.rates) < 2 or self.channels < 1:
            raise ValueError(f"deeplab needs rates above 1 and channels; it has {self.rates} and {self.channels}.")
        if self.stride < 4 or self.stride & (self.stride - 1):
            raise ValueError(f"deeplab needs a stride that is a power of two from 4 on, not {self.stride}.")


def dilated_resnet(variant):
    return replace(RESNETS[variant], dilated=1)


VARIANTS = {
    "nano": DeepLabConfig(backbone=dilated_resnet("nano"), rates=(2, 3), channels=8, low_channels=4),  # for tests
    # Ours, for pictures of about 100 pixels a side: every map has half of the usual stride, and is narrow.
    "small_images": DeepLabConfig(
        backbone=RESNETS["18_quarter_small"],
        stride=8,
        rates=(2, 4),
        channels=64,
        low_channels=24,
    ),
    # Ours for phones: MobileNetV2 without its last 1x1 convolution, and a narrow pyramid and decoder.
    "v3plus_mobilenet_v2": DeepLabConfig(
        backbone=replace(MOBILENETS["v2"], features=None, dilated=1), channels=96, low_channels=24
    ),
    "v3plus_resnet18": DeepLabConfig(backbone=dilated_resnet("18")),
    "v3plus_resnet50": DeepLabConfig(backbone=dilated_resnet("50")),
    "v3plus_resnet101": DeepLabConfig(backbone=dilated_resnet("101")),
}
CANONICAL = {"small_images": dict(image_shape=(96, 96, 3), num_classes=5)}


def deeplab(
    variant="v3plus_resnet50", *, image_shape=(512, 512, 3), num_classes=21, normalize="imagenet", name="deeplab"
):
    """Images (B, H, W, C) in [0, 1] -> logits (B, H, W, num_classes), or with None the maps of the backbone.

    `variant` is a row of VARIANTS or a DeepLabConfig.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant, or a side that is not a multiple of the variant's stride (16, or 8).
    """
    c = choose_variant(variant, VARIANTS, model="deeplab")
    check_num_classes(num_classes)
    image_input(image_shape)  # checks it
    if any(side is None or side % c.stride for side in image_shape[:2]):
        raise ValueError(f"image_shape is {tuple(image_shape)}; deeplab needs sides that are multiples of {c.stride}.")
    backbone = backbone_of(c.backbone, image_shape=image_shape, normalize=normalize)
    images, maps = backbone.inputs[0], backbone.output
    last, finer = f"stride{c.stride}", f"stride{c.stride // 4}"
    if list(maps)[-1] != last:
        raise ValueError(
            f"This backbone ends with {list(maps)[-1]}; deeplab needs one that is dilated to stride {c.stride}."
        )
    if num_classes is None:
        return keras.Model(images, maps, name=name)

    def conv(x, channels, kernel=1, *, name, **options):
        return conv_norm(x, channels, kernel, activation=ops.relu, name=name, **options)

    x = atrous_pyramid(maps[last], c, conv)  # (B, H/16, W/16, 256)
    x = layers.UpSampling2D(4, interpolation="bilinear", name="enlarge")(x)
    low = conv(maps[finer], c.low_channels, name="low")  # (B, H/4, W/4, 48)
    x = layers.Concatenate(name="join")([x, low])
    x = conv(x, c.channels, 3, name="refine1")
    x = conv(x, c.channels, 3, name="refine2")
    x = layers.Conv2D(num_classes, 1, dtype="float32", name="scores")(x)
    x = layers.UpSampling2D(c.stride // 4, interpolation="bilinear", dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def atrous_pyramid(x, c, conv):
    """A 1x1 convolution, atrous ones of several rates, and the mean of the image, joined (section 3.3 of V3)."""
    height, width = x.shape[1:3]
    parts = [conv(x, c.channels, name="pyramid1")]
    parts += [conv(x, c.channels, 3, dilation=rate, name=f"pyramid{rate}") for rate in c.rates]
    whole = layers.GlobalAveragePooling2D(keepdims=True, name="whole_mean")(x)  # (B, 1, 1, C)
    whole = conv(whole, c.channels, name="whole")
    parts.append(layers.UpSampling2D((height, width), name="whole_everywhere")(whole))
    x = conv(layers.Concatenate(name="pyramid")(parts), c.channels, name="pyramid_out")
    return layers.Dropout(c.dropout, name="pyramid_drop")(x)
