"""Adaptive average pooling: averages a feature map over cells, sized to give the requested number of cells.

Source: PyTorch's adaptive pooling, which is one level of He et al. 2014, arXiv:1406.4729, section 2.2.
"""

import numpy as np
from keras import ops


def adaptive_average_pool(x, size):
    """(B, H, W, C) -> (B, *size, C), for any fixed H and W, larger or smaller than `size`.

    The result is float32, or x itself where its size is `size` already.  Two products with constant matrices compute
    it: Keras's own AdaptiveAveragePooling2D fails in a graph if a side is 1.
    """
    (height, width), (rows, columns) = x.shape[1:3], size
    if (height, width) == (rows, columns):
        return x
    x = ops.cast(x, "float32")  # as the matrices are: PyTorch multiplies no two kinds of numbers
    if height != rows:
        x = ops.einsum("bhwc,rh->brwc", x, cells(height, rows))
    if width != columns:
        x = ops.einsum("brwc,sw->brsc", x, cells(width, columns))
    return x


def cells(length, count):
    """(count, length): row i averages the pixels floor(i length / count) to ceil((i + 1) length / count), exclusive."""
    pixels, i = np.arange(length), np.arange(count)[:, None]
    inside = (pixels >= i * length // count) & (pixels < -(-(i + 1) * length // count))
    return (inside / inside.sum(axis=1, keepdims=True)).astype("float32")
