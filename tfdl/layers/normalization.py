"""Batch, layer, instance and group normalization: one formula that averages over four different sets of axes.

    y = gamma (x - mean) / sqrt(variance + epsilon) + beta

AXES lists the axes over which mean and variance are computed; each index along the other axes has its own statistics:

    kind      (B, H, W, C)           (B, C)             statistics   gamma, beta   source
    batch     B, H, W                B                  C            C             Ioffe & Szegedy 2015
    layer     H, W, C                C                  B            H W C, or C   Ba et al. 2016
    instance  H, W                   -                  B C          C             Ulyanov et al. 2016
    group     H, W, C of its group   C of its group     B groups     C             Wu & He 2018

Group normalization with one group averages like layer normalization, with C groups like instance normalization.
Instance normalization of (B, C) would subtract each value from itself and return only beta.  Only batch normalization
makes a sample depend on its batch; in inference it uses moving averages instead.  Source: arXiv:1502.03167 (batch),
1607.06450 (layer), 1607.08022 (instance), 1803.08494 (group, with all four in its Fig. 2).
"""

from keras import layers

AXES = {
    "batch": {4: (0, 1, 2), 2: (0,)},
    "layer": {4: (1, 2, 3), 2: (1,)},
    "instance": {4: (1, 2)},
    "group": {4: (1, 2, 3), 2: (1,)},  # of (B, H, W, C/groups) and (B, C/groups), for each group separately
}


def normalization(kind, shape, *, groups=32, affine=True, epsilon=1e-5, momentum=0.9, name=None):
    """The Keras layer for tensors of `shape`, with the defaults of PyTorch's layer of the same kind.

    Args:
        kind: a key of AXES.
        shape: (B, H, W, C) or (B, C), as `x.shape`; B may be None, H and W too unless the kind is "layer".
        groups: of channels, for "group"; 32 is the paper's.
        affine: whether gamma and beta are learned.  PyTorch's instance normalization has neither by default.
        epsilon: PyTorch's default; Keras's is 1e-3.
        momentum: weight of the old moving average in an update, for "batch": 1 minus PyTorch's momentum.

    PyTorch's moving variance is the unbiased estimate, n / (n - 1) times Keras's biased one; the paper's Algorithm 2
    agrees with PyTorch.  The two differ by that factor in inference, and not at all in training.  Statistics are
    computed in float32 under every dtype policy.

    Raises:
        ValueError: unknown kind, a shape that the kind does not support, or groups that do not divide the channels.
    """
    if kind not in AXES:
        raise ValueError(f"There is no normalization {kind!r}; choose one of {', '.join(AXES)}.")
    shape = tuple(shape)
    if len(shape) not in AXES[kind]:
        ranks = " or ".join({4: "(B, H, W, C)", 2: "(B, C)"}[rank] for rank in AXES[kind])
        raise ValueError(f"{kind} normalization needs a shape {ranks}, not {shape}.")
    options = dict(center=affine, scale=affine, epsilon=epsilon, name=name)
    if kind == "batch":
        return layers.BatchNormalization(momentum=momentum, **options)
    if kind == "layer":
        if None in shape[1:]:
            raise ValueError(f"layer normalization needs fixed sizes after the batch axis, not {shape}.")
        return layers.LayerNormalization(axis=list(AXES[kind][len(shape)]), **options)
    channels = shape[-1]
    if kind == "instance":
        return layers.GroupNormalization(groups=channels, **options)
    if groups < 1 or channels % groups:
        raise ValueError(f"{groups} groups do not divide {channels} channels; choose a divisor of {channels}.")
    return layers.GroupNormalization(groups=groups, **options)
