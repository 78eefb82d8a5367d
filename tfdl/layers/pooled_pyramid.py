"""Pooled pyramid: what is the largest within windows of several sizes, beside the map itself.

Source: He et al. 2014, arXiv:1406.4729 (SPP), as the YOLO networks have it since YOLOv3: windows of the map's own
resolution, Terven et al. 2023, arXiv:2304.00501, section 9.
Shapes: B batch, H W height and width, C channels.
"""

from keras import layers


def pooled_pyramid(x, conv, *, window=5, times=3, name):
    """Windows of 5, 9 and 13 by pooling three times by 5 ("SPPF").  (B, H, W, C) -> same.

    Args:
        conv: (x, channels, name=...) -> the 1x1 convolution before and after, with its norm and activation.
        window: side of the pooling.
        times: how often it is repeated.
    """
    channels = x.shape[-1]
    parts = [conv(x, channels // 2, name=f"{name}_in")]
    for i in range(times):
        parts.append(layers.MaxPooling2D(window, 1, padding="same", name=f"{name}_pool{i + 1}")(parts[-1]))
    return conv(layers.Concatenate(name=f"{name}_parts")(parts), channels, name=f"{name}_out")
