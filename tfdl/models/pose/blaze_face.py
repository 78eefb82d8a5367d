"""BlazeFace: finds faces and six points on each in a millisecond, with depthwise convolutions on a small image.

Paper: Bazarevsky et al. 2019, arXiv:1907.05047, Fig. 1 (blocks), Fig. 2 (anchors), section 4.1 (blending), Table 4
(layers).  MediaPipe's own network for front cameras has single blocks of 3x3 kernels where the paper has single and
double blocks of 5x5; both have the same 896 anchors.
Shapes: B batch, H W height and width, C channels, N = 896 anchors of an image of 128 x 128, D faces.
"""

import math

import keras
from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.ops.faces import ANCHORS

PRIOR = 0.01  # score before training: few anchors see a face; Lin et al. 2017, arXiv:1708.02002, section 4.1
POINTS = ("right eye", "left eye", "nose", "mouth", "right ear", "left ear")  # as seen by the person


@config
class BlazeFaceConfig:
    """One network: a stem, then blocks; the two maps of stride 8 and 16 are read by the heads.

    Each block is (channels, stride), or (inner, channels, stride) for a double block.
    """

    blocks: tuple[tuple[int, ...], ...]
    stem: int = 24  # channels of the first convolution, 5x5 with stride 2
    kernel: int = 5  # of the depthwise convolutions
    norm: bool = True  # batch normalization after each block; False where it has been folded into the convolutions
    points: int = len(POINTS)  # found with each box

    def __post_init__(self):
        strides = [block[-1] for block in self.blocks]
        if any(len(block) not in (2, 3) for block in self.blocks) or strides.count(2) != 3 or set(strides) - {1, 2}:
            raise ValueError(
                "blocks needs rows (channels, stride) or (inner, channels, stride), three of them with stride 2 (to"
                f" the strides 4, 8 and 16); it is {self.blocks}."
            )
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, not {self.kernel}.")
        if self.points < 0:
            raise ValueError(f"points must be 0 or more, not {self.points}.")


SINGLE = ((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1))
SMALL = ((24, 1), (32, 2), (32, 1), (48, 2), (48, 1), (64, 2), (64, 1), (64, 1))
PAPER = ((24, 1), (24, 1), (48, 2), (48, 1), (48, 1), (24, 96, 2), (24, 96, 1), (24, 96, 1))

VARIANTS = {
    "nano": BlazeFaceConfig(blocks=((8, 2), (4, 8, 2), (8, 2)), stem=8, kernel=3),  # ours, for tests
    "small": BlazeFaceConfig(blocks=SMALL, kernel=3),  # ours, for a few minutes on a CPU
    "paper": BlazeFaceConfig(blocks=(*PAPER, (24, 96, 2), (24, 96, 1), (24, 96, 1))),  # Table 4
    "mediapipe": BlazeFaceConfig(blocks=(*SINGLE, (96, 2), *((96, 1),) * 4), kernel=3, norm=False),
}


def blaze_face(variant="mediapipe", *, image_shape=(128, 128, 3), normalize="unit", name="blaze_face"):
    """Images (B, H, W, 3) in [0, 1] -> {"offsets": (B, N, 16), "scores": (B, N, 1)}.

    `variant` is a row of VARIANTS or a BlazeFaceConfig.  `normalize`: see `normalize_pixels`.  The offsets are center
    and size of a box and six points, in pixels from the anchor's center, the scores logits; `ops.faces` turns both
    into faces.  N is 2 for each cell of the map of stride 8, then 6 for each of the map of stride 16.

    Raises:
        ValueError: unknown variant, or a side that is no multiple of 16.
    """
    c = choose_variant(variant, VARIANTS, model="blaze_face")
    images = image_input(image_shape)
    if any(side is None or side % 16 for side in image_shape[:2]):
        raise ValueError(f"image_shape is {tuple(image_shape)}; blaze_face needs sides that are multiples of 16.")
    x = normalize_pixels(images, normalize)
    x = layers.Conv2D(c.stem, 5, 2, padding="same", use_bias=not c.norm, name="stem_conv")(x)
    x = ops.relu(with_norm(x, c, "stem"))  # (B, H/2, W/2, C)
    maps, stride = {}, 2
    for number, (*channels, step) in enumerate(c.blocks, start=1):
        stride *= step
        maps[stride] = x = blaze_block(x, channels, step, c=c, name=f"block{number}")
    heads = {"offsets": 2 + 2 + 2 * c.points, "scores": 1}
    outputs = {}
    for output, size in heads.items():
        rows = [
            layers.Reshape((-1, size), dtype="float32", name=f"{output}{stride}_rows")(
                layers.Conv2D(
                    size * count,
                    1,
                    bias_initializer=keras.initializers.Constant(first_answer(size, stride) * count),
                    dtype="float32",
                    name=f"{output}{stride}",
                )(maps[stride])
            )
            for stride, count in ANCHORS.items()
        ]
        outputs[output] = layers.Concatenate(axis=1, dtype="float32", name=output)(rows)  # (B, N, 16) and (B, N, 1)
    return keras.Model(images, outputs, name=name)


def first_answer(size, stride):
    """What a head of an anchor says before training: no face, or boxes around the anchor that overlap as faces do."""
    return [-math.log(1 / PRIOR - 1)] if size == 1 else [0.0, 0.0, 4.0 * stride, 4.0 * stride] + [0.0] * (size - 4)


def blaze_block(x, channels, stride, *, c, name):
    """relu(F(x) + shortcut(x)), Fig. 1.  (B, H, W, C) -> (B, H/s, W/s, channels[-1])

    F is a depthwise and a 1x1 convolution, in a double block twice, through a bottleneck.  The shortcut is pooled where
    the stride is 2, and padded with channels of zeros where they become more.
    """
    y = x
    for part, size in enumerate(channels, start=1):
        suffix = f"{name}_{part}" if len(channels) > 1 else name
        step = stride if part == 1 else 1
        y = layers.DepthwiseConv2D(c.kernel, step, padding="same", use_bias=not c.norm, name=f"{suffix}_depthwise")(y)
        y = layers.Conv2D(size, 1, use_bias=not c.norm, name=f"{suffix}_pointwise")(y)
        y = with_norm(y, c, suffix)
        if part < len(channels):
            y = ops.relu(y)
    if stride == 2:
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    missing = channels[-1] - x.shape[-1]
    if missing > 0:
        x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
    return ops.relu(layers.Add(name=f"{name}_add")([x, y]))


def with_norm(x, c, name):
    """The map normalized, or as it is."""
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.9, name=f"{name}_norm")(x) if c.norm else x
