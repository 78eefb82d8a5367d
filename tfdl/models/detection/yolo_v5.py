"""YOLOv5: anchors of nine sizes on three maps, each with a box, a score for any object and scores for classes.

Source: Jocher et al. 2020, software, in the form of its version 6, as described by Terven et al. 2023,
arXiv:2304.00501, section 12 and Fig. 12.  Parts: cross-stage partial networks, Wang et al. 2019, arXiv:1911.11929;
pooled pyramid, He et al. 2014, arXiv:1406.4729; path aggregation, Liu et al. 2018, arXiv:1803.01534.
Shapes: B batch, H W height and width, C channels or classes, A boxes, s stride.
"""

import functools
import math

import keras
import numpy as np
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.anchor_boxes import AnchorBoxes
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.layers.pooled_pyramid import pooled_pyramid
from tfdl.ops.activations import log_odds, swish

STRIDES = (8, 16, 32)
ANCHORS = (  # width and height in pixels of pictures of 640 x 640: the means of clusters of COCO's boxes
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)


@config
class YOLOv5Config:
    """One size: the blocks of the large network, fewer and narrower."""

    depth: float  # blocks in a stage, as a part of the large network's
    width: float  # channels, likewise

    def __post_init__(self):
        if not self.depth > 0 or not self.width > 0:
            raise ValueError(f"depth and width must be positive: {self.depth}, {self.width}.")

    def channels(self, count):
        """`count` of the large network, in this one: a multiple of 8."""
        return math.ceil(count * self.width / 8) * 8

    def blocks(self, count):
        return max(round(count * self.depth), 1)


VARIANTS = {
    "nano": YOLOv5Config(depth=0.1, width=1 / 16),  # ours, for tests
    "n": YOLOv5Config(depth=1 / 3, width=0.25),
    "s": YOLOv5Config(depth=1 / 3, width=0.5),
    "m": YOLOv5Config(depth=2 / 3, width=0.75),
}


def yolo_v5(variant="n", *, image_shape=(640, 640, 3), num_classes=80, normalize=None, anchors=ANCHORS, name="yolo_v5"):
    """Images (B, H, W, C) in [0, 1] -> {"boxes", "scores", "objectness", "classes"}, or with None the neck's maps.

    boxes (B, A, 4) are xyxy in pixels; objectness (B, A, 1) and classes (B, A, num_classes) are logits.  scores are the
    logits of the product of both probabilities, that of an object of the class.
    `variant` is a row of VARIANTS or a YOLOv5Config.  `normalize`: see `normalize_pixels`.  `anchors`: three of (width,
    height) for each map, in pixels; see `tfdl.data.anchors`.

    Raises:
        ValueError: unknown variant, or a side that is not a multiple of 32.
    """
    c = choose_variant(variant, VARIANTS, model="yolo_v5")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    if any(side is None or side % STRIDES[-1] for side in image_shape[:2]):
        raise ValueError(f"image_shape is {tuple(image_shape)}; yolo_v5 needs sides that are multiples of 32.")
    maps = neck(*backbone(normalize_pixels(images, normalize), c), c)
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in zip(STRIDES, maps)}, name=name)

    rows = []
    for stride, x, sizes in zip(STRIDES, maps, anchors):
        x = layers.Conv2D(
            len(sizes) * (5 + num_classes),
            1,
            bias_initializer=FirstBias(num_classes, stride),
            dtype="float32",
            name=f"head{stride}",
        )(x)
        rows.append(layers.Reshape((-1, 5 + num_classes), dtype="float32", name=f"head{stride}_rows")(x))
    x = layers.Concatenate(axis=1, dtype="float32", name="heads")(rows)  # (B, A, 5 + C)
    offsets, objectness, classes = ops.split(x, (4, 5), axis=-1)
    boxes = AnchorBoxes(image_shape, STRIDES, anchors, name="boxes")(offsets)
    outputs = {"boxes": boxes, "scores": both(objectness, classes), "objectness": objectness, "classes": classes}
    return keras.Model(images, outputs, name=name)


