"""Recurrent topology: the image is read row by row, and each step updates a state from the row and the last state.

Source: Elman 1990, Cognitive Science 14(2), 179-211, Fig. 2.  A minimal network to compare with `mlp` and
`convolutional_topology`, also with cells of a longer memory (LSTM, GRU).
Shapes: B batch, H W C height, width and channels of an image, U units of the state.
"""

import keras
from keras import layers

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.layers.recurrent import Recurrent, check_cell


@config
class RecurrentTopologyConfig:
    """state = tanh(W row + R state + b), for each row from top to bottom; the last state is classified."""

    units: int
    cell: str = "rnn"  # key of CELLS; others have equations of their own in place of tanh

    def __post_init__(self):
        if self.units < 1:
            raise ValueError(f"units must be positive, not {self.units}.")
        check_cell(self.cell)


VARIANTS = {
    "nano": RecurrentTopologyConfig(units=20),  # ours, for tests
    "small": RecurrentTopologyConfig(units=141),  # ours: 25,390 weights on MNIST
    "lstm": RecurrentTopologyConfig(units=128, cell="lstm"),  # ours
    "gru": RecurrentTopologyConfig(units=128, cell="gru"),  # ours
}


def recurrent_topology(
    variant="small", *, image_shape=(28, 28, 1), num_classes=10, normalize=None, name="recurrent_topology"
):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last state (B, U).

    `variant` is a row of VARIANTS or a RecurrentTopologyConfig.  H and W must be fixed; the weights do not depend on
    H.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="recurrent_topology")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    if None in image_shape:
        raise ValueError(f"recurrent_topology needs a fixed image_shape, not {image_shape}.")
    height, width, channels = image_shape

    x = normalize_pixels(images, normalize)
    x = layers.Reshape((height, width * channels), name="rows")(x)  # (B, H, W C): one row per step
    _, (x, *_) = Recurrent(c.units, c.cell, unroll=True, name="state")(x)  # (B, U); no loop in exported graphs
    if num_classes is not None:
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)
