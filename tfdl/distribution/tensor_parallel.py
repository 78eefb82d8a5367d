"""Tensor parallelism: each device has a part of every matrix, and all compute on the same tokens at the same time.

Paper: Shoeybi et al. 2019, arXiv:1909.08053 (Megatron-LM), section 3, Fig. 3.
Two dense layers with an elementwise function between them, y = f(x A) B, need no communication in between if A is split
by columns and B by rows: y = sum over i of f(x A_i) B_i.  Attention works likewise, with queries, keys and values as A,
split by heads.  The sum is the only all-reduce of the forward pass; the gradient of x, also a sum over devices, is that
of the backward pass.
Shapes: n devices, D width, I hidden width, h heads.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tfdl.distribution.placement import check_devices, on
from tfdl.layers.attention import SelfAttention, attend, merge_heads, split_heads
from tfdl.layers.transformer import FeedForward


def split(model, devices):
    """A functional model with every `SelfAttention` and `FeedForward` split into n parts, one on each device.

    Everything else (embeddings, normalizations, the head, attention inside other layers) is on the first device.  The
    new model has a copy of the weights, which `placement.copy_weights` copies back, and is trained by `fit` like the
    old one.  Optimizers that depend on whole matrices (`clipnorm`, Adafactor, Muon) see the parts.

    Args:
        model: built functional `keras.Model`.
        devices: n names, for example ("GPU:0", "GPU:1").

    Raises:
        ValueError: unknown device, no layer that can be split, or a layer that `Split` refuses.
    """
    devices = check_devices(devices)
    if not any(isinstance(layer, SPLITTABLE) for layer in model.layers):
        raise ValueError(
            f"{model.name} has no SelfAttention and no FeedForward layer to split. Use a pipeline, or replace its pairs"
            " of Dense layers by Split layers."
        )

    def twin(layer):
        return Split(layer, devices) if isinstance(layer, SPLITTABLE) else type(layer).from_config(layer.get_config())

    with tf.device(devices[0]):
        parallel = keras.models.clone_model(model, clone_function=twin)
    for layer in model.layers:
        if not isinstance(layer, SPLITTABLE):
            parallel.get_layer(layer.name).set_weights(layer.get_weights())
    return parallel


class Split(layers.Layer):
    """Two dense layers, the first split by columns and the second by rows.  (..., D) -> as the unsplit layer.

    Args:
        layer: built `SelfAttention` or `FeedForward`, or a list of two built `Dense` layers with an elementwise
            activation between them.
        devices: n names; n must divide the heads or, without attention, the hidden units.

    Call:
        visible: attention mask, bool, broadcast to (..., h, T, T): true where a query may attend to a key.

    Raises:
        ValueError: unknown device, or a layer that is not built, of another kind, or not divisible by n.
    """

    def __init__(self, layer, devices):
        name, column, row, self.heads = anatomy(layer)
        super().__init__(name=name, dtype=column.dtype_policy)
        self.supports_jit = False  # XLA compiles for one device
        self.devices = check_devices(devices)
        count = len(self.devices)
        check_divisible(name, column, row, self.heads, count)
        self.groups = 3 if self.heads else 1  # queries, keys and values are split separately
        kernels = split_columns(column.kernel, self.groups, count)
        biases = split_columns(column.bias, self.groups, count) if column.use_bias else [None] * count
        self.columns, self.rows = [], []
        for i, down in enumerate(np.split(row.kernel.numpy(), count)):
            with tf.device(self.devices[i]):
                self.columns.append(dense(kernels[i], biases[i], column.activation, like=column, name=f"column{i}"))
                self.rows.append(dense(down, None, None, like=row, name=f"row{i}"))
        self.activation, self.row_bias = row.activation, None
        if row.use_bias:
            with tf.device(self.devices[0]):  # added once, to the sum
                self.row_bias = self.add_weight(shape=row.bias.shape, trainable=row.trainable, name="row_bias")
            self.row_bias.assign(row.bias)
        self.built = True

    def call(self, x, visible=None):
        partial = [on(device, self.part(i, visible))(x) for i, device in enumerate(self.devices)]  # n times (..., D)
        with tf.device(self.devices[0]):
            y = tf.add_n(partial)  # the all-reduce: a sum, which the next layer broadcasts to all devices
            return self.activation(y if self.row_bias is None else y + self.row_bias)

    def part(self, i, visible):
        """The function that device i computes: f(x A_i) B_i."""

        def part(x):
            y = self.columns[i](x)  # (..., I / n), or (..., 3 D / n)
            if self.heads:
                heads = self.heads // len(self.devices)
                q, k, v = (split_heads(t, heads) for t in ops.split(y, 3, axis=-1))  # each (..., h / n, T, d)
                y = merge_heads(attend(q, k, v, visible=self.of_heads(visible, i * heads, heads)))
            return self.rows[i](y)  # (..., D)

        return part

    def of_heads(self, visible, start, count):
        """The part of `visible` for some of the heads; all of it if it is the same for all heads."""
        each = visible is not None and len(visible.shape) > 2 and visible.shape[-3] == self.heads
        return visible[..., start : start + count, :, :] if each else visible

    def merged_weights(self):
        """The weights of the unsplit layer in the order of its `get_weights`: kernel, bias, kernel, bias (NumPy)."""
        weights = [join_columns([part.kernel for part in self.columns], self.groups)]
        if self.columns[0].use_bias:
            weights.append(join_columns([part.bias for part in self.columns], self.groups))
        weights.append(np.concatenate([part.kernel.numpy() for part in self.rows]))
        return weights if self.row_bias is None else [*weights, self.row_bias.numpy()]


SPLITTABLE = (SelfAttention, FeedForward)
KINDS = ("kernel", "bias")


def anatomy(layer):
    """Name, first and second dense layer, and the number of heads of the attention in between (None: no attention)."""
    pair = list(layer) if isinstance(layer, (list, tuple)) else [layer]
    if len(pair) == 2 and all(isinstance(part, layers.Dense) for part in pair):
        name = "_".join(part.name for part in pair)
    elif len(pair) == 1 and isinstance(layer, SPLITTABLE):
        name = layer.name
    else:
        kinds = " and ".join(type(part).__name__ for part in pair)
        raise ValueError(f"{kinds} can't be split: give a SelfAttention, a FeedForward or a list of two Dense layers.")
    if not all(part.built for part in pair):
        raise ValueError(f"{name} has no weights to split yet. Build it first: call it once.")
    if len(pair) == 2:
        return name, *pair, None
    if isinstance(layer, SelfAttention):
        return name, layer.qkv, layer.project, layer.heads
    if layer.dropout:
        raise ValueError(
            f"{name} has dropout {layer.dropout} between its dense layers; several devices would draw other masks than"
            " one. Build it with dropout=0."
        )
    return name, layer.up, layer.down, None


def check_divisible(name, column, row, heads, count):
    """Raises ValueError if the layer can't be divided evenly among `count` devices, or would compute something else."""
    units, what = (heads, "heads") if heads else (column.units, "units between its dense layers")
    if units % count:
        fitting = ", ".join(str(n) for n in range(1, units + 1) if units % n == 0 and n <= 16)
        raise ValueError(f"{count} devices do not divide the {units} {what} of {name}; use one of {fitting}.")
    if column.losses or row.losses or any(getattr(x, f"{w}_constraint") for x in (column, row) for w in KINDS):
        raise ValueError(
            f"{name} has a regularizer or a constraint on its whole weights, which are on different devices. Use the"
            " optimizer's weight decay instead: AdamW."
        )
    probe = np.linspace(-3, 3, column.units, dtype="float32")[None]
    half = column.units // 2
    if half and not np.allclose(column.activation(probe)[:, :half], column.activation(probe[:, :half]), atol=1e-6):
        raise ValueError(
            f"The activation between the dense layers of {name} mixes units (as softmax does), which are on different"
            " devices. Split only layers with an elementwise activation."
        )


def dense(kernel, bias, activation, *, like, name):
    """A dense layer with these weights (bias None: no bias), and the precision and trainability of the layer `like`."""
    part = layers.Dense(kernel.shape[1], activation, bias is not None, dtype=like.dtype_policy, name=name)
    part.build((None, kernel.shape[0]))
    part.set_weights([kernel] if bias is None else [kernel, bias])
    part.trainable = like.trainable
    return part


def split_columns(weight, groups, count):
    """(..., groups * I) -> `count` arrays (..., groups * I / count), each with a part of every group."""
    weight = np.asarray(weight)
    parts = np.split(weight.reshape(*weight.shape[:-1], groups, -1), count, axis=-1)
    return [part.reshape(*weight.shape[:-1], -1) for part in parts]


def join_columns(parts, groups):
    """The inverse of `split_columns`."""
    parts = [np.asarray(part) for part in parts]
    rest = parts[0].shape[:-1]
    return np.concatenate([part.reshape(*rest, groups, -1) for part in parts], axis=-1).reshape(*rest, -1)