@keras.saving.register_keras_serializable(package="tfdl")
class FirstBias(keras.initializers.Initializer):
    """Biases of a head: eight objects in a picture of 640 x 640, and every class as likely as others."""

    def __init__(self, num_classes, stride):
        self.num_classes, self.stride = num_classes, stride

    def __call__(self, shape, dtype=None):
        bias = np.zeros((shape[0] // (5 + self.num_classes), 5 + self.num_classes))
        bias[:, 4] = math.log(8 / (640 / self.stride) ** 2)
        bias[:, 5:] = math.log(0.6 / (self.num_classes - 0.99999))
        return ops.convert_to_tensor(bias.ravel(), dtype)

    def get_config(self):
        return {"num_classes": self.num_classes, "stride": self.stride}


def both(objectness, classes):
    """Logits of the product of two probabilities, given as logits (B, A, 1) and (B, A, C).  -> (B, A, C)"""
    return log_odds(ops.sigmoid(objectness) * ops.sigmoid(classes))


def backbone(x, c):
    """(B, H, W, C) -> maps of stride 8, 16 and 32."""
    x = layers.ZeroPadding2D(2, name="stem_pad")(x)
    x = layers.Conv2D(c.channels(64), 6, 2, use_bias=False, name="stem_conv")(x)  # (B, H/2, W/2, C)
    x = swish(layers.BatchNormalization(epsilon=1e-3, momentum=0.97, name="stem_norm")(x))
    maps = []
    for stage, (channels, blocks) in enumerate(((128, 3), (256, 6), (512, 9), (1024, 3)), start=1):
        x = conv(x, c.channels(channels), 3, 2, name=f"stage{stage}_down")
        x = partial_blocks(x, c.channels(channels), c.blocks(blocks), name=f"stage{stage}")
        maps.append(x)
    return [*maps[1:3], pooled_pyramid(maps[3], conv, name="pyramid")]


def neck(small, middle, large, c):
    """Maps of stride 8, 16, 32 -> three of the same size: down the pyramid, then up again (path aggregation)."""
    blocks = c.blocks(3)

    def joined(x, y, channels, name):
        both = layers.Concatenate(name=f"{name}_join")([x, y])
        return partial_blocks(both, c.channels(channels), blocks, shortcut=False, name=name)

    thin32 = conv(large, c.channels(512), name="top16_thin")
    x16 = joined(layers.UpSampling2D(name="top16_up")(thin32), middle, 512, "top16")
    thin16 = conv(x16, c.channels(256), name="top8_thin")
    x8 = joined(layers.UpSampling2D(name="top8_up")(thin16), small, 256, "top8")
    y16 = joined(conv(x8, c.channels(256), 3, 2, name="bottom16_down"), thin16, 512, "bottom16")
    y32 = joined(conv(y16, c.channels(512), 3, 2, name="bottom32_down"), thin32, 1024, "bottom32")
    return [x8, y16, y32]


# Blocks


conv = functools.partial(conv_norm, activation=swish, epsilon=1e-3, momentum=0.97)


def partial_blocks(x, channels, blocks, *, shortcut=True, name):
    """Cross-stage partial blocks ("C3"): half of the channels go through the blocks, half around them.

    (B, H, W, C) -> (B, H, W, channels)
    """
    half = channels // 2
    y = conv(x, half, name=f"{name}_in")
    for i in range(blocks):
        z = conv(y, half, name=f"{name}_block{i}_conv1")
        z = conv(z, half, 3, name=f"{name}_block{i}_conv2")
        y = layers.Add(name=f"{name}_block{i}_add")([y, z]) if shortcut else z
    around = conv(x, half, name=f"{name}_around")
    return conv(layers.Concatenate(name=f"{name}_parts")([y, around]), channels, name=f"{name}_out")
