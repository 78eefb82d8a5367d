"""Multi-layer perceptron: every unit is connected to all units of the layer below by weights of its own.

Source: Rumelhart et al. 1986, Nature 323, 533-536.  Sizes: LeCun et al. 1998, Proc. IEEE 86(11), section III;
Simard et al. 2003, ICDAR, section 3; Srivastava et al. 2014, JMLR 15, Table 2.
Shapes: B batch, H W C height, width and channels of an image, U units of a layer.
"""

import keras
from keras import layers

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.normalization import AXES, normalization
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.ops.activations import ACTIVATIONS, check_activation


@config
class MLPConfig:
    """One network: hidden layers that differ only in width."""

    hidden: tuple[int, ...] = (800,)  # units of each hidden layer; (): logistic regression
    activation: str = "relu"  # key of ACTIVATIONS
    normalization: str | None = None  # "batch", "layer" or "group" before the activation, as in arXiv:1502.03167
    groups: int = 32  # of group normalization; must divide every width
    dropout: float = 0.0  # fraction of the hidden units that is dropped
    input_dropout: float = 0.0  # fraction of the pixels that is dropped
    initializer: str = "he_normal"  # of the kernels, a name in keras.initializers; biases start at 0
    l2: float = 0.0  # adds l2 * sum of squared weights, without biases, to the loss

    def __post_init__(self):
        if not all(isinstance(units, int) and units > 0 for units in self.hidden):
            raise ValueError(f"hidden must be a tuple of positive numbers of units, not {self.hidden}.")
        check_activation(self.activation, owner="mlp")
        if self.normalization not in (None, *AXES):
            raise ValueError(f"mlp has no normalization {self.normalization!r}; it has {', '.join(AXES)} or None.")
        for name in ("dropout", "input_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}.")
        if self.l2 < 0:
            raise ValueError(f"l2 must not be negative; it is {self.l2}.")


VARIANTS = {
    "nano": MLPConfig(hidden=(24, 16)),  # ours, for tests
    "lecun_300_100": MLPConfig(hidden=(300, 100), activation="tanh", initializer="lecun_normal"),
    "logistic_regression": MLPConfig(hidden=()),  # softmax of linear logits, no hidden layer
    "simard_800": MLPConfig(),  # the paper's width, with today's ReLU and He initialization
    "simard_800_dropout": MLPConfig(dropout=0.5, input_dropout=0.2),  # ours, with the dropout rates of the next row
    "srivastava_3x1024": MLPConfig(hidden=(1024,) * 3, dropout=0.5, input_dropout=0.2),  # appendix B.1
}


def mlp(variant="simard_800", *, image_shape=(28, 28, 1), num_classes=10, normalize=None, name="mlp"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the last hidden units (B, U).

    `variant` is a row of VARIANTS or an MLPConfig.  H and W must be fixed: each pixel has its own weights.
    `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="mlp")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    if None in image_shape:
        raise ValueError(f"mlp needs a fixed image_shape, not {image_shape}: each pixel has its own weights.")

    x = normalize_pixels(images, normalize)
    x = layers.Flatten(name="flatten")(x)  # (B, H W C)
    if c.input_dropout:
        x = layers.Dropout(c.input_dropout, name="input_dropout")(x)
    for i, units in enumerate(c.hidden):
        x = hidden_layer(x, units, c, name=f"hidden{i}")  # (B, U)
    if num_classes is not None:
        x = layers.Dense(num_classes, dtype="float32", name="logits", **kernel(c))(x)
    return keras.Model(images, x, name=name)


def hidden_layer(x, units, c, *, name):
    """Dense layer, normalization, activation, dropout.  (B, any) -> (B, units).

    With normalization the dense layer has no bias, as beta replaces it (arXiv:1502.03167, section 3.2).
    """
    x = layers.Dense(units, use_bias=c.normalization is None, name=name, **kernel(c))(x)
    if c.normalization:
        x = normalization(c.normalization, x.shape, groups=c.groups, name=f"{name}_norm")(x)
    x = ACTIVATIONS[c.activation](x)
    return layers.Dropout(c.dropout, name=f"{name}_dropout")(x) if c.dropout else x


def kernel(c):
    """Initializer and regularizer of a dense layer's kernel."""
    penalty = keras.regularizers.L2(c.l2) if c.l2 else None
    return dict(kernel_initializer=c.initializer, kernel_regularizer=penalty)
