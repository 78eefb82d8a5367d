"""Squeeze-and-excitation: each channel is multiplied by a gate computed from the whole image.

Paper: Hu et al. 2018, arXiv:1709.01507, Fig. 2 and eq. 2-4; gate of MobileNetV3: Howard et al. 2019, arXiv:1905.02244.
Shapes: B batch, H W height and width, C channels.
"""

from keras import layers, ops

from tfdl.ops.activations import hard_sigmoid


def squeeze_excite(x, channels, *, activation=ops.relu, gate=hard_sigmoid, name):
    """(B, H, W, C) -> same; the bottleneck has `channels` (a quarter of C in MobileNetV3).

    1x1 convolutions replace the paper's dense layers: they compute the same and need no reshape in an exported graph.
    """
    s = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)  # (B, 1, 1, C)
    s = activation(layers.Conv2D(channels, 1, name=f"{name}_reduce")(s))  # (B, 1, 1, channels)
    s = gate(layers.Conv2D(x.shape[-1], 1, name=f"{name}_expand")(s))  # (B, 1, 1, C)
    return layers.Multiply(name=f"{name}_scale")([x, s])
