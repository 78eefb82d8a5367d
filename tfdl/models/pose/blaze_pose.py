"""BlazePose: coordinates of key points, regressed from features that heat maps have taught, for one person in a crop.

Paper: Bazarevsky et al. 2020, arXiv:2006.10204, section 2.4 and Fig. 4 (the network), 2.2 (detector, then tracking from
frame to frame), 2.1 and Fig. 2 (what aligns the crop).  Three parts:

    encoder      blocks of BlazeFace with the strides 2 to 32
    heat maps    up to stride 4 again, joined with the encoder's maps: heat maps and offsets, needed for training only
    regression   down to stride 32 from the finest map, joined with the encoder's maps again.  No gradient passes from
                 here to the other two ("gradient-stopping connections"); the result is what is used afterwards

The paper does not say how many channels and blocks there are, how maps are joined (here: added), and how the last map
becomes coordinates (here: a depthwise convolution as large as the map, then a dense one).  Channels and blocks are
those with which the numbers of weights, for the 33 key points, are the paper's: 3.5 million for Full, 1.3 for Lite.
Nor does it say how presence and visibility are put out; here the logit of each point's visibility is.

The detector is BlazeFace with other points: `person_detector`.
Shapes: B batch, H W height and width, C channels, K key points, N anchors of the detector.
"""

import dataclasses

import keras
from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.models.pose.blaze_face import VARIANTS as DETECTORS
from tfdl.models.pose.blaze_face import BlazeFaceConfig, blaze_block, blaze_face

KEYPOINTS = 33
ALIGNMENT = ("hips", "circle")  # the middle of the hips, and the top of the circle around the person, Fig. 2
BLOCK = BlazeFaceConfig(blocks=DETECTORS["nano"].blocks)  # 5x5 kernels and normalization, as in BlazeFace's paper
STRIDES = (2, 4, 8, 16, 32)


