"""Highway network: fifty layers can be trained because each layer initially carries most of its input through.

Paper: Srivastava et al. 2015, arXiv:1505.00387, sections 2 and 3, Fig. 1 and 2; the residual kind: He et al. 2015,
arXiv:1512.03385, eq. 1, with pre-activation as in He et al. 2016, arXiv:1603.05027, Fig. 4e.
Shapes: B batch, H W C height, width and channels of an image, L gated layers, U units (`width`).
"""

import keras
import numpy as np
from keras import layers

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.highway import Highway
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.layers.residual import Residual
from tfdl.ops.activations import ACTIVATIONS, check_activation

KINDS = ("plain", "residual", "highway")


@config
class HighwayConfig:
    """A first dense layer from the pixels to `width` units, then depth - 1 layers of one kind.

    plain: f(W x + b).  residual: x + W f(x) + b with W initially 0.  highway: see `tfdl.layers.highway`.  The paper
    gives plain layers 71 units and highway layers 50, so that both have about the same number of weights, 5112 and
    5100.
    """

    kind: str
    depth: int  # hidden layers
    width: int
    transform_bias: float = -2.0  # initial bias of the gates; see VARIANTS
    activation: str = "relu"  # key of ACTIVATIONS
    initializer: str = "he_normal"  # section 3: "initialized as in He et al."

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"highway has no kind {self.kind!r}; it has {', '.join(KINDS)}.")
        check_activation(self.activation, owner="highway")
        if min(self.depth, self.width) < 1:
            raise ValueError(f"depth and width must be at least 1; they are {self.depth} and {self.width}.")


VARIANTS = {
    "nano": HighwayConfig(kind="highway", depth=4, width=12),  # ours, for tests
    "plain_50": HighwayConfig(kind="plain", depth=50, width=71),
    "residual_50": HighwayConfig(kind="residual", depth=50, width=71),
    # With an initial bias of -2 one gate carries 0.88 of x and 49 in a row 0.002; with -4 the 49 carry 0.41, and SGD
    # converges.
    "highway_50": HighwayConfig(kind="highway", depth=50, width=50, transform_bias=-4.0),
    "highway_10": HighwayConfig(kind="highway", depth=10, width=50),
}


def highway(variant="highway_50", *, image_shape=(28, 28, 1), num_classes=10, normalize=None, name="highway"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last hidden units (B, U).

    `variant` is a row of VARIANTS or a HighwayConfig.  H and W must be fixed.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="highway")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    if None in image_shape:
        raise ValueError(f"highway needs a fixed image_shape, not {image_shape}: each pixel has its own weights.")
    activation = ACTIVATIONS[c.activation]

    x = normalize_pixels(images, normalize)
    x = layers.Flatten(name="flatten")(x)  # (B, H W C)
    x = layers.Dense(c.width, activation, kernel_initializer=c.initializer, name="layer0")(x)  # (B, U)
    for i in range(1, c.depth):
        x = hidden_layer(c, activation, name=f"layer{i}")(x)
    if num_classes is not None:
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def hidden_layer(c, activation, *, name):
    """One of the depth - 1 layers that keep the width."""
    if c.kind == "highway":
        return Highway(c.activation, c.transform_bias, c.initializer, name=name)
    if c.kind == "plain":
        return layers.Dense(c.width, activation, kernel_initializer=c.initializer, name=name)
    weights = layers.Dense(c.width, kernel_initializer="zeros", name="weights")
    return Residual(keras.Sequential([layers.Activation(activation), weights], name="branch"), name=name)


def gate_activity(model, images):
    """The transform gates for each image: (B, H, W, C) -> (B, L, U) in [0, 1]; 0 carries, 1 transforms.

    Their mean over the images is the second column of Fig. 2.

    Raises:
        ValueError: the model has no highway layer.
    """
    gated = [layer for layer in model.layers if isinstance(layer, Highway)]
    if not gated:
        raise ValueError(f"{model.name!r} has no highway layers and therefore no gates; build one of kind 'highway'.")
    inputs = keras.Model(model.input, [layer.input for layer in gated])
    return np.stack([layer.gate(x) for layer, x in zip(gated, inputs.predict(images, verbose=0))], axis=1)
