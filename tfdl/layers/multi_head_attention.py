"""Attention of language models: to the sequence itself or to another, with grouped queries, rotations and a cache.

    own = attention.keys_values(x, rotation)                    # what a cache stores
    y = attention(x, own, visible=causal, rotation=rotation)

Papers: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2; grouped queries: Ainslie et al. 2023, arXiv:2305.13245;
rotations: Su et al. 2021, arXiv:2104.09864.
Shapes: B batch, T queries, S keys, D width, h heads, g groups that share keys and values, d width of a head.
"""

import math

from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.layers.attention import attention_weights, merge_heads, product, split_heads
from tfdl.layers.transformer import truncated_normal
from tfdl.ops.positions import rotate


@serializable
class MultiHeadAttention(layers.Layer):
    """Section 3.2.2 with four dense layers.  (B, T, D) -> same.

    Args:
        heads: h.
        groups: g, whose keys and values h/g heads share; None is h, so that nothing is shared.
        head_width: d; None is D/h.
        use_bias: of queries, keys and values.
        output_bias: of the last dense layer; None is `use_bias`.
        scale: factor of the scores; None is 1 / sqrt(d).
        dropout: rate at which attention weights are set to 0 in training.
        initializer: a function that gives the initializer of a kernel; None is `truncated_normal`.
        query_initializer: the same of the queries'; None is `initializer`.

    Call:
        keys_values: from `keys_values`, of another sequence or a cache; None is those of x itself.
        bias: added to the scores, broadcast to (B, h, T, S).
        visible: bool, broadcast to (B, h, T, S): true where a query may see a key.
        rotation: from `tfdl.ops.positions.rotations` for the positions of x, or None.
        positions: added to x where it gives queries and keys, but not values; broadcasts to (B, T, D).

    Raises:
        ValueError: the heads do not divide D where `head_width` is None, or the groups do not divide the heads.
    """

    def __init__(
        self,
        heads,
        groups=None,
        head_width=None,
        use_bias=True,
        output_bias=None,
        scale=None,
        dropout=0.0,
        initializer=None,
        query_initializer=None,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # else `bias` would be rounded; the dense layers cast x themselves
        self.heads = heads
        self.groups = groups
        self.head_width = head_width
        self.use_bias = use_bias
        self.output_bias = output_bias
        self.scale = scale
        self.dropout = dropout
        self.initializer = initializer
        self.query_initializer = query_initializer

    def build(self, shape):
        width, heads, groups = shape[-1], self.heads, self.groups or self.heads
        if heads < 1 or groups < 1 or heads % groups:
            raise ValueError(f"{groups} groups do not divide {heads} heads; choose a divisor of {heads}.")
        if self.head_width is None and width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}; choose a divisor of {width}.")
        head_width = self.head_width or width // heads
        output_bias = self.use_bias if self.output_bias is None else self.output_bias

        initializer = self.initializer or truncated_normal

        def dense(name, units, use_bias, initializer=initializer):
            return layers.Dense(
                units, use_bias=use_bias, kernel_initializer=initializer(), dtype=self.dtype_policy, name=name
            )

        self.query = dense("query", heads * head_width, self.use_bias, self.query_initializer or initializer)
        self.key = dense("key", groups * head_width, self.use_bias)
        self.value = dense("value", groups * head_width, self.use_bias)
        self.output_projection = dense("output", width, output_bias)
        self.drop = layers.Dropout(self.dropout, dtype=self.dtype_policy, name="drop")
        for layer in (self.query, self.key, self.value):
            layer.build(shape)
        self.output_projection.build((*shape[:-1], heads * head_width))

    def keys_values(self, x, rotation=None, positions=None):
        """Keys and values of a sequence.  (B, S, D) -> two of (B, g, S, d)."""
        groups = self.groups or self.heads
        keys, values = split_heads(self.key(moved(x, positions)), groups), split_heads(self.value(x), groups)
        return (rotate(keys, rotation) if rotation is not None else keys), values

    def queries(self, x, rotation=None, positions=None):
        """(B, T, D) -> (B, h, T, d)."""
        queries = split_heads(self.query(moved(x, positions)), self.heads)
        return rotate(queries, rotation) if rotation is not None else queries

    def call(self, x, keys_values=None, bias=None, visible=None, rotation=None, positions=None, training=False):
        keys, values = self.keys_values(x, rotation, positions) if keys_values is None else keys_values
        queries = self.queries(x, rotation, positions)
        weights = attention_weights(queries, keys, bias=bias, visible=visible, scale=self.scale)  # (B, h, T, S)
        weights = self.drop(ops.cast(weights, values.dtype), training=training)
        return self.output_projection(merge_heads(product(weights, values)))

    def attention_map(self, x, keys_values=None, bias=None, visible=None, rotation=None):
        """The attention weights (B, h, T, S), for figures."""
        keys, _ = self.keys_values(x, rotation) if keys_values is None else keys_values
        return attention_weights(self.queries(x, rotation), keys, bias=bias, visible=visible, scale=self.scale)

    def compute_output_shape(self, shape):
        return shape  # saves Keras from tracing `call` to find out

    def multiply_adds(self, shape):
        """Of one sequence (T, D) that attends to itself: dense layers, and T^2 h d in each of eq. 1's two products."""
        tokens = math.prod(shape[1:-1])
        dense = sum(math.prod(layer.kernel.shape) for layer in (self.query, self.key, self.value))
        dense += math.prod(self.output_projection.kernel.shape)
        return tokens * dense + 2 * tokens**2 * self.query.units


def moved(x, positions):
    """x plus its positions, in the precision of x; None adds nothing."""
    return x if positions is None else x + ops.cast(positions, x.dtype)


def append(cache, new, position):
    """Writes keys and values of new tokens into a cache of fixed length, from `position` on.

    Args:
        cache: keys and values, two of (B, g, S, d).
        new: those of the new tokens, two of (B, g, T, d).
        position: int32 scalar, at most S - T.

    Returns:
        the new cache, two of (B, g, S, d).
    """
    start = [0, 0, position, 0]
    return tuple(ops.slice_update(old, start, ops.cast(part, old.dtype)) for old, part in zip(cache, new))
