"""The block of language models: attention, attention to a second sequence, feed-forward network; each adds to x.

    block = TransformerBlock(MultiHeadAttention(12), FeedForward(4), epsilon=1e-5)
    x, keys_values = block(x, visible=causal)                           # training
    x, cache = block(x, cache=cache, position=position, visible=seen)   # one more token

Papers: Vaswani et al. 2017, arXiv:1706.03762, section 3.1 (normalization after each sum); Xiong et al. 2020,
arXiv:2002.04745, Fig. 1 (normalization first); root mean square: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
Shapes: B batch, T tokens, S keys, D width, h heads, g groups, d width of a head.
"""

from keras import layers

from tfdl.core.serial import serializable
from tfdl.layers.multi_head_attention import append

NORMALIZATIONS = ("layer", "rms")


def normalization(kind, *, epsilon, use_bias=True, name=None):
    """Over the last axis, "layer" or "rms" (no mean, no bias).  Raises ValueError for another kind."""
    if kind not in NORMALIZATIONS:
        raise ValueError(f"A transformer has the normalizations {' and '.join(NORMALIZATIONS)}, not {kind!r}.")
    if kind == "rms":
        return layers.RMSNormalization(epsilon=epsilon, name=name)
    return layers.LayerNormalization(epsilon=epsilon, center=use_bias, name=name)


@serializable
class TransformerBlock(layers.Layer):
    """One block.  (B, T, D) -> the same, and the keys and values of its attention, two of (B, g, S, d).

    Args:
        attention: a `MultiHeadAttention`.
        feed_forward: a layer (B, T, D) -> same that takes `training`.
        cross_attention: a `MultiHeadAttention` to the memory, in decoders; or None.
        kind: "layer" or "rms", of the normalizations.
        first: normalize before each branch; False is after each sum, as in the paper.
        epsilon: of the normalizations.
        use_bias: of layer normalizations.
        dropout: rate at the end of each branch.

    Call:
        visible, bias, rotation: of the attention, see there.
        cache: keys and values of S places, into which those of x are written from `position` on; None is x alone.
        memory: keys and values for `cross_attention`, from its `keys_values`.
        memory_visible: bool, broadcast to (B, h, T, keys of the memory).
        positions: added to the input of each attention's queries, and to that of the keys of x, but not to values:
            Carion et al. 2020, arXiv:2005.12872, Fig. 10.
    """

    def __init__(
        self,
        attention,
        feed_forward,
        cross_attention=None,
        *,
        kind="layer",
        first=True,
        epsilon,
        use_bias=True,
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # else `bias` would be rounded; the layers inside cast x themselves
        self.attention = attention
        self.cross_attention = cross_attention
        self.feed_forward = feed_forward
        self.first = first
        self.attention_norm = normalization(kind, epsilon=epsilon, use_bias=use_bias, name="attention_norm")
        if cross_attention is not None:
            self.cross_attention_norm = normalization(
                kind, epsilon=epsilon, use_bias=use_bias, name="cross_attention_norm"
            )
        self.feed_forward_norm = normalization(kind, epsilon=epsilon, use_bias=use_bias, name="feed_forward_norm")
        self.drop = layers.Dropout(dropout, name="drop")

    def build(self, shape):
        for layer in self._layers:
            layer.build(shape)

    def call(
        self,
        x,
        cache=None,
        position=None,
        visible=None,
        bias=None,
        rotation=None,
        memory=None,
        memory_visible=None,
        positions=None,
        training=False,
    ):
        x, keys_values = self.attend(x, cache, position, visible, bias, rotation, positions, training)
        if self.cross_attention is not None:
            y = self.before(self.cross_attention_norm, x)
            y = self.cross_attention(y, memory, visible=memory_visible, positions=positions, training=training)
            x = self.after(self.cross_attention_norm, x, y, training)
        y = self.feed_forward(self.before(self.feed_forward_norm, x), training=training)
        return self.after(self.feed_forward_norm, x, y, training), keys_values

    def attend(
        self, x, cache=None, position=None, visible=None, bias=None, rotation=None, positions=None, training=False
    ):
        """The first branch."""
        y = self.before(self.attention_norm, x)
        keys_values = self.attention.keys_values(y, rotation, positions)
        if cache is not None:
            keys_values = append(cache, keys_values, position)
        y = self.attention(
            y, keys_values, visible=visible, bias=bias, rotation=rotation, positions=positions, training=training
        )
        return self.after(self.attention_norm, x, y, training), keys_values

    def attention_map(self, x, visible=None, bias=None, rotation=None):
        """The weights (B, h, T, T) with which the tokens of x look at each other, for figures."""
        return self.attention.attention_map(
            self.before(self.attention_norm, x), visible=visible, bias=bias, rotation=rotation
        )

    def cross_attention_map(self, x, visible=None, bias=None, memory=None, memory_visible=None):
        """The weights (B, h, T, S) with which the tokens of x look at the memory, for figures."""
        x, _ = self.attend(x, visible=visible, bias=bias)
        y = self.before(self.cross_attention_norm, x)
        return self.cross_attention.attention_map(y, memory, visible=memory_visible)

    def before(self, norm, x):
        """A branch's input."""
        return norm(x) if self.first else x

    def after(self, norm, x, y, training):
        """The sum of x and a branch's output."""
        x = x + self.drop(y, training=training)
        return x if self.first else norm(x)
