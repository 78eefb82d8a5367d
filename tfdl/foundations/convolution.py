"""Convolution and pooling in the automatic differentiation engine: windows become rows of one matrix product.

`im2col` copies every window out of the images, `col2im` adds windows back at their positions.  Each is the other's
gradient rule, so everything built on them here can be differentiated any number of times: the gradient of a
convolution's images is `col2im` of a product, the gradient of a maximum goes to the largest pixel.

Source: Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for Document Processing", section 2.1;
strides, padding and dilation: Dumoulin and Visin 2016, arXiv:1603.07285, chapters 2, 3 and section 5.1.
Shapes: B batch, H W height and width of the images, H' W' of the result, K L of the kernel, C D channels in and out,
G groups.
"""

import itertools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tfdl.foundations.autodiff import Tensor, grad, scatter, where

KERNELS = {  # (K, L), for cross-correlation; the first four sum to 1 and so preserve brightness
    "identity": np.pad([[1.0]], 1),
    "box blur": np.full((5, 5), 1 / 25),
    "binomial blur": np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256,  # close to a Gaussian of standard deviation 1
    "sharpen": np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),  # identity minus Laplace
    "Laplace": np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]),  # sum of the second derivatives
    "Sobel across": np.outer([1, 2, 1], [-1.0, 0, 1]),  # difference of columns, smoothed along them
    "Sobel down": np.outer([-1.0, 0, 1], [1, 2, 1]),
    "emboss": np.array([[-2.0, -1, 0], [-1, 0, 1], [0, 1, 2]]),  # slope along the diagonal: light from the top left
}


