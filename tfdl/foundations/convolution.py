"""Convolution in the automatic differentiation engine: windows become rows (im2col), then one matrix product does it.

`im2col` copies every window out of the images, `col2im` adds windows back to where they came from.  Each is the other's
gradient rule, so convolutions can be differentiated any number of times.

Source: Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for Document Processing", section 2.1.
Shapes: B batch, H W height and width of the images, H' W' of the result, K L of the kernel, C D channels in and out.
"""

import itertools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tfdl.foundations.autodiff import Tensor, scatter


def conv2d(images, kernel, *, stride=1, padding="valid"):
    """Cross-correlation as one matrix product: every window of the images becomes a row (im2col).

    Args:
        images: Tensor (B, H, W, C).
        kernel: Tensor (K, L, C, D).
        stride: of the windows, in both directions.
        padding: "valid", or "same": zeros around, an odd one below and right, so that H' = ceil(H / stride).

    Returns:
        Tensor (B, H', W', D).

    Raises:
        ValueError: ranks, channels, stride or padding do not fit, or the kernel is larger than the (padded) images.
    """
    if images.ndim != 4 or kernel.ndim != 4 or images.shape[3] != kernel.shape[2]:
        raise ValueError(
            f"conv2d takes images (B, H, W, C) and a kernel (K, L, C, D), not {images.shape} and {kernel.shape}."
        )
    if stride < 1 or padding not in ("valid", "same"):
        raise ValueError(f'conv2d takes a stride >= 1 and padding "valid" or "same", not {stride} and {padding!r}.')
    window, (channels, filters) = kernel.shape[:2], kernel.shape[2:]
    if padding == "same":
        totals = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(images.shape[1:3], window)]
        inner = [slice(t // 2, t // 2 + n) for t, n in zip(totals, images.shape[1:3])]
        b, h, w, c = images.shape
        images = scatter(images, (slice(None), *inner), (b, h + totals[0], w + totals[1], c))
    if window[0] > images.shape[1] or window[1] > images.shape[2]:
        raise ValueError(f"The kernel {kernel.shape} does not fit into the images {images.shape}: use padding='same'.")
    columns = im2col(images, window, stride)  # (B, H', W', K, L, C)
    rows = columns.reshape(-1, window[0] * window[1] * channels)  # (B H' W', K L C)
    return (rows @ kernel.reshape(-1, filters)).reshape(*columns.shape[:3], filters)


def im2col(images, window, stride):
    """All windows of the images.  (B, H, W, C) -> (B, H', W', K, L, C)."""
    views = sliding_window_view(images.value, window, axis=(1, 2))[:, ::stride, ::stride]  # (B, H', W', C, K, L)
    rule = (images, lambda g, y: col2im(g, stride, images.shape))
    return Tensor(views.transpose(0, 1, 2, 4, 5, 3), (rule,), "im2col")


def col2im(columns, stride, shape):
    """Adds the windows up where they came from.  (B, H', W', K, L, C) -> `shape` (B, H, W, C)."""
    _, high, wide, *window, _ = columns.shape
    value = np.zeros(shape, columns.dtype)
    for i, j in itertools.product(*map(range, window)):  # within one place of the window no two windows overlap
        value[:, i : i + stride * high : stride, j : j + stride * wide : stride] += columns.value[:, :, :, i, j]
    return Tensor(value, ((columns, lambda g, y: im2col(g, tuple(window), stride)),), "col2im")
