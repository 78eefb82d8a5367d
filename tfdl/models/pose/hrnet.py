"""HRNet: maps of four resolutions side by side, which tell each other what they see; the finest is never given up.

Papers: Sun et al. 2019, arXiv:1902.09212, section 3 and Fig. 1 (the network, and key points from the finest map); Wang
et al. 2019, arXiv:1908.07919, section 3 and appendix on ImageNet (the classifier on top of all four).
Shapes: B batch, H W height and width, C channels of the finest map; the others have 2 C, 4 C, 8 C; K key points.
"""

import functools

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.models.convnets.resnet import ResNetConfig, residual_block


@config
class HRNetConfig:
    """One network: a stem, a stage of bottlenecks, then stages of two, three and four maps."""

    channels: int  # C
    modules: tuple[int, int, int] = (1, 4, 3)  # of the stages with two, three and four maps
    blocks: int = 4  # of each map in a module, and of the first stage
    stem: int = 64  # channels of the two convolutions that halve the picture, and inside of the first stage
    head: tuple[int, ...] = (32, 64, 128, 256)  # inside of the bottlenecks that the four maps go through
    features: int = 2048  # in front of the classifier

    def __post_init__(self):
        if min(self.channels, self.blocks, self.stem, self.features, *self.modules, *self.head) < 1:
            raise ValueError(f"hrnet needs sizes of at least 1; they are {self}.")
        if len(self.modules) != 3 or len(self.head) != 4:
            raise ValueError(f"hrnet has 3 stages of modules and 4 heads, not {self.modules} and {self.head}.")


VARIANTS = {
    "nano": HRNetConfig(channels=4, modules=(1, 1, 1), blocks=1, stem=8, head=(2, 4, 4, 8), features=16),  # for tests
    "small": HRNetConfig(channels=16, modules=(1, 1, 1), blocks=1, stem=32),  # ours, for a few minutes on a CPU
    "w18": HRNetConfig(channels=18),
    "w32": HRNetConfig(channels=32),
}

BOTTLENECK = ResNetConfig(blocks=(1,), bottleneck=True)
BASIC = ResNetConfig(blocks=(1,))

relu_conv = functools.partial(conv_norm, activation=ops.relu)


def hrnet(
    variant="w18",
    *,
    image_shape=(224, 224, 3),
    num_classes=1000,
    keypoints=None,
    normalize="imagenet",
    name="hrnet",
):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the four maps of the last stage.

    `variant` is a row of VARIANTS or an HRNetConfig.  H and W may be None, for pictures whose sides are multiples of
    32.  `normalize`: see `normalize_pixels`.  The maps are {"stride4": (B, H/4, W/4, C), "stride8": (..., 2 C),
    "stride16": (..., 4 C), "stride32": (..., 8 C)}, sizes rounded up.  With `keypoints`, K, in place of the classes:
    {"heatmaps": (B, H/4, W/4, K)}, a map for each key point, see `tfdl.ops.heatmaps`.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="hrnet")
    check_num_classes(num_classes)
    if keypoints is not None and keypoints < 1:
        raise ValueError(f"keypoints is {keypoints}; give the number of key points, or None for a classifier.")
    images = image_input(image_shape)
    x = normalize_pixels(images, normalize)
    for i in range(2):
        x = relu_conv(x, c.stem, 3, 2, name=f"stem{i + 1}")  # (B, H/4, W/4, C)
    for i in range(c.blocks):
        x = residual_block(x, c.stem, 1, c=BOTTLENECK, conv=conv_norm, name=f"stage1_block{i}")
    maps = [x]
    for stage, modules in enumerate(c.modules, start=2):
        maps = with_one_more(maps, c.channels, name=f"transition{stage - 1}")
        for i in range(modules):
            is_last = (stage, i) == (4, modules - 1)
            wanted = 1 if is_last and keypoints is not None else len(maps)
            maps = exchange(maps, c, wanted, name=f"stage{stage}_module{i}")
    if keypoints is not None:
        start = keras.initializers.RandomNormal(stddev=0.001)  # as in the authors' program: maps are nearly 0 at first
        x = layers.Conv2D(keypoints, 1, kernel_initializer=start, dtype="float32", name="heatmaps")(maps[0])
        return keras.Model(images, {"heatmaps": x}, name=name)
    if num_classes is None:
        return keras.Model(images, {f"stride{4 * 2**i}": x for i, x in enumerate(maps)}, name=name)

    x = None
    for i, y in enumerate(maps):  # from the finest down
        y = residual_block(y, c.head[i], 1, c=BOTTLENECK, conv=conv_norm, name=f"head{i}_block0")
        if x is not None:
            down = relu_conv(x, 4 * c.head[i], 3, 2, bias=True, name=f"head{i - 1}_down")
            y = layers.Add(name=f"head{i}_add")([y, down])
        x = y
    x = relu_conv(x, c.features, bias=True, name="head_last")  # (B, H/32, W/32, features)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def with_one_more(maps, channels, *, name):
    """The maps, and a new one of half the size of the last; the first ones have `channels`, twice as many, ..."""
    found = list(maps)
    if maps[0].shape[-1] != channels:  # behind the bottlenecks
        found[0] = relu_conv(maps[0], channels, 3, name=f"{name}_map0")
    new = len(maps)
    return [*found, relu_conv(maps[-1], channels * 2**new, 3, 2, name=f"{name}_map{new}")]


def exchange(maps, c, wanted, *, name):
    """One module: blocks for each map, then each of the `wanted` finest becomes the sum of what all of them say at its
    resolution."""
    for i in range(len(maps)):
        for j in range(c.blocks):
            maps = list(maps)
            channels = c.channels * 2**i
            block = f"{name}_map{i}_block{j}"
            maps[i] = residual_block(maps[i], channels, 1, c=BASIC, conv=conv_norm, name=block)
    return [joined(maps, i, name=f"{name}_fuse{i}") for i in range(wanted)]


def joined(maps, place, *, name):
    """relu of the sum of all maps, brought to the size and channels of the one at `place`; Fig. 3 of the paper."""
    like = maps[place]
    parts = []
    for j, x in enumerate(maps):
        if j > place:  # coarser
            x = conv_norm(x, like.shape[-1], name=f"{name}_from{j}")
            x = layers.UpSampling2D(2 ** (j - place), name=f"{name}_from{j}_up")(x)
            too_much = [a - b if a else 0 for a, b in zip(x.shape[1:3], like.shape[1:3])]
            if any(too_much):  # sides that 32 does not divide
                x = layers.Cropping2D([(0, n) for n in too_much], name=f"{name}_from{j}_crop")(x)
        for k in range(place - j):  # finer
            is_last = k == place - j - 1
            channels, activation = (like.shape[-1], None) if is_last else (x.shape[-1], ops.relu)
            x = conv_norm(x, channels, 3, 2, activation=activation, name=f"{name}_from{j}_step{k}")
        parts.append(x)
    return ops.relu(layers.Add(name=f"{name}_add")(parts))
