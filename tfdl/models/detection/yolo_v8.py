"""YOLOv8: one pass over the picture says for every point of three maps which class is there and where its sides are.

Source: Jocher et al. 2023, software, as described by Terven et al. 2023, arXiv:2304.00501, section 16 and Fig. 17, and
Reis et al. 2023, arXiv:2305.09972, Fig. 1.  Parts: cross-stage partial networks, Wang et al. 2019, arXiv:1911.11929;
pooled pyramid, He et al. 2014, arXiv:1406.4729; path aggregation, Liu et al. 2018, arXiv:1803.01534; heads for class
and box apart, Ge et al. 2021, arXiv:2107.08430; distributions of distances, Li et al. 2020, arXiv:2006.04388.
Shapes: B batch, H W height and width, C channels or classes, N points of all maps, s stride.
"""

import functools
import math

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.box_distribution import BoxDistribution
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.layers.pooled_pyramid import pooled_pyramid
from tfdl.ops.activations import swish

STRIDES = (8, 16, 32)
BINS = 16  # of the distribution of a distance: up to 15 strides, 480 pixels on the last map


@config
class YOLOv8Config:
    """One size: the blocks of the large network, fewer and narrower."""

    depth: float  # blocks in a stage, as a part of the large network's
    width: float  # channels, likewise
    most: int = 1024  # channels before they are multiplied by `width`

    def __post_init__(self):
        if not self.depth > 0 or not self.width > 0 or self.most < 1:
            raise ValueError(f"depth, width and most must be positive: {self.depth}, {self.width}, {self.most}.")

    def channels(self, count):
        """`count` of the large network, in this one."""
        return make_multiple(min(count, self.most) * self.width)

    def blocks(self, count):
        return max(round(count * self.depth), 1)


VARIANTS = {
    "nano": YOLOv8Config(depth=1 / 6, width=1 / 16, most=256),  # ours, for tests
    "n": YOLOv8Config(depth=1 / 3, width=0.25),
    "s": YOLOv8Config(depth=1 / 3, width=0.5),
    "m": YOLOv8Config(depth=2 / 3, width=0.75, most=768),
}


def yolo_v8(variant="n", *, image_shape=(640, 640, 3), num_classes=80, normalize=None, name="yolo_v8"):
    """Images (B, H, W, C) in [0, 1] -> {"boxes", "scores", "distances"}, or with None the three maps of the neck.

    boxes (B, N, 4) are xyxy in pixels, scores (B, N, num_classes) logits, and distances (B, N, 64) the logits from
    which the boxes come; the loss needs them.  N = HW/64 + HW/256 + HW/1024 points, row by row of each map.
    `variant` is a row of VARIANTS or a YOLOv8Config.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant, or a side that is not a multiple of 32.
    """
    c = choose_variant(variant, VARIANTS, model="yolo_v8")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    if any(side is None or side % STRIDES[-1] for side in image_shape[:2]):
        raise ValueError(f"image_shape is {tuple(image_shape)}; yolo_v8 needs sides that are multiples of 32.")
    maps = neck(backbone(normalize_pixels(images, normalize), c), c)
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": x for s, x in zip(STRIDES, maps)}, name=name)

    distances, scores = [], []
    box_channels = max(16, maps[0].shape[-1] // 4, 4 * BINS)
    class_channels = max(maps[0].shape[-1], min(num_classes, 100))
    for stride, x in zip(STRIDES, maps):
        distances.append(head(x, box_channels, 4 * BINS, bias="ones", name=f"box{stride}"))
        rare = keras.initializers.Constant(math.log(5 / num_classes / (640 / stride) ** 2))  # five objects a picture
        scores.append(head(x, class_channels, num_classes, bias=rare, name=f"class{stride}"))
    distances = layers.Concatenate(axis=1, dtype="float32", name="distances")(distances)  # (B, N, 64)
    scores = layers.Concatenate(axis=1, dtype="float32", name="scores")(scores)  # (B, N, num_classes)
    boxes = BoxDistribution(image_shape, STRIDES, BINS, name="boxes")(distances)
    return keras.Model(images, {"boxes": boxes, "scores": scores, "distances": distances}, name=name)


def backbone(x, c):
    """(B, H, W, C) -> maps of stride 8, 16 and 32."""
    x = conv(x, c.channels(64), 3, 2, name="stem")  # (B, H/2, W/2, C)
    maps = []
    for stage, (channels, blocks) in enumerate(((128, 3), (256, 6), (512, 6), (1024, 3)), start=1):
        x = conv(x, c.channels(channels), 3, 2, name=f"stage{stage}_down")
        x = partial_blocks(x, c.channels(channels), c.blocks(blocks), name=f"stage{stage}")
        maps.append(x)
    return [*maps[1:3], pooled_pyramid(maps[3], conv, name="pyramid")]


def neck(maps, c):
    """Three maps of the backbone -> three of the same size: down the pyramid, then up again (path aggregation)."""
    small, middle, large = maps  # of stride 8, 16, 32
    blocks = c.blocks(3)

    def joined(x, y, channels, name):
        both = layers.Concatenate(name=f"{name}_join")([x, y])
        return partial_blocks(both, c.channels(channels), blocks, shortcut=False, name=name)

    x16 = joined(layers.UpSampling2D(name="top16_up")(large), middle, 512, "top16")
    x8 = joined(layers.UpSampling2D(name="top8_up")(x16), small, 256, "top8")
    y16 = joined(conv(x8, c.channels(256), 3, 2, name="bottom16_down"), x16, 512, "bottom16")
    y32 = joined(conv(y16, c.channels(512), 3, 2, name="bottom32_down"), large, 1024, "bottom32")
    return [x8, y16, y32]


# Blocks


conv = functools.partial(conv_norm, activation=swish, epsilon=1e-3, momentum=0.97)


def partial_blocks(x, channels, blocks, *, shortcut=True, name):
    """Cross-stage partial blocks ("C2f"): half of the channels go through the blocks, and what leaves each is kept.

    (B, H, W, C) -> (B, H, W, channels)
    """
    x = conv(x, channels, name=f"{name}_in")
    parts = list(ops.split(x, 2, axis=-1))
    for i in range(blocks):
        y = conv(parts[-1], channels // 2, 3, name=f"{name}_block{i}_conv1")
        y = conv(y, channels // 2, 3, name=f"{name}_block{i}_conv2")
        parts.append(layers.Add(name=f"{name}_block{i}_add")([parts[-1], y]) if shortcut else y)
    return conv(layers.Concatenate(name=f"{name}_parts")(parts), channels, name=f"{name}_out")


def head(x, channels, outputs, *, bias, name):
    """Two convolutions and the outputs of each point.  (B, H/s, W/s, C) -> (B, HW/s^2, outputs) float32"""
    x = conv(x, channels, 3, name=f"{name}_1")
    x = conv(x, channels, 3, name=f"{name}_2")
    x = layers.Conv2D(outputs, 1, bias_initializer=bias, dtype="float32", name=f"{name}_out")(x)
    return layers.Reshape((-1, outputs), dtype="float32", name=f"{name}_rows")(x)


def make_multiple(channels, divisor=8):
    """The smallest multiple of `divisor` that is not below `channels`."""
    return math.ceil(channels / divisor) * divisor
