"""The transformer block: attention mixes positions, a feed-forward network transforms each; both are residual.

Papers: Vaswani et al. 2017, arXiv:1706.03762, section 3.3; normalization first: Dosovitskiy et al. 2020,
arXiv:2010.11929, eq. 2 and 3.
Shapes: B batch, D width; "..." is any number of axes.
"""

import keras
from keras import layers

from tfdl.core.serial import serializable
from tfdl.layers.drop_path import DropPath
from tfdl.ops.activations import ACTIVATIONS, check_activation


def truncated_normal():
    """The initializer of transformers: normal with standard deviation 0.02, truncated at two, as in BERT and Swin."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


@serializable
class FeedForward(layers.Layer):
    """down(activation(up(x))), applied to each position separately, eq. 2 of section 3.3.  (..., D) -> same.

    Args:
        expansion: the hidden width is this many times D; 4 in most papers.
        activation: a key of ACTIVATIONS.
        dropout: dropout rate between the two dense layers.
        gated: compute down(activation(gate(x)) * up(x)) instead, with one more dense layer: Shazeer 2020,
            arXiv:2002.05202, eq. 6; SwiGLU if the activation is swish.
        use_bias: whether the dense layers have a bias.
        initializer: a function that gives the initializer of a kernel; None is `truncated_normal`.

    Raises:
        ValueError: unknown activation.
    """

    def __init__(
        self,
        expansion=4.0,
        activation="gelu",
        dropout=0.0,
        gated=False,
        use_bias=True,
        initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_activation(activation, owner="FeedForward")
        self.expansion = expansion
        self.activation = activation
        self.dropout = dropout
        self.gated = gated
        self.use_bias = use_bias
        self.initializer = initializer

    def build(self, shape):
        width = shape[-1]
        inner = round(self.expansion * width)
        activation = ACTIVATIONS[self.activation]
        self.up = self.dense(inner, "up", None if self.gated else activation)
        if self.gated:
            self.gate = self.dense(inner, "gate", activation)
            self.gate.build(shape)
        self.drop = layers.Dropout(self.dropout, dtype=self.dtype_policy, name="drop")
        self.down = self.dense(width, "down")
        self.up.build(shape)
        self.down.build((*shape[:-1], inner))

    def dense(self, units, name, activation=None):
        return layers.Dense(
            units,
            activation=activation,
            use_bias=self.use_bias,
            kernel_initializer=(self.initializer or truncated_normal)(),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, x, training=False):
        y = self.up(x)
        if self.gated:
            y = self.gate(x) * y
        return self.down(self.drop(y, training=training))

    def compute_output_shape(self, shape):
        return shape  # saves Keras from tracing `call` to find out


def pre_norm_block(x, attention, *, expansion=4.0, activation="gelu", epsilon, dropout=0.0, drop_path=0.0, name):
    """x + attention(norm(x)), then x + feed_forward(norm(x)): ViT's eq. 2 and 3.  (B, ..., D) -> same.

    Args:
        x: tokens or a feature map.
        attention: a layer that keeps the shape; `SelfAttention` in ViT, `WindowAttention` in Swin.
        expansion, activation: of the feed-forward network.
        epsilon: of both layer normalizations.
        dropout: rate inside the feed-forward network and at the end of each branch.
        drop_path: rate at which training skips a branch.
        name: prefix of the layers' names.
    """
    mlp = FeedForward(expansion, activation, dropout, name=f"{name}_mlp")
    for i, branch in enumerate((attention, mlp), 1):
        y = branch(layers.LayerNormalization(epsilon=epsilon, name=f"{name}_norm{i}")(x))
        if dropout:
            y = layers.Dropout(dropout, name=f"{name}_dropout{i}")(y)
        if drop_path:
            y = DropPath(drop_path, name=f"{name}_drop_path{i}")(y)
        x = layers.Add(name=f"{name}_add{i}")([x, y])
    return x