@config
class BlazePoseConfig:
    """One network: channels and blocks of the maps of stride 2, 4, 8, 16, 32."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    decoder: int  # channels of the maps on the way to the heat maps
    regression: tuple[int, int, int]  # blocks of the maps of stride 8, 16, 32 on the way to coordinates

    def __post_init__(self):
        if len(self.channels) != 5 or len(self.blocks) != 5 or len(self.regression) != 3:
            raise ValueError(
                f"blaze_pose has 5 maps, and 3 on the way to coordinates; channels, blocks and regression are"
                f" {self.channels}, {self.blocks}, {self.regression}."
            )
        if sorted(self.channels) != list(self.channels) or self.decoder > self.channels[2]:
            raise ValueError(
                f"channels are {self.channels} and {self.decoder} in the decoder; they must not become fewer from map"
                " to map, and the decoder's no more than those of stride 8."
            )
        if min(*self.channels, *self.blocks, *self.regression, self.decoder) < 1:
            raise ValueError(f"blaze_pose needs sizes of at least 1; they are {self}.")


VARIANTS = {
    "nano": BlazePoseConfig(channels=(4, 6, 8, 8, 12), blocks=(1,) * 5, decoder=8, regression=(1, 1, 1)),  # for tests
    # Ours, for a few minutes on a CPU
    "small": BlazePoseConfig(channels=(16, 24, 48, 96, 128), blocks=(1, 1, 2, 2, 2), decoder=48, regression=(1, 2, 3)),
    "lite": BlazePoseConfig(channels=(16, 32, 64, 128, 256), blocks=(1, 2, 3, 4, 5), decoder=32, regression=(3, 4, 9)),
    "full": BlazePoseConfig(channels=(24, 48, 96, 192, 384), blocks=(1, 3, 4, 5, 6), decoder=48, regression=(4, 5, 12)),
}


def blaze_pose(variant="full", *, image_shape=(256, 256, 3), keypoints=KEYPOINTS, normalize="unit", name="blaze_pose"):
    """Images (B, H, W, 3) in [0, 1] -> dict of keypoints (B, K, 2) x, y in pixels, visibility (B, K, 1) logits,
    heatmaps (B, H/4, W/4, K), and offsets (B, H/4, W/4, 2 K), x and then y of the points from a cell, in cells.

    `variant` is a row of VARIANTS or a BlazePoseConfig.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant, no key point, or a side that is no multiple of 32.
    """
    c = choose_variant(variant, VARIANTS, model="blaze_pose")
    images = image_input(image_shape)
    height, width = image_shape[:2]
    if any(side is None or side % 32 for side in (height, width)):
        raise ValueError(f"image_shape is {tuple(image_shape)}; blaze_pose needs sides that are multiples of 32.")
    if keypoints < 1:
        raise ValueError(f"keypoints is {keypoints}; give 1 or more.")
    x = normalize_pixels(images, normalize)
    x = conv_norm(x, c.channels[0], 3, 2, activation=ops.relu, name="stem")  # (B, H/2, W/2, C)
    maps = {}
    for stride, channels, blocks in zip(STRIDES, c.channels, c.blocks):
        x = blocks_of(x, channels, blocks, stride > 2, name=f"encoder{stride}")
        maps[stride] = x

    y = reduced(maps[32], c.decoder, name="decoder32")
    for stride in (16, 8, 4):
        y = layers.UpSampling2D(2, interpolation="bilinear", name=f"decoder{stride}_up")(y)
        y = layers.Add(name=f"decoder{stride}_add")([y, reduced(maps[stride], c.decoder, name=f"decoder{stride}")])
        y = blaze_block(y, (c.decoder,), 1, c=BLOCK, name=f"decoder{stride}_block")  # (B, H/s, W/s, decoder)
    start = keras.initializers.RandomNormal(stddev=0.001)  # as in HRNet: maps are nearly 0 at first
    outputs = {
        "heatmaps": layers.Conv2D(keypoints, 1, kernel_initializer=start, dtype="float32", name="heatmaps")(y),
        "offsets": layers.Conv2D(2 * keypoints, 1, dtype="float32", name="offsets")(y),
    }

    z = ops.stop_gradient(y)
    for stride, channels, blocks in zip((8, 16, 32), c.channels[2:], c.regression):
        z = blocks_of(z, channels, 1, True, name=f"regression{stride}")
        z = layers.Add(name=f"regression{stride}_add")([z, ops.stop_gradient(maps[stride])])
        z = blocks_of(z, channels, blocks, False, name=f"regression{stride}_more")
    z = layers.DepthwiseConv2D((height // 32, width // 32), name="regression_pool")(z)  # (B, 1, 1, C)
    z = layers.Flatten(name="regression_flat")(z)
    places = layers.Dense(2 * keypoints, dtype="float32", name="coordinates")(z)
    places = layers.Reshape((keypoints, 2), dtype="float32", name="places")(places)
    # In parts of the picture from its middle
    scale, middle = [float(width), float(height)], [width / 2, height / 2]
    outputs["keypoints"] = layers.Rescaling(scale, middle, dtype="float32", name="keypoints")(places)
    visible = layers.Dense(keypoints, dtype="float32", name="visible")(z)
    outputs["visibility"] = layers.Reshape((keypoints, 1), dtype="float32", name="visibility")(visible)
    return keras.Model(images, outputs, name=name)


def blocks_of(x, channels, count, halve, *, name):
    """Blocks of BlazeFace, the first with the stride 2 if `halve`: (B, H, W, C) -> (B, H/s, W/s, channels)."""
    for i in range(count):
        x = blaze_block(x, (channels,), 2 if halve and i == 0 else 1, c=BLOCK, name=f"{name}_block{i}")
    return x


def reduced(x, channels, *, name):
    """A map of the encoder with the channels of the decoder."""
    return conv_norm(x, channels, activation=ops.relu, name=name)


def person_detector(variant="paper", *, image_shape=(128, 128, 3), normalize="unit", name="person_detector"):
    """Images (B, H, W, 3) in [0, 1] -> {"offsets": (B, N, 8), "scores": (B, N, 1)}: BlazeFace with two points.

    The box is that of the face, which is rarely hidden and looks alike for all; the points are the middle of the hips
    and the top of the circle around the whole person, which give the crop for `blaze_pose`: its center, its size and
    its angle (section 2.1).  `tfdl.inference.tracking.region_of` reads them.

    Args:
        variant: a row of BlazeFace's VARIANTS, or a BlazeFaceConfig.

    Raises:
        ValueError: as `blaze_face`.
    """
    c = choose_variant(variant, DETECTORS, model="person_detector")
    c = dataclasses.replace(c, points=len(ALIGNMENT))
    return blaze_face(c, image_shape=image_shape, normalize=normalize, name=name)