def conv2d(images, kernel, *, stride=1, padding="valid", dilation=1, groups=1):
    """Cross-correlation as one matrix product: every window of the images becomes a row (im2col).

    Args:
        images: Tensor (B, H, W, C).
        kernel: Tensor (K, L, C/G, D).
        stride: of the windows, in both directions.
        padding: "valid", or "same": zeros around, an odd one below and right, so that H' = ceil(H / stride).
        dilation: distance between neighboring pixels of a window; 1 is the ordinary convolution.
        groups: G; each group of C/G input channels gives D/G output channels.  G = C is a depthwise convolution.

    Returns:
        Tensor (B, H', W', D).

    Raises:
        ValueError: ranks, channels, stride, padding or dilation do not fit, or the kernel is larger than the (padded)
            images.
    """
    check_tensors("conv2d", images, kernel)
    ranks = images.ndim == kernel.ndim == 4 and groups >= 1
    if not ranks or images.shape[3] != groups * kernel.shape[2] or kernel.shape[3] % groups:
        raise ValueError(
            "conv2d takes images (B, H, W, C) and a kernel (K, L, C / groups, D), groups dividing C and D, not"
            f" {images.shape} and {kernel.shape} with {groups} groups."
        )
    *window, channels, filters = kernel.shape
    columns = windows(images, window, stride, padding, dilation)  # (B, H', W', K, L, C)
    size = window[0] * window[1]
    rows = columns.reshape(-1, size, groups, channels).transpose(2, 0, 1, 3)  # (G, B H' W', K L, C/G)
    rows = rows.reshape(groups, -1, size * channels)
    kernels = kernel.reshape(-1, groups, filters // groups).transpose(1, 0, 2)  # (G, K L C/G, D/G)
    result = (rows @ kernels).transpose(1, 0, 2)  # (B H' W', G, D/G)
    return result.reshape(*columns.shape[:3], filters)


def max_pool2d(images, window, *, stride=None, padding="valid"):
    """The largest value of each window.  Tensor (B, H, W, C) -> (B, H', W', C).

    Args:
        window: side of the windows.
        stride: distance between them; None: they do not overlap.
        padding: "valid", or "same", where only pixels of the image count.

    The gradient goes to the largest pixel only, the first one if several tie, as in TensorFlow.  Raises as `conv2d`.
    """
    check_tensors("max_pool2d", images)
    columns = pool_windows(images, window, stride, padding, fill=-np.inf)  # (B, H', W', K, K, C)
    rows = columns.reshape(-1, window * window, images.shape[3])  # (B H' W', K K, C)
    place, channel = np.ogrid[: rows.shape[0], : rows.shape[2]]
    largest = rows[place, rows.value.argmax(1), channel]  # (B H' W', C)
    return largest.reshape(*columns.shape[:3], images.shape[3])


def average_pool2d(images, window, *, stride=None, padding="valid"):
    """The mean of each window; the arguments are those of `max_pool2d`.  Tensor (B, H, W, C) -> (B, H', W', C)."""
    check_tensors("average_pool2d", images)
    total = pool_windows(images, window, stride, padding).sum((3, 4))
    pixels = pool_windows(Tensor(np.ones_like(images.value)), window, stride, padding)  # 1 inside, 0 around
    return total / pixels.value.sum((3, 4))


def global_average_pool(images):
    """The mean of each channel (Lin et al. 2013, arXiv:1312.4400).  Tensor (B, H, W, C) -> (B, C)."""
    return images.mean((1, 2))


def global_max_pool(images):
    """The largest value of each channel; pixels that tie share the gradient.  Tensor (B, H, W, C) -> (B, C)."""
    return images.max((1, 2))


def check_tensors(name, *operands):
    """ValueError unless all are Tensors."""
    for x in operands:
        if not isinstance(x, Tensor):
            raise ValueError(f"{name} takes Tensors, not {type(x).__name__}: give Tensor(x).")


def receptive_field(layers):
    """Side of the receptive field, the pixels that a value depends on, after each layer.  -> (layers,) integers.

    A layer adds its kernel's extent in pixels, r <- r + (k - 1) d j, and its stride multiplies the spacing, j <- j s
    (Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks", Distill).

    Args:
        layers: (kernel k, stride s, dilation d) of each convolution or pooling.

    Raises:
        ValueError: not three integers for each layer, or a number below 1.
    """
    layers = np.asarray(layers)
    if layers.ndim != 2 or layers.shape[1] != 3 or layers.dtype.kind not in "iu" or layers.min() < 1:
        raise ValueError(
            "receptive_field takes (kernel, stride, dilation), integers of 1 or more, for every layer, not"
            f" {layers.tolist()}."
        )
    kernel, stride, dilation = layers.T
    jump = np.cumprod(np.r_[1, stride[:-1]])  # pixels between neighbors of the layer's input map
    return 1 + np.cumsum((kernel - 1) * dilation * jump)


def seen_by_center(layers, size):
    """Effective receptive field: how strongly each pixel of a square image influences the center, after each layer.

    It is the gradient through averaging convolutions with zero padding: 0 outside the receptive field, and inside
    larger where more paths lead from the pixel to the center (Luo et al. 2016, arXiv:1701.04128).

    Args:
        layers: as for `receptive_field`.
        size: side of the image in pixels.

    Returns:
        array (layers, size, size), scaled so that the largest value of each layer is 1.
    """
    image = maps = Tensor(np.ones((1, size, size, 1)))
    seen = []
    for kernel, stride, dilation in layers:
        average = Tensor(np.full((kernel, kernel, 1, 1), 1 / kernel**2))
        maps = conv2d(maps, average, stride=stride, padding="same", dilation=dilation)
        middle = maps.shape[1] // 2
        seen.append(grad(maps[0, middle, middle, 0], image).value[0, :, :, 0])
    return np.stack([x / x.max() for x in seen])


# --- windows ---------------------------------------------------------------------------------------------------------


def windows(images, window, stride, padding, dilation=1, fill=0.0):
    """`im2col` of the images after padding them with `fill`.  (B, H, W, C) -> (B, H', W', K, L, C)."""
    if images.ndim != 4:
        raise ValueError(f"The images must have shape (B, H, W, C), not {images.shape}.")
    if min(stride, dilation, *window) < 1 or padding not in ("valid", "same"):
        raise ValueError(
            'Windows need a side, stride >= 1 and dilation >= 1, and padding "valid" or "same", not'
            f" {tuple(window)}, {stride}, {dilation} and {padding!r}."
        )
    reach = [(n - 1) * dilation + 1 for n in window]
    if padding == "same":
        images = pad_same(images, reach, stride, fill)
    if reach[0] > images.shape[1] or reach[1] > images.shape[2]:
        raise ValueError(
            f"A window of {reach[0]} x {reach[1]} does not fit into the images {images.shape}: use padding='same'."
        )
    return im2col(images, window, stride, dilation)


def pool_windows(images, side, stride, padding, fill=0.0):
    """Square windows that by default do not overlap.  (B, H, W, C) -> (B, H', W', K, K, C)."""
    return windows(images, (side, side), side if stride is None else stride, padding, fill=fill)


def pad_same(images, reach, stride, fill):
    """Pads the images with `fill` until ceil(H / stride) windows of height `reach` fit, and likewise for the width."""
    b, h, w, c = images.shape
    totals = [max((-(-n // stride) - 1) * stride + r - n, 0) for n, r in zip((h, w), reach)]
    index = (slice(None), *(slice(t // 2, t // 2 + n) for t, n in zip(totals, (h, w))))
    shape = (b, h + totals[0], w + totals[1], c)
    padded = scatter(images, index, shape)
    if fill == 0:
        return padded
    inside = np.zeros((1, *shape[1:3], 1), bool)
    inside[index] = True
    return where(inside, padded, fill)


def im2col(images, window, stride, dilation=1):
    """All windows of the images.  (B, H, W, C) -> (B, H', W', K, L, C)."""
    reach = [(n - 1) * dilation + 1 for n in window]
    views = sliding_window_view(images.value, reach, axis=(1, 2))[:, ::stride, ::stride]  # (B, H', W', C, ...)
    rule = (images, lambda g, y: col2im(g, stride, dilation, images.shape))
    return Tensor(views[..., ::dilation, ::dilation].transpose(0, 1, 2, 4, 5, 3), (rule,), "im2col")


def col2im(columns, stride, dilation, shape):
    """Adds the windows up at their positions.  (B, H', W', K, L, C) -> `shape` (B, H, W, C)."""
    _, high, wide, *window, _ = columns.shape
    value = np.zeros(shape, columns.dtype)
    for i, j in itertools.product(*map(range, window)):  # for a fixed (i, j), windows do not overlap
        y, x = i * dilation, j * dilation
        value[:, y : y + stride * high : stride, x : x + stride * wide : stride] += columns.value[:, :, :, i, j]
    return Tensor(value, ((columns, lambda g, y: im2col(g, tuple(window), stride, dilation)),), "col2im")
