"""Convolution -> batch normalization -> activation, the basic block of convolutional networks.

Source: Ioffe & Szegedy 2015, arXiv:1502.03167, section 3.2.
Shapes: B batch, H W height and width, C channels, s stride.
"""

from keras import layers


def conv_norm(
    x,
    channels,
    kernel=1,
    stride=1,
    *,
    groups=1,
    bias=False,
    activation=None,
    epsilon=1e-5,
    momentum=0.9,
    padding="both",
    dilation=1,
    name,
):
    """(B, H, W, C) -> (B, ceil(H/s), ceil(W/s), channels).

    `kernel` must be odd.  `groups == channels == C` is a depthwise convolution.  A `bias` has no effect, because the
    normalization subtracts it again, but some published weights have one.  `activation` is a function of tensors or
    None.  `epsilon` and `momentum` default to PyTorch's (whose momentum 0.1 is Keras's 0.9).
    `padding` decides how a convolution of stride 2 is padded.  "both": the same number of zeros on each side, as in
    PyTorch.  "same": as in TensorFlow, with one more below and on the right where the size is even.  "behind": all of
    them below and on the right, as in keras.applications' MobileNet V1.  Weights trained with one see an image shifted
    by one pixel under another.
    `dilation` is the distance of neighboring taps of the kernel, in pixels ("atrous" where it is above 1).

    Raises:
        ValueError: unknown padding, or an even kernel.
    """
    if padding not in ("both", "same", "behind"):
        raise ValueError(f'padding must be "both", "same" or "behind", not {padding!r}.')
    if kernel % 2 == 0:
        raise ValueError(f"conv_norm needs an odd kernel to pad both sides equally, not {kernel}.")
    options = dict(strides=stride, padding="same", use_bias=bias, name=f"{name}_conv")
    if dilation > 1:
        options["dilation_rate"] = dilation
    if stride > 1 and kernel > 1 and padding != "same":
        before = kernel // 2 if padding == "both" else 0
        x = layers.ZeroPadding2D(((before, kernel // 2),) * 2, name=f"{name}_pad")(x)
        options["padding"] = "valid"
    if groups == channels == x.shape[-1] and groups > 1:
        x = layers.DepthwiseConv2D(kernel, **options)(x)
    else:
        x = layers.Conv2D(channels, kernel, groups=groups, **options)(x)
    x = layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=f"{name}_norm")(x)
    return activation(x) if activation else x


def remove_strides(strides, count):
    """`strides` with the first `count` 2s replaced by 1, for images much smaller than a network was designed for.

    Raises:
        ValueError: `count` is negative or larger than the number of 2s.
    """
    strided = [i for i, stride in enumerate(strides) if stride == 2]
    if not 0 <= count <= len(strided):
        raise ValueError(f"strides_removed must be from 0 to {len(strided)}, not {count}.")
    return [1 if i in strided[:count] else stride for i, stride in enumerate(strides)]


def make_divisible(channels, divisor=8):
    """The multiple of `divisor` nearest to `channels`, but at least `divisor` and at least 90 % of `channels`.

    MobileNets and EfficientNets round scaled widths by this rule (from the authors' code, not the papers).
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
