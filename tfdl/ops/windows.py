"""Windows of a feature map: partition, merge, cyclic shift, attention mask and relative positions.

Source: Liu et al. 2021, arXiv:2103.14030 (Swin), sections 3.1 and 3.2, Fig. 2 and 4.
Shapes: B batch, H W height and width of the map, C channels, w side of a window, N = w w positions in a window,
n = (H/w) (W/w) windows in a map.  All but B are fixed numbers.
"""

import math

import numpy as np
from keras import ops


def partition(x, window):
    """Cuts a map into windows, row by row.  (B, H, W, C) -> (B, n, N, C).

    A single transpose is enough: a row of windows is w rows of the map, each of W/w pieces of w C numbers.

    Raises:
        ValueError: `window` does not divide H and W.
    """
    _, height, width, channels = x.shape
    if height % window or width % window:
        raise ValueError(f"Windows of {window} do not tile a map of {height} x {width}; pad it first.")
    x = ops.reshape(x, (-1, window, width // window, window * channels))  # (B H/w, w, W/w, w C)
    x = ops.transpose(x, (0, 2, 1, 3))  # (B H/w, W/w, w, w C)
    return ops.reshape(x, (-1, height * width // window**2, window * window, channels))


def merge(windows, height, width):
    """The inverse of `partition`.  (B, n, N, C) -> (B, H, W, C).

    Raises:
        ValueError: the windows do not make a map of `height` x `width`.
    """
    _, count, area, channels = windows.shape
    window = math.isqrt(area)
    if height % window or width % window or count * area != height * width:
        raise ValueError(f"{count} windows of {area} positions do not make a map of {height} x {width}.")
    x = ops.reshape(windows, (-1, width // window, window, window * channels))  # (B H/w, W/w, w, w C)
    x = ops.transpose(x, (0, 2, 1, 3))
    return ops.reshape(x, (-1, height, width, channels))


def shift(x, rows, columns):
    """Shifts a map cyclically up by `rows` and left by `columns` (Fig. 4).  (B, H, W, C) -> same.

    Negative numbers shift it back.  TFLite has no roll operator, so the map is split and its two parts swapped.  A
    split's gradient is a cheap concatenation, whereas the gradient of a slice first fills a whole map with zeros.
    """
    for axis, distance in ((1, rows), (2, columns)):
        if distance:
            first, rest = ops.split(x, [distance % x.shape[axis]], axis=axis)
            x = ops.concatenate([rest, first], axis=axis)
    return x


def crop(x, height, width):
    """The upper left corner, by splits for the same reason.  (B, H, W, C) -> (B, height, width, C)."""
    for axis, size in ((1, height), (2, width)):
        if size < x.shape[axis]:
            x, _ = ops.split(x, [size], axis=axis)
    return x


def shifted_window_mask(height, width, window, rows, columns):
    """The attention mask of each window of a shifted map (Fig. 4).  NumPy, bool (n, N, N), true where visible.

    After a cyclic shift, windows in the last row or column contain positions that wrapped around.  These are not
    adjacent to the others in the original map, so the two groups are masked from each other.
    """
    wrapped_rows = np.arange(height) >= height - rows  # (H,)
    wrapped_columns = np.arange(width) >= width - columns  # (W,)
    region = 2 * wrapped_rows[:, None] + wrapped_columns  # (H, W), 0 to 3
    region = region.reshape(height // window, window, width // window, window).swapaxes(1, 2)
    region = region.reshape(-1, window * window)  # (n, N)
    return region[:, :, None] == region[:, None, :]


def relative_positions(window):
    """The row of the bias table for each pair of positions in a window (section 3.2).  NumPy, int (N, N).

    With dy = y_query - y_key and dx likewise, each from -(w - 1) to w - 1, the row is (dy + w - 1) (2 w - 1) +
    dx + w - 1 of (2 w - 1)^2 rows.
    """
    y, x = np.divmod(np.arange(window * window), window)  # (N,) each
    dy, dx = y[:, None] - y, x[:, None] - x  # (N, N)
    return (dy + window - 1) * (2 * window - 1) + dx + window - 1


def stack_neighbors(x):
    """Concatenates the channels of each 2 x 2 square (section 3.1).  (B, H, W, C) -> (B, H/2, W/2, 4 C).

    The order is top left, bottom left, top right, bottom right.

    Raises:
        ValueError: H or W is odd.
    """
    _, height, width, channels = x.shape
    if height % 2 or width % 2:
        raise ValueError(f"Squares of 2 x 2 do not tile a map of {height} x {width}; pad it first.")
    x = ops.reshape(x, (-1, 2, width // 2, 2, channels))  # (B H/2, y, W/2, x, C)
    x = ops.transpose(x, (0, 2, 3, 1, 4))  # (B H/2, W/2, x, y, C)
    return ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))
