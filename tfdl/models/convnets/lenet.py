"""LeNet-5: convolutions that share weights, alternating with subsampling; the network that read handwritten digits.

Paper: LeCun et al. 1998, Proceedings of the IEEE 86(11), Fig. 2, Table I and section II.B.
Shapes: B batch, H W height and width of the image, C channels, U units.
"""

import functools

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.lenet import CodeDistance, SparseConv2D, Subsampling, scaled_tanh
from tfdl.layers.pixels import image_input, normalize_pixels

# Table I: the maps of S2 (of six) that each of C3's sixteen maps reads: three or four neighbors, two pairs, or all.
TABLE = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((i, i + 1, (i + 3) % 6, (i + 4) % 6) for i in range(3)),
    tuple(range(6)),
)


@config
class LeNetConfig:
    """One network of C1, S2, C3, S4, C5, F6 and the output, with the paper's original layers or today's."""

    channels: tuple[int, int] = (6, 16)  # of C1 and C3
    features: tuple[int, int] = (120, 84)  # units of C5 and F6
    # True: Table I, learned subsampling, scaled tanh, distances to codes.  False: all maps connected, max pooling,
    # ReLU, linear logits.
    original: bool = False

    def __post_init__(self):
        if self.original and self.channels != (6, 16):
            raise ValueError(
                f"original=True needs channels=(6, 16), which the paper's Table I connects, not {self.channels}."
            )


VARIANTS = {
    "nano": LeNetConfig(channels=(4, 8), features=(24, 20)),  # ours, for tests
    "lenet5": LeNetConfig(),
    "original": LeNetConfig(original=True),
}


def lenet(variant="lenet5", *, image_shape=(32, 32, 1), num_classes=10, normalize="unit", name="lenet"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last feature map at each stride.

    `variant` is a row of VARIANTS or a LeNetConfig.  H and W must be fixed and at least 16.  The paper centers digits
    of 20 pixels in 32, so that the ends of their strokes reach the center of a receptive field.  `normalize`: see
    `normalize_pixels`; "unit" is close to the paper's -0.1 to 1.175.  The feature maps are {"stride1": (B, H-4, W-4,
    C), "stride2": (B, H/2-6, W/2-6, C), "stride4": (B, H/4-3, W/4-3, C)}, sizes rounded down: convolutions are not
    padded.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="lenet")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    if None in image_shape or min(image_shape[:2]) < 16:
        raise ValueError(f"lenet needs a fixed image_shape of at least 16 pixels a side, not {image_shape}.")
    start = "lecun_normal" if c.original else "he_normal"
    convolution = functools.partial(layers.Conv2D, kernel_size=5, kernel_initializer=start)
    dense = functools.partial(layers.Dense, kernel_initializer=start)
    activation = squash if c.original else ops.relu
    pool = Subsampling if c.original else layers.MaxPooling2D  # both over 2 x 2 pixels
    connected = convolution(c.channels[1], name="c3") if not c.original else SparseConv2D(TABLE, 5, name="c3")

    x = normalize_pixels(images, normalize)
    c1 = activation(convolution(c.channels[0], name="c1")(x))  # (B, 28, 28, 6) of 32 pixels
    s2 = pool(name="s2")(c1)  # (B, 14, 14, 6)
    c3 = activation(connected(s2))  # (B, 10, 10, 16)
    s4 = pool(name="s4")(c3)  # (B, 5, 5, 16)
    if num_classes is None:
        return keras.Model(images, {"stride1": c1, "stride2": c3, "stride4": s4}, name=name)

    x = layers.Flatten(name="flatten")(s4)
    x = activation(dense(c.features[0], name="c5")(x))  # the paper's 5x5 convolution of a map of 5x5
    x = activation(dense(c.features[1], name="f6")(x))  # (B, U)
    head = CodeDistance if c.original else layers.Dense
    x = head(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def squash(x):
    """`scaled_tanh` as a layer: Keras marks the plain product of a number and a symbolic tensor as sparse."""
    return layers.Activation(scaled_tanh)(x)
