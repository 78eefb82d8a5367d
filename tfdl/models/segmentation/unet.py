"""U-Net: what is small and knows what is there is enlarged step by step, and joined with what still knows where.

Paper: Ronneberger et al. 2015, arXiv:1505.04597, Fig. 1 and section 2.  Its convolutions have no padding, so that the
answer is smaller than the picture (572 -> 388 pixels); most who use it pad and normalize, as the other variants do.
Shapes: B batch, H W height and width, C channels or classes.
"""

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.pixels import image_input, normalize_pixels


@config
class UNetConfig:
    """One network: `levels` - 1 times the map is halved and the channels doubled, and back again."""

    channels: int = 64  # of the first level
    levels: int = 5
    padded: bool = True  # False: unpadded convolutions without normalization, as the paper has them

    def __post_init__(self):
        if self.channels < 1 or self.levels < 2:
            raise ValueError(f"unet needs channels and two levels; it has {self.channels} and {self.levels}.")


VARIANTS = {
    "nano": UNetConfig(channels=4, levels=3),  # ours, for tests
    "paper": UNetConfig(padded=False),
    "small": UNetConfig(channels=16, levels=5),  # a sixteenth of the padded network's work
    "padded": UNetConfig(),
}
CANONICAL = {"paper": dict(image_shape=(572, 572, 1), num_classes=2)}


def unet(variant="padded", *, image_shape=(256, 256, 3), num_classes=21, normalize="imagenet", name="unet"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, H, W, num_classes), or with None the last maps of the way up.

    `variant` is a row of VARIANTS or a UNetConfig.  `normalize`: see `normalize_pixels`.  The logits of "paper" are
    smaller than the image by 184 pixels.  Maps are {"stride1": (B, H, W, C), "stride2": ...}.

    Raises:
        ValueError: unknown variant, or sides that cannot be halved as often as the levels want it.
    """
    c = choose_variant(variant, VARIANTS, model="unet")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    check_sides(image_shape, c)
    x = normalize_pixels(images, normalize)
    kept = []
    for level in range(c.levels):  # the contracting path
        if level:
            kept.append(x)
            x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
        x = two_convolutions(x, c.channels * 2**level, c, name=f"down{level}")
    maps = {2 ** (c.levels - 1): x}
    for level in reversed(range(c.levels - 1)):  # the expanding path
        channels = c.channels * 2**level
        x = layers.Conv2DTranspose(channels, 2, 2, name=f"up{level}_enlarge")(x)  # "up-convolution"
        x = layers.Concatenate(name=f"up{level}_join")([center(kept[level], x), x])
        x = two_convolutions(x, channels, c, name=f"up{level}")
        maps[2**level] = x
    if num_classes is None:
        return keras.Model(images, {f"stride{s}": maps[s] for s in sorted(maps)}, name=name)
    return keras.Model(images, layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x), name=name)


def two_convolutions(x, channels, c, name):
    """3x3 convolution and ReLU, twice."""
    for number in (1, 2):
        if c.padded:
            x = conv_norm(x, channels, 3, activation=ops.relu, name=f"{name}_conv{number}")
        else:
            x = ops.relu(layers.Conv2D(channels, 3, name=f"{name}_conv{number}")(x))
    return x


def center(x, like):
    """The middle of a map, as large as `like`."""
    crops = [(ours - theirs) // 2 for ours, theirs in zip(x.shape[1:3], like.shape[1:3])]
    return layers.Cropping2D(tuple((crop, crop) for crop in crops))(x) if any(crops) else x


def check_sides(image_shape, c):
    """Raises ValueError for sides that the network cannot take."""
    for side in image_shape[:2]:
        if side is None:
            raise ValueError(f"image_shape is {tuple(image_shape)}; unet needs a height and a width.")
        rest = side
        for level in range(c.levels):
            rest = rest - (0 if c.padded else 4)
            is_even = rest % 2 == 0 or level == c.levels - 1
            if rest < 1 or not is_even:
                step = 2 ** (c.levels - 1)
                like = f"multiples of {step}" if c.padded else f"572, or another number that is 12 more than k x {step}"
                raise ValueError(f"image_shape is {tuple(image_shape)}; this unet needs sides like {like}.")
            rest //= 2
