"""Key points as heat maps, and back, to a fraction of a cell.

Each key point becomes a map with a Gaussian around it: Tompson et al. 2014, arXiv:1406.2984, section 3.1.  A cell i of
a map of stride s covers the pixels s i to s (i + 1), so that the point x lies at u = x / s - 1/2, in cells, and

    map(i, j) = exp(-((i - u)^2 + (j - v)^2) / (2 sigma^2))

The center u is not rounded: Zhang et al. 2020, arXiv:1910.06278 (DARK), section 3.3.  Two ways back, from the highest
cell m on:

"quarter"   a quarter of a cell toward the higher neighbor, as Newell et al. 2016, arXiv:1603.06937, section 3.2, and
            HRNet: wrong by up to a quarter of a cell even on an ideal map.
"taylor"    u = m - H^-1 g, with the gradient g and the Hessian H of the map's logarithm, DARK's eq. 9: exact for a
            Gaussian, whose logarithm is a parabola.

Shapes: B pictures, h w sides of a map, K key points.
"""

import numpy as np
from keras import ops

METHODS = ("taylor", "quarter")
SMALLEST = 1e-6  # of a map's values, before the logarithm
FARTHEST = 1.5  # cells from a cell inside of the map to the point, as on the map's border

# What the values of 3 x 3 cells, row by row, weigh in the derivatives of the map: central differences.
X, Y = np.array([[-1, 0, 1]] * 3).ravel(), np.repeat([-1, 0, 1], 3)
DERIVATIVES = np.stack(
    [
        X * (Y == 0) / 2,  # d/dx
        Y * (X == 0) / 2,
        (Y == 0) * (1.0 - 3.0 * (X == 0)),  # d2/dx2
        (X == 0) * (1.0 - 3.0 * (Y == 0)),
        X * Y / 4,  # d2/dxdy
    ],
    axis=1,
).astype("float32")  # (9, 5)


def encode(keypoints, size, *, stride=4, sigma=2.0):
    """Key points (B, K, 3): x, y in pixels, 1 if visible -> heat maps (B, h, w, K) in [0, 1].

    The map of a point that is not visible is all 0.

    Args:
        size: (h, w).
        stride: pixels of a cell.
        sigma: of the Gaussian, in cells.

    Raises:
        ValueError: `sigma` is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}; give a number of cells above 0.")
    height, width = size
    keypoints = ops.cast(keypoints, "float32")
    centers = keypoints[..., :2] / stride - 0.5  # (B, K, 2)
    columns = gaussian(np.arange(width), centers[:, None, :, 0], sigma)  # (B, w, K)
    rows = gaussian(np.arange(height), centers[:, None, :, 1], sigma)  # (B, h, K)
    visible = ops.cast(keypoints[..., 2] > 0, "float32")
    return rows[:, :, None] * columns[:, None] * visible[:, None, None]


def gaussian(places, center, sigma):
    """exp(-(place - center)^2 / (2 sigma^2)): places (n,), centers (B, 1, K) -> (B, n, K)."""
    distance = places.astype("float32")[None, :, None] - center
    return ops.exp(-ops.square(distance) / (2.0 * sigma**2))


def decode(heatmaps, *, stride=4, method="taylor"):
    """Heat maps (B, h, w, K) -> key points (B, K, 3): x, y in pixels, and the highest value of the map.

    `method` is one of METHODS, see the module.  Where a map has no peak around its highest cell, as in noise, "taylor"
    stays in the middle of the cell.

    Raises:
        ValueError: unknown method, or maps of fewer than 3 x 3 cells.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; give {' or '.join(METHODS)}.")
    _, height, width, points = heatmaps.shape
    if min(height, width) < 3:
        raise ValueError(f"The maps have {height} x {width} cells; decode needs 3 x 3 or more.")
    flat = ops.reshape(ops.cast(heatmaps, "float32"), (-1, height * width, points))
    flat = ops.transpose(flat, (0, 2, 1))  # (B, K, h w)
    highest, place = ops.top_k(flat, 1)  # argmax is no operator of TFLite here
    row, column = place // width, place % width  # (B, K, 1)
    middle_row, middle_column = ops.clip(row, 1, height - 2), ops.clip(column, 1, width - 2)
    around = middle_row * width + middle_column + ops.convert_to_tensor(X + width * Y, dtype=place.dtype)
    values = ops.take_along_axis(flat, around, axis=-1)  # (B, K, 9)
    cell = ops.cast(ops.concatenate([column, row], axis=-1), "float32")
    middle = ops.cast(ops.concatenate([middle_column, middle_row], axis=-1), "float32")
    if method == "quarter":
        is_inside = ops.all(ops.equal(cell, middle), axis=-1, keepdims=True)
        slopes = ops.sign(ops.matmul(values, DERIVATIVES[:, :2]))
        found = ops.where(is_inside, cell + 0.25 * slopes, cell)
    else:
        step, is_peak = newton_step(ops.log(ops.maximum(values, SMALLEST)))
        found = ops.where(is_peak, middle + step, cell)
    return ops.concatenate([(found + 0.5) * stride, highest], axis=-1)


def newton_step(values):
    """From the middle of 3 x 3 cells to the top of the parabola through their values.

    (B, K, 9) -> the step x, y (B, K, 2), and whether there is such a top (B, K, 1).
    """
    gx, gy, hxx, hyy, hxy = (part[..., 0] for part in ops.split(ops.matmul(values, DERIVATIVES), 5, axis=-1))
    determinant = hxx * hyy - hxy * hxy
    is_peak = ops.logical_and(determinant > SMALLEST, hxx < 0)
    safe = ops.where(is_peak, determinant, 1.0)
    step = ops.stack([(hxy * gy - hyy * gx) / safe, (hxy * gx - hxx * gy) / safe], axis=-1)
    return ops.clip(step, -FARTHEST, FARTHEST), is_peak[..., None]
