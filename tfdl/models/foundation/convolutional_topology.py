"""Convolutional topology: each unit reads a small patch, and all patches share the same weights.

Source: LeCun et al. 1998, Proc. IEEE 86(11), section II.A.  A minimal network to compare with `mlp` and
`recurrent_topology`; `lenet` and its descendants are the networks used in practice.
Shapes: B batch, H W C height, width and channels of an image, F filters.
"""

import keras
from keras import layers

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.ops.activations import ACTIVATIONS, check_activation


@config
class ConvolutionalTopologyConfig:
    """Convolution, activation and 2x2 max pooling, once for each of `filters`."""

    filters: tuple[int, ...]
    kernel: int = 3
    activation: str = "relu"  # key of ACTIVATIONS

    def __post_init__(self):
        if not self.filters or min(*self.filters, self.kernel) < 1:
            raise ValueError(f"filters and kernel must be positive; they are {self.filters} and {self.kernel}.")
        check_activation(self.activation, owner="convolutional_topology")


VARIANTS = {
    "nano": ConvolutionalTopologyConfig(filters=(6, 8)),  # ours, for tests
    "small": ConvolutionalTopologyConfig(filters=(16, 40)),  # ours: 25,570 weights on MNIST
}


def convolutional_topology(
    variant="small", *, image_shape=(28, 28, 1), num_classes=10, normalize=None, name="convolutional_topology"
):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the flat last map (B, H/4 W/4 F).

    `variant` is a row of VARIANTS or a ConvolutionalTopologyConfig.  H and W must be fixed, because the dense layer has
    a weight for each position of the last map.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="convolutional_topology")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    if None in image_shape:
        raise ValueError(f"convolutional_topology needs a fixed image_shape, not {image_shape}.")

    x = normalize_pixels(images, normalize)
    for i, filters in enumerate(c.filters):
        x = layers.Conv2D(filters, c.kernel, padding="same", kernel_initializer="he_normal", name=f"conv{i}")(x)
        x = ACTIVATIONS[c.activation](x)  # (B, H, W, F)
        x = layers.MaxPooling2D(2, padding="same", name=f"pool{i}")(x)  # (B, ceil(H/2), ceil(W/2), F)
    x = layers.Flatten(name="flatten")(x)
    if num_classes is not None:
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)
