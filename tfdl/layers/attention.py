"""Attention: each position compares its query with the keys of all positions and averages their values accordingly.

Papers: Vaswani et al. 2017, arXiv:1706.03762, section 3.2, eq. 1; windows with relative positions: Liu et al. 2021,
arXiv:2103.14030 (Swin), section 3.2, eq. 4.
Shapes: B batch, T queries, S keys, D width, h heads, d = D/h width of a head, H W height and width of a feature map,
w side of a window, n windows, N = w w positions in a window.  "..." is any number of axes: the batch, or batch and
windows.
"""

import math

import numpy as np
from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.layers.positions import resize_grid
from tfdl.layers.transformer import truncated_normal
from tfdl.ops.windows import crop, merge, partition, relative_positions, shift, shifted_window_mask

MASKED = -1e9  # a score whose softmax is 0; finite, so that a query whose keys are all masked gets a mean and not NaN
WINDOW_MASKED = -100.0  # added by Swin's authors; its softmax is 0 too, and 8-bit biases keep some of their range


def attention_weights(q, k, *, bias=None, visible=None, scale=None):
    """softmax(q k^T / sqrt(d) + bias).  (..., T, d), (..., S, d) -> (..., T, S) float32; each row sums to 1.

    Args:
        q, k: queries and keys; k may have fewer heads, see `product`.
        bias: added to the scores, broadcast to (..., T, S).
        visible: attention mask, bool, broadcast to (..., T, S): true where the query may attend to the key.
        scale: factor of the scores; None is 1 / sqrt(d).
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = product(q * scale, ops.swapaxes(k, -1, -2))  # (..., T, S)
    scores = ops.cast(scores, "float32")  # softmax sums many small numbers, which 16 bits would round away
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    if visible is not None:
        scores = ops.where(visible, scores, MASKED)
    return ops.softmax(scores)


def attend(q, k, v, *, bias=None, visible=None, scale=None):
    """Eq. 1.  Queries (..., T, d), keys (..., S, d), values (..., S, e) -> (..., T, e)."""
    weights = attention_weights(q, k, bias=bias, visible=visible, scale=scale)
    return product(ops.cast(weights, v.dtype), v)


def product(x, y):
    """x y for each head.  (..., h, T, n), (..., g, n, m) -> (..., h, T, m): h/g heads in a row share a matrix of y.

    Sharing is that of grouped queries: Ainslie et al. 2023, arXiv:2305.13245.
    """
    if len(x.shape) < 3 or x.shape[-3] == y.shape[-3]:
        return ops.matmul(x, y)
    *batch, heads, queries, inner = ops.shape(x)
    groups = y.shape[-3]
    rows = ops.reshape(x, (*batch, groups, heads // groups * queries, inner))
    return ops.reshape(ops.matmul(rows, y), (*batch, heads, queries, y.shape[-1]))


def split_heads(x, heads):
    """(..., T, D) -> (..., h, T, d)."""
    x = ops.reshape(x, (*ops.shape(x)[:-1], heads, x.shape[-1] // heads))  # (..., T, h, d)
    return ops.swapaxes(x, -2, -3)


def merge_heads(x):
    """The inverse of `split_heads`.  (..., h, T, d) -> (..., T, D)."""
    x = ops.swapaxes(x, -2, -3)  # (..., T, h, d)
    return ops.reshape(x, (*ops.shape(x)[:-2], x.shape[-2] * x.shape[-1]))


@serializable
class SelfAttention(layers.Layer):
    """Multi-head self-attention, section 3.2.2.  (..., T, D) -> same, with 4 D^2 + 4 D weights.

    One dense layer computes queries, keys and values, in this order, D columns each: one large matrix product instead
    of three.

    Args:
        heads: number of heads; must divide D.
        use_bias: whether both dense layers have a bias.

    Call:
        bias: added to the scores, broadcast to (..., h, T, T); stays float32 under mixed precision.
        visible: attention mask, bool, broadcast to (..., h, T, T): true where a query may attend to a key.

    Raises:
        ValueError: the heads do not divide D.
    """

    def __init__(self, heads, use_bias=True, **kwargs):
        super().__init__(autocast=False, **kwargs)  # autocast would round `bias`; the dense layers cast x themselves
        self.heads = heads
        self.use_bias = use_bias

    def build(self, shape):
        width = shape[-1]
        if self.heads < 1 or width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {width}; choose a divisor of {width}.")
        options = dict(use_bias=self.use_bias, kernel_initializer=truncated_normal(), dtype=self.dtype_policy)
        self.qkv = layers.Dense(3 * width, name="qkv", **options)
        self.project = layers.Dense(width, name="project", **options)
        self.qkv.build(shape)
        self.project.build(shape)

    def call(self, x, bias=None, visible=None):
        y = attend(*self.queries_keys_values(x), bias=bias, visible=visible)  # (..., h, T, d)
        return self.project(merge_heads(y))

    def compute_output_shape(self, shape):
        return shape  # saves Keras from tracing `call` to find out

    def queries_keys_values(self, x):
        """Queries, keys and values, each (..., h, T, d)."""
        return [split_heads(part, self.heads) for part in ops.split(self.qkv(x), 3, axis=-1)]

    def attention_map(self, x, bias=None, visible=None):
        """The attention weights (..., h, T, T), for figures."""
        q, k, _ = self.queries_keys_values(x)
        return attention_weights(q, k, bias=bias, visible=visible)

    def multiply_adds(self, shape):
        """For one sample (..., T, D): 4 T D^2 in the dense layers, and T^2 D in each of eq. 1's two products."""
        *_, tokens, width = shape
        return math.prod(shape[1:-1]) * (4 * width**2 + 2 * tokens * width)


@serializable
class WindowAttention(layers.Layer):
    """Self-attention inside windows of w x w, with a learned bias for each relative position.  (B, H, W, D) -> same.

    The map is padded with zeros below and to the right until windows tile it, as in torchvision; the zeros are not
    masked.  With `shifted` the map first moves by w/2, so that positions on both sides of the previous layer's window
    borders attend to each other; an axis with a single window is not shifted.

    Args:
        heads: number of heads; must divide D.
        window: side w of a window.
        shifted: whether to shift the map first.

    Raises:
        ValueError: the heads do not divide D, or H or W is not fixed.
    """

    def __init__(self, heads, window, shifted=False, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.window = window
        self.shifted = shifted

    def build(self, shape):
        _, height, width, channels = shape
        if None in (height, width):
            raise ValueError(f"WindowAttention needs a map of fixed height and width, not {tuple(shape)}.")
        window = self.window
        self.padded = tuple(-(-side // window) * window for side in (height, width))
        self.distance = tuple(window // 2 * (self.shifted and side > window) for side in self.padded)
        visible = shifted_window_mask(*self.padded, window, *self.distance)  # (n, N, N)
        self.mask_bias = np.where(visible, 0.0, WINDOW_MASKED).astype("float32")[:, None]  # (n, 1, N, N)
        self.pairs = relative_positions(window)  # (N, N)
        self.relative_position_bias_table = self.add_weight(
            name="relative_position_bias_table",
            shape=((2 * window - 1) ** 2, self.heads),
            initializer=truncated_normal(),
            autocast=False,  # it is added to float32 scores
        )
        self.attention = SelfAttention(self.heads, dtype=self.dtype_policy, name="attention")
        self.attention.build((None, len(visible), window * window, channels))

    def call(self, x):
        _, height, width, _ = x.shape
        rows, columns = self.padded
        if self.padded != (height, width):
            x = ops.pad(x, ((0, 0), (0, rows - height), (0, columns - width), (0, 0)))
        x = partition(shift(x, *self.distance), self.window)  # (B, n, N, D)
        x = self.attention(x, bias=self.bias())
        x = shift(merge(x, rows, columns), *(-d for d in self.distance))
        return crop(x, height, width)

    def compute_output_shape(self, shape):
        return shape  # saves Keras from tracing `call` to find out

    def bias(self):
        """Eq. 4's B for each pair and head, plus WINDOW_MASKED where a pair is masked.  (n or 1, h, N, N)."""
        table = ops.take(self.relative_position_bias_table, self.pairs, axis=0)  # (N, N, h)
        bias = ops.transpose(table, (2, 0, 1))[None]  # (1, h, N, N)
        return ops.add(bias, self.mask_bias) if any(self.distance) else bias

    def multiply_adds(self, shape):
        """For one map (H, W, D): those of all windows, padding included."""
        windows = math.prod(self.padded) // self.window**2
        return self.attention.multiply_adds((None, windows, self.window**2, shape[-1]))

    def resized(self, table):
        """A table ((2 v - 1)^2, h) for another window side v, resized bicubically to this window (section 3.2)."""
        return resize_grid(table, (2 * self.window - 1,) * 2)
